#include "core/nn/output_range.h"

#include <algorithm>
#include <limits>
#include <string_view>

#include "core/base/error.h"

namespace trireme::nn {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr OutputRange kAny = {-kInfinity, kInfinity};
constexpr int kMostOps = 256;  // that are looked at; a sum has two inputs, and so on

// What changes neither numbers nor their bounds.
bool moves_numbers(std::string_view op) {
  for (const std::string_view name :
       {"Reshape", "ReshapeLike", "Flatten", "ExpandDims", "Squeeze", "Transpose", "Cast",
        "Identity", "BatchPart", "Slice", "Mean", "Max", "MaxPool2d", "AvgPool2d"}) {
    if (op == name) return true;
  }
  return false;
}

OutputRange range_of(Value value, int& left) {
  const Node& node = *value.node;
  const std::string_view op = node.op().name;
  if (op == "Sigmoid" || op == "Softmax") return {0, 1};
  if (op == "Tanh") return {-1, 1};
  if (left-- <= 0) return kAny;
  const auto input = [&](int i) { return range_of(node.input(i), left); };
  if (op == "Relu") {
    const OutputRange x = input(0);
    return {std::max(x.low, 0.0), std::max(x.high, 0.0)};
  }
  if (moves_numbers(op)) return input(0);
  if (op == "Add") {
    const OutputRange a = input(0), b = input(1);
    return {a.low + b.low, a.high + b.high};
  }
  if (op == "Concat") {
    OutputRange all = {kInfinity, -kInfinity};
    for (size_t i = 0; i < node.inputs().size(); ++i) {
      const OutputRange part = input(static_cast<int>(i));
      all = {std::min(all.low, part.low), std::max(all.high, part.high)};
    }
    return all;
  }
  return kAny;
}

}  // namespace

OutputRange output_range(Value value) {
  int left = kMostOps;
  return range_of(value, left);
}

bool gives_probabilities(const Loss& loss, Value predictions) {
  std::string_view wanted;
  switch (loss.labels) {
    case LabelDomain::kClass:
    case LabelDomain::kDistribution:
      wanted = "Softmax";
      break;
    case LabelDomain::kUnitInterval:
    case LabelDomain::kZeroOrOne:
      wanted = "Sigmoid";
      break;
    case LabelDomain::kAny:
    case LabelDomain::kFinite:
    case LabelDomain::kSign:
    case LabelDomain::kNotNegative:
    case LabelDomain::kWeight:
      return false;
  }
  if (!loss.takes_logits) return true;
  const Node* node = predictions.node;
  while (node->op().name == "Cast" || node->op().name == "Identity") node = node->input(0).node;
  return node->op().name == wanted;
}

std::optional<std::string> why_not_logits(const Loss& loss, Value predictions,
                                          const std::string& layer) {
  if (!loss.takes_logits) return std::nullopt;
  const OutputRange range = output_range(predictions);
  std::string gives;
  if (range.low > -kInfinity && range.high < kInfinity) {
    gives = str_cat("numbers from ", range.low, " to ", range.high);
  } else if (range.low > -kInfinity) {
    gives = str_cat("no number below ", range.low);
  } else if (range.high < kInfinity) {
    gives = str_cat("no number above ", range.high);
  } else {
    return std::nullopt;
  }
  const bool is_binary = loss.labels == LabelDomain::kUnitInterval;
  return str_cat(
      layer, " gives ", gives, ", but the loss ", loss.name,
      " takes logits, which may be any numbers, and makes probabilities of them itself (by ",
      is_binary ? "a sigmoid" : "softmax",
      "); the model would train badly: remove the activation at its end");
}

}  // namespace trireme::nn

#include "core/formats/onnx/onnx_importer.h"

#include <algorithm>
#include <set>
#include <unordered_set>

#include "core/base/error.h"
#include "core/device/kernel.h"
#include "core/formats/onnx/onnx_call.h"
#include "core/formats/translation/known_values.h"
#include "core/io/input_file.h"
#include "core/ops/ops.h"
#include "core/runtime/built_in_kernels.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats {
namespace {

constexpr uint64_t kMostKnownBytes = uint64_t{1} << 28;  // of values that are computed here
constexpr int kMostNamed = 20;                           // nodes, in a message

using Kind = OnnxValue::Kind;

bool is_own_domain(const onnx::NodeProto& node) {
  return node.domain().empty() || node.domain() == "ai.onnx";
}

}  // namespace

OnnxImporter::OnnxImporter(const OnnxFile& file, Graph& graph, MakeVariable variable)
    : file_(file),
      graph_(graph),
      make_variable_(std::move(variable)),
      kernels_(built_in_kernels()) {
  for (const onnx::NodeProto& node : file.model().graph().node()) {
    for (const std::string& output : node.output()) {
      if (output.empty()) continue;
      if (!producers_.emplace(output, &node).second) {
        throw data_loss(file.path(), ": the value ", io::quote_name(output), " is given twice");
      }
    }
    if (node.op_type() != "BatchNormalization") continue;
    for (int i = 3; i < node.input_size(); ++i) statistics_.insert(node.input(i));
  }
}

OnnxImporter::~OnnxImporter() = default;

// Depth first, without recursion: a file may have a chain of any length, or a cycle.
std::vector<const onnx::NodeProto*> OnnxImporter::needed(
    std::span<const std::string> outputs) const {
  std::vector<const onnx::NodeProto*> order;
  std::unordered_set<const onnx::NodeProto*> done, open;
  std::vector<const onnx::NodeProto*> stack;
  const auto push = [&](const std::string& name) {
    const auto found = producers_.find(name);
    if (found == producers_.end() || done.contains(found->second)) return;
    if (open.contains(found->second)) {
      throw data_loss(file_.path(), ": the graph has a cycle through the value ",
                      io::quote_name(name));
    }
    stack.push_back(found->second);
  };
  for (const std::string& output : outputs) push(output);
  while (!stack.empty()) {
    const onnx::NodeProto* const node = stack.back();
    if (done.contains(node)) {
      stack.pop_back();
    } else if (open.insert(node).second) {
      for (const std::string& input : node->input()) push(input);
    } else {
      stack.pop_back();
      done.insert(node);
      open.erase(node);
      order.push_back(node);
    }
  }
  return order;
}

void OnnxImporter::find_missing(std::span<const onnx::NodeProto* const> nodes) const {
  struct Missing {
    int64_t count = 0;
    std::string example;
  };
  std::map<std::string, Missing> missing;
  for (const onnx::NodeProto* node : nodes) {
    if (is_own_domain(*node) && find_onnx_import(node->op_type()) != nullptr) continue;
    const std::string op =
        is_own_domain(*node) ? node->op_type() : str_cat(node->domain(), ".", node->op_type());
    Missing& of_op = missing[op];
    if (of_op.count++ == 0) of_op.example = node->name();
  }
  if (missing.empty()) return;
  std::string text;
  int named = 0;
  for (const auto& [op, of_op] : missing) {
    if (++named > kMostNamed) break;
    text +=
        str_cat(text.empty() ? "" : ", ", io::quote_name(op), " (", of_op.count,
                of_op.count == 1 ? " node" : " nodes", ", ", io::quote_name(of_op.example), ")");
  }
  throw invalid_argument(file_.path(), ": Trireme lacks ", missing.size(),
                         missing.size() == 1 ? " op" : " ops",
                         " of ONNX that this model needs: ", text, named > kMostNamed ? ", …" : "");
}

std::vector<Value> OnnxImporter::import(const std::map<std::string, Value>& inputs,
                                        std::span<const std::string> outputs) {
  for (const auto& [name, value] : inputs) {
    values_[name] = OnnxValue::of(value, 1);
    if (!batch_source_.defined() && value.shape().rank() > 0 && value.shape()[0] < 0) {
      batch_source_ = value;
    }
  }
  const auto nodes = needed(outputs);
  find_missing(nodes);
  for (const onnx::NodeProto* node : nodes) run(*node);
  std::vector<Value> values;
  for (const std::string& name : outputs) values.push_back(value_in(graph_, value_of(name)));
  return values;
}

OnnxValue& OnnxImporter::value_of(const std::string& name) {
  static OnnxValue absent;
  if (name.empty()) return absent;
  if (const auto found = values_.find(name); found != values_.end()) return found->second;
  const auto initializer = file_.initializers().find(name);
  if (initializer == file_.initializers().end()) {
    throw data_loss(file_.path(), ": nothing gives the value ", io::quote_name(name));
  }
  const Tensor tensor = file_.tensor(*initializer->second);
  // A number is an epsilon or the like. Weights are of one dimension at least.
  if (tensor.dtype() != DType::kFloat32 || tensor.shape().rank() == 0) {
    return values_[name] = OnnxValue::of(tensor);
  }
  const Value variable = make_variable_(name, tensor, !statistics_.contains(name));
  return values_[name] = OnnxValue::of(variable, 1);
}

void OnnxImporter::run(const onnx::NodeProto& node) {
  std::vector<OnnxValue*> inputs;
  for (const std::string& input : node.input()) inputs.push_back(&value_of(input));
  OnnxResults results;
  try {
    OnnxCall call(*this, node, std::move(inputs));
    results = find_onnx_import(node.op_type())(call);
    for (const OnnxValue& result : results) {
      if (!result.is(Kind::kGraph) || is_possible(result.type())) continue;
      throw invalid_argument("expected a value of at most ", kMostExample,
                             " bytes an example, found ", result.type());
    }
  } catch (const Error& error) {
    throw error.with_context(str_cat(file_.path(), ": node ", io::quote_name(node.name()), " (",
                                     io::quote_name(node.op_type()), ")"));
  }
  for (int i = 0; i < node.output_size(); ++i) {
    if (node.output(i).empty()) continue;
    if (static_cast<size_t>(i) >= results.size()) {
      // Whoever needs it says so; of some ops the last outputs are of trainings only.
      continue;
    }
    OnnxValue& result = results[static_cast<size_t>(i)];
    if (result.is(Kind::kTensor)) known_bytes_ += result.tensor.bytes();
    values_[node.output(i)] = std::move(result);
  }
  if (known_bytes_ > kMostKnownBytes) {
    throw invalid_argument(file_.path(), ": constants of more than ", kMostKnownBytes,
                           " bytes are computed in this model");
  }
}

Value OnnxImporter::value_in(Graph& graph, OnnxValue& value) {
  switch (value.kind) {
    case Kind::kTensor:
      if (value.tensor.dtype() == DType::kString) {
        throw invalid_argument("expected numbers, found texts");
      }
      return ops::constant(graph, value.tensor);
    case Kind::kNumbers: {
      std::vector<Value> parts;
      for (const BatchNumber& number : value.numbers) {
        Value part = ops::scalar(graph, DType::kInt64, static_cast<double>(number.constant));
        if (number.per_batch != 0) {
          part = part + batch_size() * ops::scalar(graph, DType::kInt64,
                                                   static_cast<double>(number.per_batch));
        }
        parts.push_back(value.is_scalar ? part : ops::reshape(part, {1}));
      }
      return value.is_scalar ? parts.at(0) : ops::concat(parts, 0);
    }
    case Kind::kGraph:
      if (!value.value.defined()) value.value = ops::transpose(value.channels_last, {0, 3, 1, 2});
      return value.value;
    default:
      throw invalid_argument("expected a value, found ", value.describe());
  }
}

Value OnnxImporter::channels_last_in(Graph& graph, OnnxValue& value) {
  if (value.is(Kind::kGraph) && value.channels_last.defined()) return value.channels_last;
  const Value last = ops::transpose(value_in(graph, value), {0, 2, 3, 1});
  if (value.is(Kind::kGraph)) value.channels_last = last;
  return last;
}

Value OnnxImporter::batch_zeros() {
  if (batch_zeros_.defined()) return batch_zeros_;
  if (!batch_source_.defined()) {
    throw invalid_argument("expected an input with a batch in front, found none");
  }
  // One element of each example.
  const auto rank = static_cast<size_t>(batch_source_.shape().rank());
  ops::Axes size(rank, 1);
  size[0] = -1;
  const Value firsts = ops::slice(batch_source_, ops::Axes(rank, 0), size);
  return batch_zeros_ = ops::fill_like(ops::cast(ops::reshape(firsts, {-1}), DType::kInt64), 0);
}

Value OnnxImporter::batch_size() {
  if (!batch_size_.defined()) batch_size_ = ops::sum(ops::fill_like(batch_zeros(), 1));
  return batch_size_;
}

Tensor OnnxImporter::evaluate(Value value) {
  return evaluate_constants(value, *kernels_, kMostKnownBytes);
}

}  // namespace trireme::formats

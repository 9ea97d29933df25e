#include "core/formats/onnx/onnx_call.h"

#include <algorithm>
#include <map>

#include "core/base/error.h"
#include "core/ops/ops.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats {

using Kind = OnnxValue::Kind;

OnnxCall::OnnxCall(OnnxImporter& importer, const onnx::NodeProto& node,
                   std::vector<OnnxValue*> inputs)
    : importer_(importer), node_(node), inputs_(std::move(inputs)) {
  for (const OnnxValue* input : inputs_) {
    folds_ = folds_ && (input->is(Kind::kTensor) || input->is(Kind::kAbsent));
  }
  if (folds_) scratch_ = std::make_unique<Graph>(importer.graph().ops());
}

const std::string& OnnxCall::op() const { return node_.op_type(); }
int OnnxCall::output_count() const { return node_.output_size(); }
bool OnnxCall::has_output(int i) const {
  return i < node_.output_size() && !node_.output(i).empty();
}

OnnxValue& OnnxCall::input(int i) const {
  if (i >= count() || !inputs_[static_cast<size_t>(i)]->is_there()) {
    throw invalid_argument("expected an input number ", i + 1, ", found none");
  }
  return *inputs_[static_cast<size_t>(i)];
}

bool OnnxCall::is_channels_last(int i) const {
  const OnnxValue& x = input(i);
  return x.is(Kind::kGraph) && x.channels_last.defined() && !x.value.defined();
}

const Tensor& OnnxCall::tensor(int i) const {
  if (!input(i).is(Kind::kTensor)) {
    throw invalid_argument("expected an input number ", i + 1,
                           " that does not depend on the data, found ", input(i).describe());
  }
  return input(i).tensor;
}

std::vector<int64_t> OnnxCall::ints(int i) const {
  const auto numbers = numbers_of(OnnxValue::of(tensor(i)));
  if (!numbers) {
    throw invalid_argument("expected whole numbers as input number ", i + 1, ", found ",
                           input(i).describe());
  }
  std::vector<int64_t> values;
  for (const BatchNumber& number : *numbers) values.push_back(number.constant);
  return values;
}

std::vector<BatchNumber> OnnxCall::sizes(int i) const {
  const auto numbers = numbers_of(input(i));
  if (!numbers) {
    throw invalid_argument("expected sizes as input number ", i + 1,
                           " that depend on no more than the size of the batch, found ",
                           input(i).describe());
  }
  return *numbers;
}

std::optional<double> OnnxCall::number(int i) const {
  if (!is_known(i) || input(i).tensor.elements() != 1 ||
      input(i).tensor.dtype() == DType::kString) {
    return {};
  }
  return input(i).tensor.as_double(0);
}

const onnx::AttributeProto* OnnxCall::attribute(std::string_view name) const {
  for (const onnx::AttributeProto& attribute : node_.attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

int64_t OnnxCall::integer(std::string_view name, int64_t otherwise) const {
  const auto* const found = attribute(name);
  if (found == nullptr) return otherwise;
  require(found->has_i(), str_cat("a whole number as attribute \"", name, "\""));
  return found->i();
}

double OnnxCall::number(std::string_view name, double otherwise) const {
  const auto* const found = attribute(name);
  if (found == nullptr) return otherwise;
  require(found->has_f(), str_cat("a number as attribute \"", name, "\""));
  return found->f();
}

std::string OnnxCall::text(std::string_view name, const std::string& otherwise) const {
  const auto* const found = attribute(name);
  if (found == nullptr) return otherwise;
  require(found->has_s(), str_cat("a text as attribute \"", name, "\""));
  return found->s();
}

std::vector<int64_t> OnnxCall::integers(std::string_view name,
                                        std::vector<int64_t> otherwise) const {
  const auto* const found = attribute(name);
  if (found == nullptr) return otherwise;
  require(found->ints_size() <= kMostNumbers,
          str_cat("at most ", kMostNumbers, " numbers as attribute \"", name, "\""));
  return {found->ints().begin(), found->ints().end()};
}

std::optional<std::vector<int64_t>> OnnxCall::integers_or_input(std::string_view name,
                                                                int i) const {
  if (attribute(name) != nullptr) return integers(name);
  if (!has(i)) return {};
  return ints(i);
}

int64_t OnnxCall::axis(int64_t axis, int rank) const {
  require(axis >= -rank && axis < rank,
          str_cat("an axis within ", rank, " dimensions, not ", axis));
  return axis < 0 ? axis + rank : axis;
}

std::vector<int64_t> OnnxCall::axes(std::vector<int64_t> axes, int rank) const {
  for (int64_t& value : axes) value = axis(value, rank);
  std::ranges::sort(axes);
  require(std::ranges::adjacent_find(axes) == axes.end(), "axes that differ");
  return axes;
}

void OnnxCall::require(bool condition, std::string_view expected) const {
  if (condition) return;
  std::string found;
  for (const OnnxValue* input : inputs_) found += (found.empty() ? "" : ", ") + input->describe();
  throw invalid_argument("expected ", expected, "; its inputs are ", found);
}

int64_t OnnxCall::per_batch() const {
  int64_t most = 1;
  for (const OnnxValue* input : inputs_) {
    if (input->is(Kind::kGraph) && !input->type().shape.is_known()) {
      most = std::max(most, input->per_batch);
    }
  }
  return most;
}

OnnxValue OnnxCall::result(Value value) { return result(value, per_batch()); }

OnnxValue OnnxCall::result(Value value, int64_t per_batch) {
  if (folds_) return OnnxValue::of(importer_.evaluate(value));
  return OnnxValue::of(value, per_batch);
}

OnnxValue OnnxCall::result_channels_last(Value value) {
  if (folds_) return OnnxValue::of(importer_.evaluate(ops::transpose(value, {0, 3, 1, 2})));
  return OnnxValue::of_channels_last(value, per_batch());
}

namespace {

const std::map<std::string_view, OnnxImport>& table() {
  static const auto* const rows = [] {
    auto* all = new std::map<std::string_view, OnnxImport>;
    for (const auto& family :
         {onnx_elementwise_imports(), onnx_array_imports(), onnx_layer_imports(),
          onnx_recurrence_imports(), onnx_reduction_imports()}) {
      for (const OnnxImportRow& row : family) all->emplace(row.op, row.import);
    }
    return all;
  }();
  return *rows;
}

}  // namespace

OnnxImport find_onnx_import(std::string_view op) {
  const auto found = table().find(op);
  return found == table().end() ? nullptr : found->second;
}

std::vector<std::string> onnx_imports() {
  std::vector<std::string> names;
  for (const auto& [op, import] : table()) names.emplace_back(op);
  return names;
}

}  // namespace trireme::formats

// One node of ONNX's graph that is taken over, as its import function sees it; and the table of
// these functions, by the name of the op.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/formats/onnx/onnx_importer.h"

namespace trireme::formats {

class OnnxCall {
 public:
  // `inputs` are borrowed; channels_last forms that are made are kept in them.
  OnnxCall(OnnxImporter& importer, const onnx::NodeProto& node, std::vector<OnnxValue*> inputs);

  const std::string& op() const;
  int64_t opset() const { return importer_.file().opset(); }
  OnnxImporter& importer() const { return importer_; }
  // All inputs are known: then so is the result, and the graph is one that is thrown away.
  bool folds() const { return folds_; }
  Graph& graph() { return folds_ ? *scratch_ : importer_.graph(); }

  int count() const { return static_cast<int>(inputs_.size()); }
  int output_count() const;
  bool has_output(int i) const;  // the file names it
  bool has(int i) const { return i < count() && inputs_[static_cast<size_t>(i)]->is_there(); }
  OnnxValue& input(int i) const;  // throws when the node has fewer
  TensorType type(int i) const { return input(i).type(); }
  int rank(int i) const { return type(i).shape.rank(); }
  // An input as a value of graph(), as ONNX has it, or with its channels last.
  Value value(int i) { return importer_.value_in(graph(), input(i)); }
  Value channels_last(int i) { return importer_.channels_last_in(graph(), input(i)); }
  // That form is there, and the other is not.
  bool is_channels_last(int i) const;
  bool is_known(int i) const { return has(i) && input(i).is(OnnxValue::Kind::kTensor); }
  const Tensor& tensor(int i) const;            // throws when it is not known
  std::vector<int64_t> ints(int i) const;       // of whole numbers; throws when not known
  std::vector<BatchNumber> sizes(int i) const;  // may depend on the batch
  std::optional<double> number(int i) const;    // of a known tensor of one element

  // The node's attributes. What is absent is `otherwise`.
  const onnx::AttributeProto* attribute(std::string_view name) const;
  int64_t integer(std::string_view name, int64_t otherwise) const;
  double number(std::string_view name, double otherwise) const;
  std::string text(std::string_view name, const std::string& otherwise) const;
  std::vector<int64_t> integers(std::string_view name, std::vector<int64_t> otherwise = {}) const;
  // What older ops have as attribute and newer ones as input number `i`.
  std::optional<std::vector<int64_t>> integers_or_input(std::string_view name, int i) const;
  // An axis of input 0, from the end where negative. Throws when it is outside.
  int64_t axis(int64_t axis, int rank) const;
  std::vector<int64_t> axes(std::vector<int64_t> axes, int rank) const;  // sorted

  void require(bool condition, std::string_view expected) const;

  // What the node gives. The unknown dimension of `value` is the one of the inputs', if not said.
  OnnxValue result(Value value);
  OnnxValue result(Value value, int64_t per_batch);
  OnnxValue result_channels_last(Value value);
  int64_t per_batch() const;  // of the inputs

 private:
  OnnxImporter& importer_;
  const onnx::NodeProto& node_;
  std::vector<OnnxValue*> inputs_;
  bool folds_ = true;
  std::unique_ptr<Graph> scratch_;
};

using OnnxResults = std::vector<OnnxValue>;
using OnnxImport = OnnxResults (*)(OnnxCall&);

// Null: there is none.
OnnxImport find_onnx_import(std::string_view op);
std::vector<std::string> onnx_imports();  // sorted

struct OnnxImportRow {
  std::string_view op;
  OnnxImport import;
};
// Each in the file of its family.
std::span<const OnnxImportRow> onnx_elementwise_imports();
std::span<const OnnxImportRow> onnx_array_imports();
std::span<const OnnxImportRow> onnx_layer_imports();
std::span<const OnnxImportRow> onnx_recurrence_imports();
std::span<const OnnxImportRow> onnx_reduction_imports();

}  // namespace trireme::formats

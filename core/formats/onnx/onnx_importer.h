// Builds in our graph what a graph of ONNX computes.
//
// What does not depend on the data is computed here and now: constants, shapes, and what is made of
// them; sizes may be a multiple of the batch. The rest becomes nodes of our graph. Only what the
// outputs need is looked at, and ops that Trireme lacks are all named in one Error. How each op is
// taken over stands in import_*.cc. One thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/formats/onnx/onnx_file.h"
#include "core/formats/onnx/onnx_value.h"

namespace trireme {
class KernelTable;
}
namespace trireme::onnx {
class AttributeProto;
class GraphProto;
class NodeProto;
}  // namespace trireme::onnx

namespace trireme::formats {

class OnnxImporter {
 public:
  // The variable of an initializer, asked once for each.
  using MakeVariable =
      std::function<Value(const std::string& name, const Tensor& tensor, bool trainable)>;

  // All references must outlive this object.
  OnnxImporter(const OnnxFile& file, Graph& graph, MakeVariable variable);
  ~OnnxImporter();

  // The outputs of these names. `inputs`: values of the graph's inputs, by name. Throws
  // Error{kInvalidArgument} naming all ops that are missing, or the node that cannot be taken over.
  std::vector<Value> import(const std::map<std::string, Value>& inputs,
                            std::span<const std::string> outputs);

  // --- for the functions that take over an op

  const OnnxFile& file() const { return file_; }
  Graph& graph() { return graph_; }
  // What a node of a graph of constants gives.
  Tensor evaluate(Value value);
  // A value as one of `graph`, as ONNX has it, or with channels last. REQUIRES: it is neither
  // absent nor missing.
  Value value_in(Graph& graph, OnnxValue& value);
  Value channels_last_in(Graph& graph, OnnxValue& value);
  // A 0 for each example, i64[batch], and the number of them, i64[], of our graph.
  Value batch_zeros();
  Value batch_size();

 private:
  OnnxValue& value_of(const std::string& name);
  void run(const onnx::NodeProto& node);
  std::vector<const onnx::NodeProto*> needed(std::span<const std::string> outputs) const;
  void find_missing(std::span<const onnx::NodeProto* const> nodes) const;

  const OnnxFile& file_;
  Graph& graph_;
  MakeVariable make_variable_;
  std::shared_ptr<const KernelTable> kernels_;
  std::unordered_map<std::string, const onnx::NodeProto*> producers_;
  std::unordered_map<std::string, OnnxValue> values_;
  std::unordered_set<std::string> statistics_;  // of normalisations: they are not trained
  Value batch_source_, batch_zeros_, batch_size_;
  uint64_t known_bytes_ = 0;
};

}  // namespace trireme::formats

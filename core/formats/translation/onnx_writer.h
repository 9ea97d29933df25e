// Writes a graph of ours as a graph of ONNX, node by node.
//
// ONNX has channels behind the batch where we have them last. So a value of rank 4 may be there in
// two forms: as we have it, and with channels first. Convolutions take and give the second; what is
// elementwise follows its inputs; everything else takes the first. A form is made of the other by a
// Transpose node where it is asked for, once.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "core/formats/translation/op_translation.h"
#include "core/graph/graph.h"
#include "core/nn/train_state.h"

namespace trireme::onnx {
class GraphProto;
class NodeProto;
class TensorProto;
}  // namespace trireme::onnx

namespace trireme::formats {

inline constexpr int64_t kOnnxOpset = 17;

struct OnnxAttribute {
  std::string name;
  // A number, a text, numbers, texts, or the body of a loop, which is borrowed.
  std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<std::string>,
               const onnx::GraphProto*>
      value;
};

using Names = std::vector<std::string>;

inline Value output_of(const Node& node, int index = 0) {
  return {const_cast<Node*>(&node), index};
}

class OnnxWriter {
 public:
  // Adds to `graph`; `weights` are those of its variables. Both are borrowed.
  OnnxWriter(onnx::GraphProto& graph, const nn::StateMap& weights);

  // Writes what `outputs` need. `features`: placeholders, whose names are `inputs`. `output_names`:
  // one for each output. What has no translation is added to `untranslated`, and then the graph is
  // of no use.
  void write(const std::vector<Value>& features, const std::vector<std::string>& inputs,
             const std::vector<Value>& outputs, const std::vector<std::string>& output_names,
             Untranslated& untranslated);

  // --- for the rows of the table

  std::string name(Value value);              // its name, channels last
  std::string channels_first(Value value);    // REQUIRES: rank 4
  bool is_channels_first(Value value) const;  // that form is there, and the other is not
  void set(Value value, std::string name);
  void set_channels_first(Value value, std::string name);
  // The name of `value`, broadcast against one of rank 4 with channels first; empty: it has a rank
  // in between, for which there is none.
  std::string channels_first_operand(Value value);

  // A node with one output, or several. Returns their names, which begin as the node of ours that
  // is being written is called.
  std::string add(std::string_view op, const Names& inputs,
                  const std::vector<OnnxAttribute>& attributes = {});
  Names add_all(std::string_view op, const Names& inputs, int outputs,
                const std::vector<OnnxAttribute>& attributes = {});
  // The node that gives the value of that name; null: it is an input or an initializer.
  onnx::NodeProto* producer(const std::string& name);

  // A constant is a node, so that initializers are the weights and nothing else.
  std::string constant(const Tensor& value);
  std::string scalar(DType dtype, double value);
  std::string ints(std::vector<int64_t> values);
  // The variable's weight in another layout, which `suffix` names: "conv2d/kernel.OIHW". The value
  // of `value` is a variable's.
  std::string weight(Value value, std::string_view suffix,
                     const std::function<Tensor(const Tensor&)>& convert);
  const Tensor* weight_of(Value value) const;  // null: it is no variable
  std::string shape_of(Value value);           // i64[rank]
  // How often a value is used.
  int uses(Value value) const;
  // Permutes the axes: output axis i is input axis permutation[i].
  std::string transpose(const std::string& name, std::vector<int64_t> permutation);

  // An elementwise node: `emit` is given the names of the inputs, all in one form.
  void elementwise(const Node& node, const std::function<std::string(const Names&)>& emit);

 private:
  struct Forms {
    std::string last, first;  // empty: not there
  };

  Forms& forms(Value value);
  void write_node(const Node& node);
  void write_source(const Node& node);
  std::string unique(const std::string& wanted);
  std::string initializer(const std::string& name, const Tensor& tensor);
  void remove_unused();
  void give_outputs(const std::vector<Value>& outputs, const std::vector<std::string>& names);

  onnx::GraphProto& graph_;
  const nn::StateMap& weights_;
  std::unordered_map<Value, Forms, ValueHash> forms_;
  std::unordered_map<Value, std::string, ValueHash> operands_;  // of channels_first_operand()
  std::unordered_map<Value, int, ValueHash> uses_;
  std::unordered_set<std::string> names_;
  std::unordered_map<std::string, int> suffixes_;
  std::unordered_map<std::string, int> producers_;
  std::unordered_map<std::string, std::string> layouts_;               // of weight()
  std::map<std::pair<std::string, uint64_t>, std::string> constants_;  // by type and contents
  std::string scope_;  // the name of the node that is being written
};

// A tensor of ours in ONNX's type. REQUIRES: not of texts.
int onnx_dtype(DType dtype);
void fill_onnx_tensor(const Tensor& tensor, onnx::TensorProto& proto);

}  // namespace trireme::formats

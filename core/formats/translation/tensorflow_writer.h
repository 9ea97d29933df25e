// Writes the nodes of one function of TensorFlow. One thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "core/formats/translation/op_translation.h"
#include "proto/tf/graph.pb.h"
#include "proto/tf/tensor.pb.h"

namespace trireme::formats {

// TensorFlow's number for a type.
tf::DataType tensorflow_type(DType dtype);
void set_tensorflow_shape(const Shape& shape, tf::TensorShapeProto* proto);
tf::TensorProto tensorflow_tensor(const Tensor& tensor);

// What a node's attribute may be; a list of numbers is one of i64.
using TensorflowAttribute =
    std::variant<bool, int64_t, float, std::string, tf::DataType, std::vector<int64_t>, Shape,
                 tf::TensorProto, tf::AttrValue>;
using TensorflowAttributes = std::vector<std::pair<std::string, TensorflowAttribute>>;

// A value within the function: an argument, or "node:output:index".
struct TensorflowValue {
  std::string name;
  tf::DataType type = tf::DT_INVALID;
};
using TensorflowValues = std::vector<TensorflowValue>;

class TensorflowWriter {
 public:
  // Writes a new function of that name, which must be new in the library; both are borrowed.
  TensorflowWriter(tf::FunctionDefLibrary& library, const std::string& name);
  TensorflowWriter(const TensorflowWriter&) = delete;

  // Adds a node of one output. Attributes of types, and of numbers of values, follow from the
  // inputs; `attributes` has the others. REQUIRES: the op is in tensorflow_ops.cc.
  TensorflowValue add(std::string_view op, const TensorflowValues& inputs,
                      TensorflowAttributes attributes = {});
  // Of several outputs, or of a list.
  TensorflowValues add_all(std::string_view op, const TensorflowValues& inputs,
                           TensorflowAttributes attributes = {});

  // Constants; equal ones are one node.
  TensorflowValue constant(const Tensor& tensor);
  TensorflowValue scalar(tf::DataType type, double value);  // of any type but strings
  TensorflowValue number(int64_t value);                    // i32, as most ops of TensorFlow take
  TensorflowValue numbers(const std::vector<int64_t>& values);  // i32[n]

  // The sizes of `value`, i32[rank]: a constant where all are known.
  TensorflowValue shape_of(Value value);
  // The same of `shape`, where sizes of -1 are those of the same axis of `like`.
  TensorflowValue sizes(const Shape& shape, Value like);
  // Of the shape of `value`, each element the number.
  TensorflowValue filled(Value like, double number);
  TensorflowValue cast(const TensorflowValue& x, tf::DataType type);
  TensorflowValue reshape(const TensorflowValue& x, const std::vector<int64_t>& shape);
  TensorflowValue transpose(const TensorflowValue& x, const std::vector<int64_t>& permutation);
  TensorflowValue slice(const TensorflowValue& x, const std::vector<int64_t>& begin,
                        const std::vector<int64_t>& size);

  // What stands for a value of our graph. Throws TranslationError where that is not written.
  const TensorflowValue& of(Value value) const;
  const TensorflowValue& input(const Node& node, int index) const { return of(node.input(index)); }
  void set(Value value, TensorflowValue written) { values_[value] = std::move(written); }
  void set(const Node& node, TensorflowValue written) {
    set(Value{const_cast<Node*>(&node), 0}, std::move(written));
  }
  void set(const Node& node, int output, TensorflowValue written) {
    set(Value{const_cast<Node*>(&node), output}, std::move(written));
  }

  // Everything that `outputs` need and that is not set already: constants, variables that are set
  // and what the table says of the other ops. What has no translation is added to `untranslated`.
  void write(std::span<const Value> outputs, Untranslated& untranslated);

  TensorflowValue add_argument(const std::string& name, tf::DataType type);
  void add_result(const std::string& name, const TensorflowValue& value);
  // Adds a function to the library, which `body` writes, and returns its name.
  std::string add_function(const std::string& name,
                           const std::function<void(TensorflowWriter&)>& body);

 private:
  std::string unique_name(const std::string& wanted);
  void write_node(const Node& node);

  tf::FunctionDefLibrary& library_;
  tf::FunctionDef& function_;
  std::unordered_map<Value, TensorflowValue, ValueHash> values_;
  std::unordered_set<std::string> names_;
  std::unordered_map<std::string, int> suffixes_;
  std::map<std::string, TensorflowValue> constants_;  // by their serialized tensor
  std::string node_name_;                             // of the node of ours that is being written
};

}  // namespace trireme::formats

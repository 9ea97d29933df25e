// One node of TensorFlow's graph that is taken over, as its import function sees it; and the table
// of these functions, by the name of the op.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/formats/saved_model/graph_importer.h"

namespace trireme::formats {

class ImportCall {
 public:
  ImportCall(GraphImporter& importer, const tf::NodeDef& node, ImportValues inputs,
             const GraphImporter::Attributes* bound);

  GraphImporter& importer() const { return importer_; }
  const std::string& op() const { return node_.op(); }
  const tf::NodeDef& node() const { return node_; }

  int count() const { return static_cast<int>(inputs_.size()); }
  const ImportValue& input(int i) const;  // throws when the node has fewer
  bool any_missing() const;
  // All inputs are known: then so is the result, and the graph is one that is thrown away.
  bool folds() const { return folds_; }
  Graph& graph() { return folds_ ? *scratch_ : importer_.graph(); }

  // An input as a value of graph(). Throws when it is none.
  Value value(int i);
  Value value(const ImportValue& input);
  bool is_known(int i) const { return input(i).is(ImportValue::Kind::kTensor); }
  const Tensor& tensor(int i) const;            // throws when it is not known
  std::vector<int64_t> ints(int i) const;       // of whole numbers; throws when they are not known
  int64_t integer(int i) const;                 // likewise, one of them
  std::vector<BatchNumber> sizes(int i) const;  // may depend on the batch
  const ImportValues& list(int i) const;

  // The node's attributes. What is absent is `otherwise`, as TensorFlow leaves out defaults.
  const tf::AttrValue* attribute(const std::string& name) const;
  bool flag(const std::string& name, bool otherwise = false) const;
  int64_t integer(const std::string& name, int64_t otherwise) const;
  double number(const std::string& name, double otherwise) const;
  std::string text(const std::string& name, const std::string& otherwise = "") const;
  std::vector<int64_t> integers(const std::string& name) const;
  std::vector<std::string> texts(const std::string& name) const;
  DType dtype(const std::string& name, DType otherwise) const;
  const tf::NameAttrList& function(const std::string& name) const;

  void require(bool condition, std::string_view expected) const;

  // What the node gives. The unknown dimension of `value` is the one of the inputs', if not said.
  ImportValue result(Value value);
  ImportValue result(Value value, int64_t per_batch);
  ImportValues results(std::initializer_list<Value> values);

 private:
  GraphImporter& importer_;
  const tf::NodeDef& node_;
  ImportValues inputs_;
  const GraphImporter::Attributes* bound_;  // of the function that the node is in; may be null
  bool folds_ = false;
  std::unique_ptr<Graph> scratch_;
};

struct ImportRow {
  std::function<ImportValues(ImportCall&)> import;
  // Of an op with several, where each is a single tensor.
  std::vector<std::string> outputs = {};
  // It is called although inputs are missing or dead, so that what is in its functions is found.
  bool takes_missing = false;
};

// By the name of TensorFlow's op; read-only, made at the first call.
class ImportTable {
 public:
  static const ImportTable& get();
  const ImportRow* find(const std::string& op) const;
  std::vector<std::string> ops() const;  // sorted

  void add(std::initializer_list<const char*> ops, ImportRow row);

 private:
  std::unordered_map<std::string, ImportRow> rows_;
};

// Each in the file of its family.
void add_math_imports(ImportTable& table);
void add_array_imports(ImportTable& table);
void add_shape_imports(ImportTable& table);
void add_image_imports(ImportTable& table);
void add_control_imports(ImportTable& table);

// TensorFlow's tensor as ours. Throws Error{kInvalidArgument} saying what does not fit.
Tensor tensor_of(const tf::TensorProto& proto, uint64_t most_bytes);

}  // namespace trireme::formats

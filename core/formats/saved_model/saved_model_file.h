// A SavedModel as it lies on the disk: its graph, its signatures and its variables, before anything
// is made of them.
//
// What TensorFlow 2 wrote has a graph of objects, which says of each function which variables it
// captures; what TensorFlow 1 wrote has names only. Tensors stay in the file until they are asked
// for. Const calls from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/io/tensor_bundle.h"
#include "core/tensor/tensor.h"
#include "proto/tf/saved_model.pb.h"

namespace trireme::formats {

// A variable of the model's.
struct SavedVariable {
  std::string name;           // "dense/kernel"; differs from that of any other
  std::string key;            // of its value in the bundle; empty: the bundle has none
  TensorType type;            // as the bundle has it; of a `dtype` that Trireme lacks, f32[]
  std::string unknown_dtype;  // "DT_COMPLEX64"; empty: Trireme has it
  bool is_trainable = true;
};

// One input or output of a signature.
struct SignatureValue {
  std::string name;    // "keras_tensor", "output_0"
  std::string tensor;  // "serving_default_keras_tensor:0"
  std::optional<DType> dtype;
  std::string dtype_name;
  std::optional<Shape> shape;  // -1: any size; nothing: of any rank
};

struct Signature {
  std::string name;
  std::vector<SignatureValue> inputs, outputs;  // in the order of names
};

// What a function captures: a variable or another object's node of the graph.
struct Capture {
  std::optional<size_t> variable;
  std::string constant;  // the node of the graph that has the value; empty: none
  std::string what;      // for messages: "resource", "asset"
};

class SavedModelFile {
 public:
  // Throws Error{kNotFound} when there is no SavedModel at `path`, Error{kDataLoss} when it is
  // damaged, naming the file.
  static std::shared_ptr<const SavedModelFile> open(const std::string& path);

  const std::string& path() const { return path_; }
  const tf::MetaGraphDef& graph() const { return graph_; }
  const std::string& version() const { return graph_.meta_info_def().tensorflow_version(); }

  // In the order of names, without those that only TensorFlow's loader uses.
  const std::vector<Signature>& signatures() const { return signatures_; }
  // That of this name; of an empty one "serving_default", or the only one. Throws
  // Error{kInvalidArgument} listing those that there are.
  const Signature& signature(std::string_view name) const;

  const std::vector<SavedVariable>& variables() const { return variables_; }
  // Of a function of the library, by its last arguments; null: the file does not say.
  const std::vector<Capture>* captures(const std::string& function) const;
  // The variable that a node of the graph is the handle of, by its shared name and its own;
  // nothing: there is none.
  std::optional<size_t> find_variable(const std::string& shared_name,
                                      const std::string& node_name) const;
  // The value of a variable, checked against its checksum once. Large ones are not copied: they are
  // pages of the file until somebody writes to them. Do not write to it. Throws Error{kDataLoss}.
  Tensor read(size_t variable) const;
  // A job file that was kept with the model; empty: none.
  std::string job_text() const;
  // Tensors and signatures, for people.
  std::string describe() const;

 private:
  explicit SavedModelFile(const std::string& path);
  void choose_graph(tf::SavedModel& model, const std::string& file);
  void read_signatures();
  void read_objects();
  void read_trainable_collection();
  void read_named_variables();
  size_t add_variable(std::string name, const std::string& key, bool is_trainable);

  std::string path_;
  tf::MetaGraphDef graph_;
  std::vector<Signature> signatures_;
  std::unique_ptr<io::BundleReader> bundle_;  // null: the model has no variables
  std::vector<SavedVariable> variables_;
  std::unordered_map<std::string, size_t> by_key_, by_full_name_;
  std::unordered_map<std::string, int> names_taken_;
  std::unordered_map<std::string, std::vector<Capture>> captures_;
  std::vector<std::string> trainable_names_;  // of TensorFlow 1's collection
  bool has_trainable_collection_ = false;
  mutable std::mutex mutex_;
  mutable std::map<size_t, Tensor> values_;
};

// The DataType number of TensorFlow as ours; nothing: Trireme lacks it.
std::optional<DType> dtype_of_tensorflow(int number);
std::string tensorflow_dtype_name(int number);

}  // namespace trireme::formats

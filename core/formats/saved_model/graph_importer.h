// Builds in our graph what a signature of a SavedModel computes.
//
// The importer runs TensorFlow's graph in the abstract: constants, sizes, loop counters and lists
// of tensors are computed here and now, and what depends on the data becomes nodes of our graph. So
// functions are inlined, loops whose number of steps is known are unrolled, and branches whose
// condition is known are chosen. Sizes may be a multiple of the batch.
//
// Only what the outputs need is looked at. Ops that Trireme lacks are all named in one Error. How
// each op is taken over stands in import_math.cc, import_arrays.cc, import_images.cc and
// import_control.cc. One thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/formats/saved_model/import_value.h"
#include "core/formats/saved_model/saved_model_file.h"

namespace trireme {
class KernelTable;
}

namespace trireme::formats {

// What a file can make the importer do at most.
struct ImportLimits {
  // A loop of 1000 steps with 100 nodes in its body has 100 000; this many take seconds.
  int64_t evaluated_nodes = 4'000'000;
  // Of our graph: what a training could still plan.
  int64_t graph_nodes = 1'000'000;
  int64_t call_depth = 64;          // functions within functions; Keras has about 5
  int64_t loop_steps = 100'000;     // of one loop; what they make counts as nodes, too
  uint64_t known_bytes = 1u << 30;  // of values that are computed here, all together
};

class GraphImporter {
 public:
  // `variable`: makes the node of a floating-point variable of the file, asked once for each.
  // All references must outlive this object.
  GraphImporter(const SavedModelFile& file, Graph& graph,
                std::function<Value(size_t variable)> variable, ImportLimits limits = {});
  ~GraphImporter();

  // The outputs of these names. `inputs`: as many as the signature has, in its order. Throws
  // Error{kInvalidArgument} naming all ops that are missing, or the node that cannot be taken over.
  std::vector<Value> import(const Signature& signature, std::span<const Value> inputs,
                            std::span<const std::string> outputs);
  // What the signature does besides giving outputs, and is left out: a sentence each.
  const std::vector<std::string>& notes() const { return notes_; }

  // --- for the functions that take over an op

  struct Body;
  struct Frame;
  using Attributes = google::protobuf::Map<std::string, tf::AttrValue>;

  Graph& graph() { return graph_; }
  const SavedModelFile& file() const { return file_; }
  const ImportLimits& limits() const { return limits_; }
  // What a function of the library gives for these arguments. Empty: it could not be evaluated.
  ImportValues call_function(const std::string& name, ImportValues arguments,
                             const Attributes* attributes);
  ImportValue read_variable(size_t variable);
  // The number of examples, as i64[] of our graph.
  Value batch_size();
  // The numbers as a value of our graph.
  Value value_of_numbers(const ImportValue& numbers);
  // `number` everywhere, in a shape of which one dimension depends on the batch.
  ImportValue filled(std::span<const BatchNumber> dimensions, DType dtype, double number);
  // What a node of a graph of constants gives.
  Tensor evaluate(Value value);
  // Throws Error{kInvalidArgument} when values that are known take too much memory.
  void charge(uint64_t bytes);

 private:
  friend class ImportCall;

  const Body& body_of(const std::string& function);
  void evaluate_nodes(Frame& frame, std::vector<int> wanted);
  void run_node(Frame& frame, int node);
  void bind_captures(const std::string& function, ImportValues& arguments);
  ImportValue value_of_capture(const Capture& capture);
  void note_assignments(const Frame& frame);
  void add_missing(const std::string& op, const std::string& node);
  void throw_problems(const Signature& signature);

  const SavedModelFile& file_;
  Graph& graph_;
  std::function<Value(size_t)> make_variable_;
  ImportLimits limits_;
  std::shared_ptr<const KernelTable> kernels_;
  std::unique_ptr<Body> main_;
  std::unique_ptr<Frame> main_frame_;
  std::unordered_map<std::string, const tf::FunctionDef*> library_;
  std::unordered_map<std::string, std::unique_ptr<Body>> bodies_;
  std::unordered_map<size_t, ImportValue> variables_;
  Value batch_source_, batch_size_;
  int64_t depth_ = 0, evaluated_ = 0;
  uint64_t known_bytes_ = 0;
  struct Missing {
    int64_t count = 0;
    std::string example;
  };
  std::map<std::string, Missing> missing_;  // by op
  std::string problem_;                     // the first node that could not be taken over
  std::map<size_t, std::string> assigned_;  // variables that are changed, and a node that does it
  std::vector<std::string> notes_;
};

}  // namespace trireme::formats

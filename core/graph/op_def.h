// OpDef: all that is known of an op but its kernels. OpTable: the ops that a graph may use.
//
// An op's shape rule runs twice: when a node is built (dimensions may be -1) and when a plan is
// made for feeds whose shapes are known. It must therefore accept -1 wherever a batch can stand.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/attribute_def.h"
#include "core/graph/attributes.h"
#include "core/tensor/tensor.h"

namespace trireme {

class CrossBatchContext;
class Graph;
class GradientContext;
class InferenceContext;
class Node;
struct UpdateRule;
struct Value;

// Where a value comes from that no kernel computes.
enum class Source { kNone, kFed, kVariable, kConstant };

// What mixed precision makes of an op's f32 inputs (core/passes/mixed_precision.h).
enum class PrecisionClass {
  kWide,        // they stay f32
  kProduct,     // of 16 bits; the sums are f32
  kFollow,      // of 16 bits where one is already
  kArithmetic,  // the same, where all are or are leaves
  kNormalise,   // input 0 as it is, the others f32
};

struct OpTraits {
  // Output 0 may be written over any of these inputs when that input dies there and has the same
  // size.
  std::vector<int> in_place_inputs;
  // These inputs are variables that the kernel updates in place. All other readers of them run
  // before.
  std::vector<int> mutated_inputs;
  // Output 0 is the bytes of input 0 under another shape: it costs nothing and has no kernel.
  bool is_view = false;
  // Has an effect besides its outputs, or differs from run to run: never folded, merged or dropped
  // with equal inputs.
  bool is_stateful = false;
  // Swapping inputs 0 and 1 changes nothing.
  bool is_commutative = false;
  // Output element i depends on element i of each (broadcast) input only, or on shapes. Such ops
  // can run together, as a chain (core/ops/elementwise_chain.h).
  bool is_elementwise = false;
  // Runs on the communication stream, next to the compute stream.
  bool is_communication = false;
  // Its work is the host's (a network, files): it has kernels for CPUs only, and is placed there.
  bool runs_on_host = false;
  // Output i has the type of input i; all outputs lie side by side, each aligned to kAlignment, and
  // an input that nobody else needs is planned to be its output: what makes it writes it there.
  bool packs_outputs = false;
  // Which input's dtype chooses the kernel; -1: that of output 0.
  int kernel_dtype_input = 0;
  // Other than kNone: it has no inputs and no kernel.
  Source source = Source::kNone;
  // Its kernel is a copy between devices, which their streams do.
  bool is_copy = false;
  // A view that only adds or takes away axes of size 1, those in the attribute "axes"; a chain of
  // elementwise ops may hold it.
  bool is_axis_view = false;
  PrecisionClass precision = PrecisionClass::kWide;
  // Inputs that are numbers of rows or classes: of i32 or i64, which is checked.
  std::vector<int> index_inputs;
  // Inputs that lend their shape (and dtype) only.
  std::vector<int> shape_inputs;
  // On hosts, kernels for 16-bit floats may be made of those for f32 (core/device/small_floats.h).
  bool has_small_by_f32 = false;
  // The op that is this one for 16-bit inputs but gives f32, as its sums are. Empty: there is none.
  std::string wide_form;
};

// Of an op that changes a variable by a rule (core/rules): where its inputs stand, and its other
// forms. Inputs come in the order variable, slots, learning rate (f32[]), step (i64[]), gradient or
// indices and rows, guard (bool[]).
struct UpdateFacts {
  std::shared_ptr<const UpdateRule> rule;
  std::string form;  // the op, dense and without guard, of the form of the rule
  int slots = 0;     // of the variable's type
  bool has_learning_rate = false, has_step = false;
  bool is_sparse = false;   // only the rows that indices name change
  bool is_guarded = false;  // where the guard is false nothing changes
  // The op that is this one but for that. Empty: there is none, or this is it.
  std::string sparse, guarded;

  int own() const { return 1 + slots; }  // the variable and its slots
  int learning_rate_input() const { return own(); }
  int step_input() const { return own() + has_learning_rate; }
  int shared() const { return has_learning_rate + has_step; }  // inputs of all updates of a step
  int gradient_input() const { return own() + shared(); }      // or that of the indices
  int guard_input() const { return gradient_input() + (is_sparse ? 2 : 1); }
  int inputs() const { return guard_input() + is_guarded; }
};

// What an elementwise op computes, as an expression of its inputs `a` and `b` that is C++ and CUDA
// C++ alike, for each kind of number; empty: not for those. T is the type of the inputs, U is T
// without a sign, whose overflow is defined. u8 is computed as i32 and cut off after, f16 and bf16
// as f32.
struct ElementwiseFormula {
  std::string real, integer, boolean;
  bool gives_bool = false;  // else a T
  // Source of what it calls besides the functions of <cmath>.
  std::string functions;

  const std::string& text(DType dtype) const {
    return is_floating(dtype) ? real : is_integer(dtype) ? integer : boolean;
  }
};

struct OpDef {
  std::string name;
  int min_inputs = 0;
  int max_inputs = 0;  // -1: any number
  // The attributes that a node has; there are no others.
  std::vector<AttributeDef> attributes;
  // Returns the types of the outputs, or throws through InferenceContext::require.
  std::function<std::vector<TensorType>(const InferenceContext&)> infer;
  // Absent: the op cannot be differentiated (comparisons) and gradients stop there.
  std::function<void(GradientContext&)> gradient;
  // For an op that takes means over its batch: its outputs for a part of a batch, from means over
  // the whole of it. Absent: a part of a batch gives what it gives by itself.
  std::function<void(CrossBatchContext&)> cross_batch;
  // For an op of which a part is elementwise: the outputs of `node` by other ops, that part among
  // them, so that it can run together with what follows. Absent: the op is one piece.
  std::function<std::vector<Value>(const Node& node, std::span<const Value> inputs)> split;
  OpTraits traits;
  // The attribute that names another op of the table, whose attributes a node has besides. Empty:
  // none does.
  std::string attributes_of_op_in;
  std::optional<UpdateFacts> update = {};
  // Of an op with the trait is_elementwise: what generated kernels compute (core/device/cuda).
  ElementwiseFormula formula = {};
};

// What a shape rule sees.
class InferenceContext {
 public:
  InferenceContext(const OpDef& op, std::string_view node_name, std::vector<TensorType> inputs,
                   const Attributes& attributes)
      : op_(op), node_name_(node_name), inputs_(std::move(inputs)), attributes_(attributes) {}

  int input_count() const { return static_cast<int>(inputs_.size()); }
  const TensorType& input(int i) const { return inputs_.at(static_cast<size_t>(i)); }
  const Shape& shape(int i) const { return input(i).shape; }
  DType dtype(int i) const { return input(i).dtype; }
  const Attributes& attributes() const { return attributes_; }
  template <typename T>
  const T& attribute(std::string_view name) const {
    return attributes_.get<T>(name);
  }

  // The types of the outputs, by the op's rule. An error of the rule gets the node, its inputs and
  // its attributes as context.
  std::vector<TensorType> infer() const;

  // For rules: throws invalid_argument "expected <expectation>" when `condition` is false.
  void require(bool condition, std::string_view expectation) const;
  void require_same_dtype() const;
  void require_floating(int i = 0) const;

 private:
  const OpDef& op_;
  std::string_view node_name_;
  std::vector<TensorType> inputs_;
  const Attributes& attributes_;
};

class OpTable {
 public:
  OpTable() = default;
  OpTable(const OpTable&) = delete;  // a shape rule may refer to its table
  // Throws Error{kInternal} when an op of that name is there already.
  void add(OpDef op);
  // Throws Error{kInvalidArgument} naming the op when it is not there.
  const OpDef& find(std::string_view name) const;
  const OpDef* find_or_null(std::string_view name) const;
  std::vector<std::string> names() const;

  // Checks `attributes` against what `op` says of them, and adds the defaults. Throws
  // Error{kInvalidArgument} naming op, node and attribute, what was expected and what was found.
  void complete(const OpDef& op, std::string_view node_name, Attributes& attributes) const;

 private:
  std::map<std::string, std::unique_ptr<OpDef>, std::less<>> ops_;
};

}  // namespace trireme

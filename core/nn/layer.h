// Layers: what a model is made of. A layer builds nodes; it holds options, no values.
//
// Model calls every layer for training and for inference, in the same graph: variables are found
// again by their names, also where one layer is called on several inputs. A layer made of others
// hands them to BuildContext::call. Building happens on one thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/catalog/catalog.h"
#include "core/graph/graph.h"
#include "core/nn/activation.h"
#include "core/nn/constraints.h"
#include "core/nn/frozen.h"
#include "core/nn/initializers.h"
#include "core/nn/regularizers.h"
#include "core/nn/table_policy.h"

namespace trireme::nn {

enum class VariableRole {
  kTrainable,  // gets a gradient
  kState,      // kept by the layer itself: moving averages
  kSlot,       // kept by the optimizer
};

struct VariableSpec {
  std::string name;  // "dense/kernel"
  Value value;
  VariableRole role = VariableRole::kTrainable;
  Initializer initializer;
  Fans fans;
  // The variable that this one, on another device, always equals; empty: it is one of its own. A
  // copy is in no checkpoint.
  std::string copy_of;
  int copy_index = 0;
  bool is_optional = false;  // a checkpoint need not have it: then it keeps its value
  ConstraintPtr constraint;  // applied after each update; null: none
};

// The variables of a model in the order in which they were made.
class VariableRegistry {
 public:
  // The variable of that name, made when it is not there. Throws invalid_argument when it has
  // another type. `node_name`: of its node, within the graph's open scope.
  Value get_or_add(Graph& graph, const std::string& name, const std::string& node_name,
                   const TensorType& type, VariableRole role, const Initializer& initializer,
                   const Fans& fans = {});
  // The copy number `index` of a variable, made on `device` when it is not there.
  Value get_or_add_copy(Graph& graph, const std::string& of, int index, const std::string& device);
  void make_optional(const std::string& name);                        // REQUIRES: it is there
  void constrain(const std::string& name, ConstraintPtr constraint);  // REQUIRES: it is there
  const std::vector<VariableSpec>& all() const { return specs_; }
  const VariableSpec* find(const std::string& name) const;

 private:
  std::vector<VariableSpec> specs_;
  std::unordered_map<std::string, size_t> by_name_;
};

// The value that a variable starts with.
Tensor initial_value(const VariableSpec& spec, uint64_t seed);

// variable = momentum · variable + (1 − momentum) · value. The node is made when it is known whose
// value it is: add_updates() in train_graph.h.
struct MovingAverage {
  Value variable, value;
  double momentum = 0;
  Node* node = nullptr;
};

// An error about one layer; the message already says which. So a job file can say where that layer
// stands in it.
class LayerError : public Error {
 public:
  LayerError(const std::string& message, int number)
      : Error(ErrorCode::kInvalidArgument, message), number_(number) {}
  int number() const { return number_; }  // in its model, from 1

 private:
  int number_;
};

// A table of rows that a layer looks keys up in.
struct EmbeddingTable {
  std::string name;  // "LAYER/embeddings"
  int64_t rows = 0, dim = 0;
  Initializer initializer;
  std::optional<TablePolicy> policy = {};  // on parameter servers; nothing: every key has a row
  RegularizerPtr regularizer = {};         // not on parameter servers
  ConstraintPtr constraint = {};           // likewise
};

// A penalty that is added to the loss.
struct AddedLoss {
  Value value;  // f32[]
  // Of a variable, which has it in f32 whatever the precision of the model; else of activations.
  bool of_variable = false;
};

class BuildContext;
// Builds what has the rows of `keys` (i32 or i64 of any shape): keys' shape + [dim].
using EmbeddingLookup =
    std::function<Value(BuildContext& context, const EmbeddingTable& table, Value keys)>;

class Layer;

// Where a value of a model comes from: component `index` of the data's features, or the call number
// `index` of a layer, from 0.
struct ValueSource {
  bool is_feature = false;
  size_t index = 0;

  bool operator==(const ValueSource&) const = default;
};

// A layer that is called by the model itself.
struct LayerCall {
  size_t layer = 0;   // its index in the model
  size_t repeat = 0;  // how often it was called before
  std::vector<ValueSource> inputs;
};

// What a layer sees while it builds its nodes. Lives for one pass over the model.
class BuildContext {
 public:
  // `random_key`: i64[2], see ops.h; undefined when not training. `features`: see feature().
  BuildContext(Graph& graph, VariableRegistry& variables, std::vector<Value> features,
               bool training, Value random_key, uint64_t seed)
      : graph_(graph),
        variables_(variables),
        features_(std::move(features)),
        training_(training),
        random_key_(random_key),
        seed_(seed) {}

  Graph& graph() { return graph_; }
  bool training() const { return training_; }
  Value random_key() const { return random_key_; }
  // Component `index` of the data's features, for a layer that takes one which is not among its
  // inputs. Throws LayerError when the data has fewer.
  Value feature(size_t index) const;
  // The seed of the current layer's random numbers: of the model's seed and the layer's name, and
  // of which of its calls this is, when there are several.
  int64_t layer_seed() const;

  // The current layer's variable "LAYER/NAME". One that is not trainable is kept by the layer
  // itself; one that is frozen counts as such.
  Value variable(const std::string& name, const Shape& shape, const Initializer& initializer,
                 const Fans& fans = {}, bool trainable = true);
  // The same for one that may have a penalty and a constraint; null: none. A penalty counts once,
  // however often the layer is called, and not where the variable is frozen.
  Value variable(const std::string& name, const Shape& shape, const Initializer& initializer,
                 const Fans& fans, const RegularizerPtr& regularizer,
                 const ConstraintPtr& constraint);

  // The variable "OWNER/NAME" of any type, OWNER being the name of a layer of the model (empty: of
  // the current one): layers that name the same owner share it. Not trainable, or frozen: kept by
  // the layer itself.
  Value shared_variable(const std::string& owner, const std::string& name, const TensorType& type,
                        const Initializer& initializer, bool trainable);

  // Whether the current layer's variable of that name is trained: neither the layer, nor one that
  // it is in, has `trainable: false`, and no pattern of set_frozen() is of it. A batch
  // normalisation whose "gamma" is not works as in inference.
  bool trains(const std::string& name) const;
  // Borrowed, beyond this object's life; null: nothing is frozen by name.
  void set_frozen(FrozenNames* frozen) { frozen_ = frozen; }

  // Adds f32[], a mean over the batch's examples or of variables only, to the loss that is
  // minimised and shown.
  void add_loss(Value penalty) { added_losses_.push_back({penalty, false}); }
  // Adds the regularizer's penalty of what the layer gives, divided by the number of examples.
  // Null: nothing.
  void add_activity_loss(const RegularizerPtr& regularizer, Value y);
  const std::vector<AddedLoss>& added_losses() const { return added_losses_; }

  // The rows `keys` of the current layer's table "LAYER/NAME", NAME being `table.name`: of a
  // variable [rows, dim], or of wherever set_embedding_lookup() keeps tables.
  Value embedding(EmbeddingTable table, Value keys);
  void set_embedding_lookup(EmbeddingLookup lookup) { lookup_ = std::move(lookup); }

  // Each training step moves `variable` towards `value`. Throws LayerError when it is moved
  // already: by another call of the layer.
  void add_moving_average(Value variable, Value value, double momentum);
  const std::vector<MovingAverage>& moving_averages() const { return moving_averages_; }

  // Which steps of a sequence x: [batch, time, …] are there: bool [batch, time], false where it is
  // padded. Undefined: all of them. What a layer gives has the mask of its inputs where
  // Layer::keeps_mask() says so; it has several inputs: steps that are there in all of them.
  Value mask(Value x) const;
  void set_mask(Value y, Value mask);

  // Builds `layer`, a part of the current one, on its inputs. What does not fit is a LayerError
  // that names the layer and where its input came from.
  Value call(Layer& layer, Value x) { return call(layer, std::span(&x, 1)); }
  Value call(Layer& layer, std::span<const Value> inputs);
  // The same on [batch·steps, …], the steps of each example one after another: random numbers of
  // row r are those of step r % steps of an example, however the batch is split.
  Value call_on_steps(Layer& layer, Value x, int64_t steps);
  // The same for a layer of the model itself, whose inputs are features or were called before.
  Value call(Layer& layer, const LayerCall& call);

  // Throws `layer 3 (dense "logits"): expected EXPECTED, found TYPE from layer 2 (flatten "f");
  // ADVICE`, where TYPE is that of the input number `input`.
  void require(bool condition, std::string_view expected, std::string_view advice = "",
               size_t input = 0) const;

  // The output of each call of a layer by the model, in order.
  struct Output {
    std::string name, type;
    Value value;
    int layer_number = 0;  // from 1
  };
  const std::vector<Output>& outputs() const { return outputs_; }
  Value value_of(const ValueSource& source) const;

 private:
  int layer_number() const { return static_cast<int>(call_.layer) + 1; }
  std::string describe_layer() const;
  std::string describe_source(const ValueSource& source) const;
  bool trains_as(const std::string& full_name) const;
  void pass_mask(Value y);  // from inputs_

  Graph& graph_;
  VariableRegistry& variables_;
  std::vector<Value> features_;
  bool training_;
  Value random_key_;
  uint64_t seed_;
  EmbeddingLookup lookup_;  // null: tables are variables
  std::vector<MovingAverage> moving_averages_;
  FrozenNames* frozen_ = nullptr;
  std::vector<AddedLoss> added_losses_;
  std::unordered_set<std::string> penalized_;   // variables
  std::vector<std::pair<Value, Value>> masks_;  // of a value, by that value
  std::vector<Output> outputs_;
  std::vector<const Layer*> stack_;  // outermost first
  std::string scope_;                // "block/dense/"
  LayerCall call_;                   // of the outermost
  std::vector<Value> inputs_;        // of the innermost
};

// The names of the layers of a list, which differ.
class LayerNames {
 public:
  // False when the name is there already.
  bool take(const std::string& name) { return taken_.insert(name).second; }
  // A name that was not there: "dense", "dense_1", …
  std::string make(const std::string& type);

 private:
  std::unordered_set<std::string> taken_;
  std::unordered_map<std::string, int> suffixes_;  // the last one, by type
};

class Layer : public Component {
 public:
  static constexpr std::string_view kFamily = "layer";
  explicit Layer(std::string name = "") : name_(std::move(name)) {}

  void describe_common(OptionVisitor& visitor) override;  // name, inputs, trainable

  const std::string& name() const { return name_; }  // Model gives one to a layer without
  void set_name(std::string name) { name_ = std::move(name); }
  // What it is called on, by name: layers above, or "feature_0", "feature_1", … for the components
  // of the data's features. Empty: the layer above; of the first one feature_0. Not looked at where
  // a model is built by functions.
  const std::vector<std::string>& inputs() const { return inputs_; }
  void set_inputs(std::vector<std::string> names) { inputs_ = std::move(names); }
  // False: a training leaves its variables, and those of the layers in it, as they are.
  bool trainable() const { return trainable_; }
  void set_trainable(bool trainable) { trainable_ = trainable; }

  virtual std::string type() const = 0;  // "dense"
  // Builds the layer. One that takes a single input overrides the first, which the second calls;
  // one that takes several overrides the second, call_inputs().
  virtual Value call(BuildContext& context, Value x);
  virtual Value call_inputs(BuildContext& context, std::span<const Value> inputs);
  // Whether step t of what it gives belongs to step t of its input, so that the mask of the input
  // is that of the output, too. Asked only where both have the same rank and number of steps.
  virtual bool keeps_mask() const { return true; }
  // What is applied last to what it gives, where it says so itself.
  virtual Activation output_activation() const { return Activation::kNone; }

 private:
  std::string name_;
  std::vector<std::string> inputs_;
  bool trainable_ = true;
};

using LayerList = std::vector<std::unique_ptr<Layer>>;

// The regularizers and constraints of a layer with a kernel and a bias, whose options have members
// of these names.
template <typename Options>
void describe_weight_rules(OptionVisitor& visitor, Options& options) {
  describe(visitor, {.name = "kernel_regularizer", .help = "penalty of the kernel"},
           options.kernel_regularizer);
  describe(visitor, {.name = "bias_regularizer", .help = "penalty of the bias"},
           options.bias_regularizer);
  describe(visitor,
           {.name = "activity_regularizer",
            .help = "penalty of the output, divided by the number of examples"},
           options.activity_regularizer);
  describe(visitor, {.name = "kernel_constraint", .help = "holds for the kernel after each update"},
           options.kernel_constraint);
  describe(visitor, {.name = "bias_constraint", .help = "holds for the bias after each update"},
           options.bias_constraint);
}

// A layer whose options are a struct with a member `name`, a function describe(OptionVisitor&), and
// maybe check() const, which throws Error{kInvalidArgument} when they do not go together. Options
// are checked when the layer is added to a model.
template <typename OptionsType>
class LayerOf : public Layer {
 public:
  using Options = OptionsType;
  explicit LayerOf(Options options = Options())
      : Layer(options.name), options_(std::move(options)) {}
  void describe(OptionVisitor& visitor) override { options_.describe(visitor); }
  void check() const override {
    if constexpr (requires(const Options& options) { options.check(); }) options_.check();
  }
  const Options& options() const { return options_; }

 protected:
  Options options_;
};

}  // namespace trireme::nn

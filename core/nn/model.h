// A Model: a network of layers, and what is done with it: compile, fit, evaluate, predict.
//
//   Model model({.seed = 1});
//   model.add<Flatten>().add<Dense>({.units = 10});
//   model.compile({.optimizer = std::make_shared<Adam>(), .loss =
//   sparse_categorical_cross_entropy(),
//                  .metrics = {sparse_categorical_accuracy()}});
//   History history = model.fit(train, {.epochs = 3, .validation = test});
//
// Models that are no row of layers are in core/nn/network.h.
//
// Owns its graph, its session and through it the variables. One thread at a time. Data sets are
// batched; their last component is the labels, the others are the features. The first layer gets
// the first of these, where it does not say which it takes. Errors of the user's are
// Error{kInvalidArgument}.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/data/dataset.h"
#include "core/nn/callbacks.h"
#include "core/nn/layer.h"
#include "core/nn/network.h"
#include "core/nn/optimizers.h"
#include "core/nn/precision.h"
#include "core/nn/progress.h"
#include "core/nn/step_function.h"
#include "core/nn/train_graph.h"
#include "core/nn/training_group.h"
#include "core/runtime/session.h"

namespace trireme::nn {

struct ModelOptions {
  std::string name = "sequential";
  uint64_t seed = 1;  // of initial values and of dropout
  SessionOptions session;
  std::shared_ptr<const OpTable> ops;  // null: core_op_table()
  EmbeddingLookup embedding_lookup;    // null: tables are variables
  Precision precision = Precision::kFloat32;
  LossScaleOptions loss_scale;           // of Precision::kMixedFloat16
  std::vector<std::string> freeze = {};  // patterns of FrozenNames
};

struct CompileOptions {
  std::shared_ptr<const Optimizer> optimizer;
  Loss loss;
  std::vector<Metric> metrics;
  std::vector<Metric> weighted_metrics = {};  // where examples count as much as in the loss
  // How much the examples of a class count in the training's loss; those of others count 1. Only
  // with a single loss.
  std::map<int64_t, double> class_weights = {};
  // Instead of `loss` and the metrics: those of several outputs.
  std::vector<OutputLoss> outputs = {};
  TrainGraphRewrite build_gradients;    // a strategy's; null: add_gradients()
  TrainGraphRewrite rewrite_gradients;  // runs when gradients are there and updates are not
  TrainGraphRewrite rewrite_updates;    // runs when updates are there too
  bool gradient_norm = false;           // of each step, for StepFunction::gradient_norm()
};

// How far a training is.
struct TrainPlace {
  int64_t step = 0;
  int64_t epoch = 0;       // that is under way
  int64_t epoch_step = 0;  // steps taken in it; when these are all, it is still to be left
};

struct FitOptions {
  int64_t epochs = 1;           // in all: a resumed training does what is left of them
  int64_t steps_per_epoch = 0;  // 0: one pass over the data set
  std::optional<data::Dataset> validation = {};
  std::vector<std::shared_ptr<Callback>> callbacks = {};
  std::optional<StateMap> resume = {};                            // a checkpoint's tensors
  std::optional<ProgressOptions> progress = standard_progress();  // nothing: silent
  bool allow_nan = false;          // else a loss that is no finite number is an Error{kFailed}
  TrainingGroup* group = nullptr;  // borrowed; null: this process trains by itself
  // Where this process goes on when `resume` is not there or not as far: at that place of the data
  // set. What came before in its epoch is in no mean. REQUIRES: epochs of known length.
  std::optional<TrainPlace> place = {};
};

// The tensors of one batch, for the functions on batches.
struct Batch {
  std::vector<Tensor> features, labels;
  std::optional<Tensor> sample_weights = {};
};

struct History {
  // "loss", "val_accuracy", …: one for each epoch; nothing where there is no such number.
  std::map<std::string, std::vector<std::optional<double>>> values;
  // "confusion_matrix", "val_confusion_matrix": n·n numbers of the last epoch, row after row.
  std::map<std::string, std::vector<double>> tables;
  int64_t epochs = 0, steps = 0;               // since training began, resumed ones too
  std::string stop_reason;                     // empty: all epochs were done
  double data_wait_seconds = 0;                // that this process waited for training batches
  double last(const std::string& name) const;  // throws Error{kNotFound} when there is none
};

// The name of a data set's last component, f32 for each example, that says how much examples count.
inline constexpr std::string_view kSampleWeight = "sample_weight";

// Of one batch; the first dimension may be anything.
struct BatchTypes {
  std::vector<TensorType> features;
  std::vector<TensorType> labels;
  std::optional<TensorType> sample_weights = {};
  std::vector<std::string> names = {};  // of the features and labels
};

// Of a batched data set of features, `labels` components of labels, and maybe weights. Throws
// Error{kInvalidArgument} when it is none.
BatchTypes batch_types(const data::Dataset& dataset, size_t labels = 1);
// How many components of labels the data has for these losses: one for each that names none.
size_t label_components(std::span<const OutputLoss> outputs);

class Model {
 public:
  explicit Model(ModelOptions options = {});
  // Of functions that were called on the inputs. The data give the features in the order of
  // `inputs`; a single loss is of the first output, and a training leaves alone what only others
  // need. Throws Error{kInvalidArgument} as Network does.
  Model(const std::vector<LayerOutput>& inputs, const std::vector<LayerOutput>& outputs,
        ModelOptions options = {});
  ~Model();
  Model(const Model&) = delete;

  // A layer without a name gets its type's: "dense", "dense_1". Throws Error{kInvalidArgument} when
  // a name is there already, for options that are out of their range, and for `inputs` of the
  // layer that are no layers above.
  Model& add(std::unique_ptr<Layer> layer);
  template <typename L>
  Model& add(typename L::Options options = {}) {
    return add(std::make_unique<L>(std::move(options)));
  }

  // The outputs of a model of layers, by name, instead of the last one's; what compile() names as
  // outputs are such too. REQUIRES: not built, and not by functions.
  void set_outputs(const std::vector<std::string>& names) { output_names_ = names; }
  // Builds the inference pass and gives the variables their first values. `features`: as in
  // BatchTypes. fit, evaluate and predict call it with the types of their data.
  void build(const std::vector<TensorType>& features);
  void build(const TensorType& feature) { build(std::vector<TensorType>{feature}); }
  void build();  // REQUIRES: the model was built by functions, whose inputs say their types
  bool is_built() const { return session_ != nullptr; }
  std::string summary() const;  // REQUIRES: is_built()

  void compile(CompileOptions options);
  History fit(const data::Dataset& train, FitOptions options = {});
  // "loss", "accuracy", …; what does not exist is left out. Throws Error{kInvalidArgument} when
  // there are no examples.
  std::map<std::string, double> evaluate(const data::Dataset& dataset) {
    return evaluate_all(dataset).values;
  }
  struct Evaluation {
    std::map<std::string, double> values;
    std::map<std::string, std::vector<double>> tables;  // as in History
  };
  Evaluation evaluate_all(const data::Dataset& dataset);
  // A step of training on one batch, or none: the loss and the metrics of the batch, before the
  // step. The learning rate is that of the number of steps that were taken so. REQUIRES: compile().
  std::map<std::string, double> train_on_batch(const Batch& batch);
  std::map<std::string, double> test_on_batch(const Batch& batch);
  // Of the first output, where there are several: rows of all batches.
  Tensor predict(const data::Dataset& dataset);
  Tensor predict(std::span<const Tensor> features);
  Tensor predict(const Tensor& feature) { return predict(std::span(&feature, 1)); }
  // Of all outputs, in their order.
  std::vector<Tensor> predict_all(const data::Dataset& dataset);
  std::vector<Tensor> predict_all(std::span<const Tensor> features);

  // Builds the training pass, gradients and updates. REQUIRES: compile(). The graph may be asked
  // for once it is there.
  void build_training(const BatchTypes& types);
  const TrainGraph& train_graph() const { return train_graph_; }
  // Of a training's logs: "loss", the metrics, then with a validation the same as "val_loss", ….
  // REQUIRES: build_training().
  std::vector<std::string> log_names(bool with_validation) const;
  const Forward& inference() const { return inference_; }

  // Trainable variables and moving averages, without the optimizer's slots.
  StateMap weights() const;
  // The optimizer's averages of the variables (UpdateOptions::use_ema), by the names of their
  // slots; empty: it keeps none. evaluate(), predict() and validations use these in place of the
  // variables.
  StateMap averages() const;
  // Values for all of them, and slots if there are any. Throws Error naming the first that are
  // missing or differ.
  void set_weights(const StateMap& weights);
  // The same for slots too, as a training is resumed.
  void restore_variables(const StateMap& state);

  // What fit and evaluate warn of once, such as an activation before a loss that takes logits.
  // Nothing when called again. REQUIRES: build_training(), or an evaluation.
  std::vector<std::string> take_warnings() { return std::exchange(warnings_, {}); }

  // What is wrong with the labels or the weights of a batch for the losses and the metrics;
  // nothing: all are right. REQUIRES: build_training(), or an evaluation.
  std::optional<std::string> find_wrong_label(const data::Element& batch) const;
  // REQUIRES: compile().
  size_t label_components() const { return nn::label_components(outputs_); }

  // The weighted means of loss and metrics over a data set; nothing when it was interrupted. Throws
  // Error{kInvalidArgument} for a label that the loss or a metric does not take.
  std::optional<RunningMeans> evaluate_means(const data::Dataset& dataset,
                                             TrainingGroup& group = TrainingGroup::local());

  Graph& graph() { return *graph_; }
  Session& session();  // REQUIRES: is_built()
  const VariableRegistry& variables() const { return variables_; }
  const std::vector<std::shared_ptr<Layer>>& layers() const { return network_.layers(); }
  const Network& network() const { return network_; }
  const ModelOptions& options() const { return options_; }
  const CompileOptions& compiled() const { return compile_; }

 private:
  friend class TrainStep;

  Forward build_forward(bool training);
  void mix_precision(Forward& forward) const;
  void build_evaluation(const BatchTypes& types);
  void initialize_variables();
  void start_averages(const StateMap& given);
  void require_compiled() const;
  void add_label_rules(const BatchTypes& types);
  size_t component_of(const OutputLoss& output, size_t& unnamed,
                      const std::vector<std::string>& names) const;
  std::vector<LossInputs> loss_inputs(const Forward& forward, bool training);

  ModelOptions options_;
  CompileOptions compile_;
  Network network_;
  std::unique_ptr<Graph> graph_;
  VariableRegistry variables_;
  FrozenNames frozen_;
  std::vector<Value> features_;
  std::vector<std::string> output_names_;
  std::vector<OutputLoss> outputs_;  // of compile_, at least one
  std::vector<Value> labels_;
  Value sample_weights_;
  std::vector<std::string> data_names_;  // of features and labels
  Forward inference_;
  // Of the losses, the metrics and the weights: of which component of a batch.
  std::vector<std::pair<size_t, LabelRule>> label_rules_;
  std::vector<std::string> warnings_;
  TrainGraph train_graph_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<StepFunction> evaluate_step_, batch_step_;
  int64_t batch_steps_ = 0;  // of train_on_batch()
  std::unique_ptr<Function> predict_function_;
  bool averages_in_place_ = false;  // the variables have the values of averages() for now
};

// What a Keras user calls it.
using Sequential = Model;

}  // namespace trireme::nn

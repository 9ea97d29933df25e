#include "core/nn/model.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "core/base/error.h"
#include "core/nn/output_range.h"
#include "core/ops/ops.h"
#include "core/passes/mixed_precision.h"

namespace trireme::nn {
namespace {

TensorType any_batch(TensorType type) {
  if (type.shape.rank() > 0) type.shape.set(0, -1);
  return type;
}

void require_same_data(std::string_view what, Value built, const TensorType& found) {
  if (built.dtype() == found.dtype && compatible(built.shape(), found.shape)) return;
  throw invalid_argument("the model was built for ", what, " ", built.type(),
                         ", the data set gives ", found);
}

void require_same_features(const std::vector<Value>& built, const std::vector<TensorType>& found) {
  if (built.size() != found.size()) {
    throw invalid_argument("the model was built for ", built.size(),
                           " component(s) of features, the data set gives ", found.size());
  }
  for (size_t i = 0; i < built.size(); ++i) {
    require_same_data("features", built[i], any_batch(found[i]));
  }
}

std::string describe_source(const Network& network, const ValueSource& source) {
  if (source.is_feature) return "the model's input";
  const size_t index = network.calls()[source.index].layer;
  const Layer& layer = *network.layers()[index];
  return str_cat("layer ", index + 1, " (", layer.type(), " \"", layer.name(), "\")");
}

// Of a model with several outputs: which variables the losses say nothing about. `is_of_first`:
// there is one, of the first output.
std::optional<std::string> why_not_trained(const TrainGraph& graph, bool is_of_first) {
  if (graph.forward.other_predictions.empty()) return std::nullopt;
  std::unordered_set<std::string> trained;
  for (const Update& update : graph.updates) {
    trained.insert(update.variable.node->attribute<std::string>("name"));
  }
  std::string names;
  for (const VariableSpec& spec : graph.variables->all()) {
    if (spec.role != VariableRole::kTrainable || !spec.copy_of.empty()) continue;
    if (trained.contains(spec.name)) continue;
    names += (names.empty() ? "\"" : ", \"") + spec.name + "\"";
  }
  if (names.empty()) return std::nullopt;
  const size_t outputs = graph.forward.other_predictions.size() + 1;
  if (!is_of_first) {
    return str_cat("of the model's ", outputs,
                   " outputs some have no loss; these variables are of those only, and are not "
                   "trained: ",
                   names);
  }
  return str_cat("the loss is that of the model's first output, of ", outputs,
                 "; these variables are of other outputs only, and are not trained: ", names);
}

// What a model that was built by functions was built for.
void require_inputs(const std::vector<TensorType>& inputs, const std::vector<TensorType>& found) {
  if (inputs.size() != found.size()) {
    throw invalid_argument("the model has ", inputs.size(),
                           " input(s), the data set gives features of ", found.size(),
                           " component(s)");
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorType type = any_batch(found[i]);
    if (inputs[i].dtype == type.dtype && compatible(inputs[i].shape, type.shape)) continue;
    throw invalid_argument("input ", i + 1, " of the model is ", inputs[i], ", the data set gives ",
                           type);
  }
}

}  // namespace

BatchTypes batch_types(const data::Dataset& dataset, size_t labels) {
  const data::ElementSpec& spec = dataset.element_spec();
  const bool has_weights = !spec.empty() && spec.back().name == kSampleWeight;
  const size_t components = spec.size() - (has_weights ? 1 : 0);
  if (components < labels + 1) {
    throw invalid_argument("expected a data set of features and ",
                           labels == 1 ? "labels" : str_cat(labels, " components of labels"),
                           ", found ", spec.size(), " component(s)");
  }
  BatchTypes types;
  for (size_t i = 0; i < spec.size(); ++i) {
    const data::ComponentSpec& component = spec[i];
    if (component.shape.rank() == 0) {
      throw invalid_argument("the data set's \"", component.name,
                             "\" has no batch axis; call batch(size) on it");
    }
    const TensorType type = any_batch({component.dtype, component.shape});
    if (i == components) {
      types.sample_weights = type;
      continue;
    }
    (i < components - labels ? types.features : types.labels).push_back(type);
    types.names.push_back(component.name);
  }
  return types;
}

size_t label_components(std::span<const OutputLoss> outputs) {
  const auto unnamed = std::ranges::count_if(
      outputs, [](const OutputLoss& output) { return output.labels.empty(); });
  return static_cast<size_t>(std::max<std::ptrdiff_t>(unnamed, 1));
}

double History::last(const std::string& name) const {
  auto it = values.find(name);
  if (it == values.end() || it->second.empty()) {
    throw not_found("the training recorded no \"", name, "\"");
  }
  if (!it->second.back()) {
    throw not_found("the last epoch has no \"", name,
                    "\": there were no examples, or for an area under the curve those of one class "
                    "only");
  }
  return *it->second.back();
}

Model::Model(ModelOptions options) : options_(std::move(options)) {
  graph_ = std::make_unique<Graph>(options_.ops ? options_.ops : core_op_table());
}

Model::Model(const std::vector<LayerOutput>& inputs, const std::vector<LayerOutput>& outputs,
             ModelOptions options)
    : Model(std::move(options)) {
  network_ = Network(inputs, outputs);
}

Model::~Model() = default;

Session& Model::session() {
  TRIREME_CHECK(is_built(), "build() comes first");
  return *session_;
}

Model& Model::add(std::unique_ptr<Layer> layer) {
  if (is_built()) throw invalid_argument("layers are added before the model is built");
  network_.add(std::move(layer));
  return *this;
}

Forward Model::build_forward(bool training) {
  Forward forward{.features = features_, .labels = labels_, .sample_weights = sample_weights_};
  if (training) {
    forward.random_key = ops::placeholder(*graph_, "random_key", DType::kInt64, {2});
  }
  BuildContext context(*graph_, variables_, features_, training, forward.random_key, options_.seed);
  context.set_embedding_lookup(options_.embedding_lookup);
  context.set_frozen(&frozen_);
  for (const LayerCall& call : network_.calls()) {
    context.call(*network_.layers()[call.layer], call);
  }
  forward.predictions = context.value_of(network_.outputs().front());
  for (const ValueSource& output : std::span(network_.outputs()).subspan(1)) {
    forward.other_predictions.push_back(context.value_of(output));
  }
  for (const ValueSource& output : network_.outputs()) {
    forward.masks.push_back(context.mask(context.value_of(output)));
  }
  forward.moving_averages = context.moving_averages();
  forward.added_losses = context.added_losses();
  for (const auto& output : context.outputs()) {
    forward.outputs.push_back({output.name, output.value});
  }
  mix_precision(forward);
  return forward;
}

void Model::mix_precision(Forward& forward) const {
  if (options_.precision == Precision::kFloat32) return;
  std::vector<Value> results = {forward.predictions};
  for (const Value& output : forward.other_predictions) results.push_back(output);
  for (const MovingAverage& average : forward.moving_averages) results.push_back(average.value);
  for (const AddedLoss& added : forward.added_losses) {
    if (!added.of_variable) results.push_back(added.value);
  }
  MixedPrecision mixed(results, product_dtype(options_.precision));
  forward.predictions = mixed(forward.predictions);
  for (Value& output : forward.other_predictions) output = mixed(output);
  for (MovingAverage& average : forward.moving_averages) average.value = mixed(average.value);
  for (AddedLoss& added : forward.added_losses) {
    if (!added.of_variable) added.value = mixed(added.value);
  }
  for (NamedValue& output : forward.outputs) output.value = mixed(output.value);
}

void Model::build() {
  TRIREME_CHECK(network_.input_types().has_value(), "the model does not say what its inputs are");
  build(*network_.input_types());
}

void Model::build(const std::vector<TensorType>& features) {
  if (is_built()) return require_same_features(features_, features);
  if (network_.calls().empty()) throw invalid_argument("the model has no layers");
  if (!network_.input_types()) {
    std::vector<std::string> names = output_names_;
    for (const OutputLoss& output : outputs_) {
      const bool is_there = std::ranges::find(names, output.output) != names.end();
      if (!output.output.empty() && !is_there) names.push_back(output.output);
    }
    if (!names.empty()) network_.set_outputs(names);
  }
  network_.require_used();
  if (const auto& inputs = network_.input_types()) require_inputs(*inputs, features);
  if (features.empty()) throw invalid_argument("the model has no features");
  // After an error the graph may hold half a pass: a second build() starts from nothing.
  graph_ = std::make_unique<Graph>(graph_->ops());
  variables_ = {};
  features_.clear();
  for (const TensorType& feature : features) {
    const TensorType type = any_batch(feature);
    const std::string name =
        features_.empty() ? "features" : str_cat("features_", features_.size());
    features_.push_back(ops::placeholder(*graph_, name, type.dtype, type.shape));
  }
  frozen_.set(options_.freeze);
  inference_ = build_forward(false);
  frozen_.require_used();
  session_ = std::make_unique<Session>(*graph_, options_.session);
  initialize_variables();
}

void Model::initialize_variables() {
  for (const VariableSpec& spec : variables_.all()) {
    if (session_->variables().has(spec.name)) continue;
    try {
      session_->variables().set(spec.name, initial_value(spec, options_.seed),
                                spec.value.node->device());
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kResourceExhausted) throw;
      throw Error(error.code(), str_cat("the variable \"", spec.name, "\", ", spec.value.type(),
                                        ": ", error.what()));
    }
  }
}

void Model::compile(CompileOptions options) {
  if (!options.optimizer) throw invalid_argument("compile: an optimizer is missing");
  if (!labels_.empty()) throw invalid_argument("the model was compiled and used already");
  std::vector<OutputLoss> outputs = options.outputs;
  if (outputs.empty()) {
    outputs.push_back({.output = "",
                       .loss = options.loss,
                       .metrics = options.metrics,
                       .weighted_metrics = options.weighted_metrics});
  } else if (options.loss.function || !options.metrics.empty() ||
             !options.weighted_metrics.empty()) {
    throw invalid_argument("compile: `loss` and `metrics` are those of a single output; with ",
                           "`outputs` each has its own");
  }
  for (const OutputLoss& output : outputs) {
    if (!output.loss.function) throw invalid_argument("compile: a loss is missing");
  }
  if (!options.class_weights.empty() && outputs.size() > 1) {
    throw invalid_argument("compile: class_weights need a single loss, found ", outputs.size());
  }
  for (const auto& [label, weight] : options.class_weights) {
    if (label < 0 || !(weight >= 0) || !std::isfinite(weight)) {
      throw invalid_argument(
          "compile: class_weights: expected a class from 0 and a finite weight "
          "of at least 0, found the weight ",
          weight, " of class ", label);
    }
  }
  compile_ = std::move(options);
  outputs_ = std::move(outputs);
}

void Model::require_compiled() const {
  if (!compile_.optimizer) throw invalid_argument("call compile() on the model first");
}

void Model::build_evaluation(const BatchTypes& types) {
  require_compiled();
  build(types.features);
  if (!labels_.empty()) {
    TRIREME_CHECK(labels_.size() == types.labels.size(), "labels of ", types.labels.size());
    for (size_t i = 0; i < labels_.size(); ++i) {
      require_same_data("labels", labels_[i], any_batch(types.labels[i]));
    }
    if (sample_weights_.defined() == types.sample_weights.has_value()) return;
    throw invalid_argument("the model was built for data ",
                           sample_weights_.defined() ? "with" : "without", " a component \"",
                           kSampleWeight, "\", and this data set is not so");
  }
  data_names_ = types.names;
  try {
    for (size_t i = 0; i < types.labels.size(); ++i) {
      const TensorType type = any_batch(types.labels[i]);
      labels_.push_back(ops::placeholder(*graph_, i == 0 ? "labels" : str_cat("labels_", i),
                                         type.dtype, type.shape));
    }
    if (types.sample_weights) {
      const TensorType type = any_batch(*types.sample_weights);
      if (type.dtype != DType::kFloat32 || type.shape.rank() != 1) {
        throw invalid_argument("the data set's \"", kSampleWeight,
                               "\": expected a number for each example, f32[?], found ", type);
      }
      sample_weights_ = ops::placeholder(*graph_, "sample_weights", type.dtype, type.shape);
    }
    inference_.labels = labels_;
    inference_.sample_weights = sample_weights_;
    add_losses(inference_, outputs_, loss_inputs(inference_, false));
    add_label_rules(types);
  } catch (...) {
    labels_.clear();
    inference_.labels.clear();
    sample_weights_ = inference_.sample_weights = inference_.loss = {};
    inference_.metrics.clear();
    throw;
  }
  const std::vector<LossInputs> inputs = loss_inputs(inference_, false);
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const ValueSource& source = network_.outputs()[network_.output_index(outputs_[i].output)];
    if (auto why = why_not_logits(outputs_[i].loss, inputs[i].predictions,
                                  describe_source(network_, source))) {
      warnings_.push_back(std::move(*why));
    }
  }
}

// Of the labels of `output` among features and labels. `unnamed`: the outputs before it that name
// none.
size_t Model::component_of(const OutputLoss& output, size_t& unnamed,
                           const std::vector<std::string>& names) const {
  if (output.labels.empty()) {
    if (unnamed >= labels_.size()) {
      throw invalid_argument("the labels of output \"", output.output, "\": the data has ",
                             labels_.size(), " component(s) of labels, and each output that names",
                             " none takes one of its own; say which it shares with `labels`");
    }
    return features_.size() + unnamed++;
  }
  const auto found = std::ranges::find(names, output.labels);
  if (found == names.end()) {
    std::string known;
    for (const std::string& name : names) known += (known.empty() ? "\"" : ", \"") + name + "\"";
    throw invalid_argument("the labels of output \"", output.output, "\": the data has no \"",
                           output.labels, "\", only ", known);
  }
  return static_cast<size_t>(found - names.begin());
}

std::vector<LossInputs> Model::loss_inputs(const Forward& forward, bool training) {
  std::vector<LossInputs> inputs;
  size_t unnamed = 0;
  for (const OutputLoss& output : outputs_) {
    const size_t index = network_.output_index(output.output);
    const size_t component = component_of(output, unnamed, data_names_);
    const bool is_feature = component < features_.size();
    inputs.push_back(
        {.predictions = index == 0 ? forward.predictions : forward.other_predictions[index - 1],
         .labels = is_feature ? forward.features[component]
                              : forward.labels[component - features_.size()],
         .sample_weights = forward.sample_weights});
  }
  if (training && !compile_.class_weights.empty()) {
    const Shape& predictions = inputs[0].predictions.shape();
    const int64_t classes = std::max({int64_t{2}, predictions.rank() > 1 ? predictions.dim(-1) : 0,
                                      compile_.class_weights.rbegin()->first + 1});
    Tensor weights(DType::kFloat32, {classes});
    std::ranges::fill(weights.flat<float>(), 1.f);
    for (const auto& [label, weight] : compile_.class_weights) {
      weights.flat<float>()[static_cast<size_t>(label)] = static_cast<float>(weight);
    }
    inputs[0].class_weights = ops::constant(*graph_, weights, "class_weights");
  }
  return inputs;
}

void Model::add_label_rules(const BatchTypes& types) {
  label_rules_.clear();
  const std::vector<LossInputs> inputs = loss_inputs(inference_, false);
  size_t unnamed = 0;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const OutputLoss& output = outputs_[i];
    const size_t component = component_of(output, unnamed, types.names);
    const Shape& predictions = inputs[i].predictions.shape();
    const int64_t classes = predictions.rank() > 0 ? predictions.dim(-1) : 0;
    label_rules_.push_back({component,
                            {.domain = output.loss.labels,
                             .of = output.loss.name,
                             .classes = classes,
                             .ignored = output.loss.ignored_class}});
    for (const auto* metrics : {&output.metrics, &output.weighted_metrics}) {
      for (const Metric& metric : *metrics) {
        if (metric.labels == output.loss.labels) continue;  // checked already
        label_rules_.push_back({component,
                                {.domain = metric.labels,
                                 .of = metric.name,
                                 .classes = classes,
                                 .ignored = metric.ignored_class}});
      }
    }
  }
  if (sample_weights_.defined()) {
    label_rules_.push_back(
        {features_.size() + labels_.size(), {.domain = LabelDomain::kWeight, .of = kSampleWeight}});
  }
}

std::optional<std::string> Model::find_wrong_label(const data::Element& batch) const {
  for (const auto& [component, rule] : label_rules_) {
    if (auto wrong = nn::find_wrong_label(rule, batch[component])) return wrong;
  }
  return std::nullopt;
}

void Model::build_training(const BatchTypes& types) {
  build_evaluation(types);
  if (train_graph_.graph != nullptr) return;
  const Graph::Scope scope(*graph_, "training");
  TrainGraph train{.graph = graph_.get(), .variables = &variables_};
  train.optimizer = compile_.optimizer.get();
  train.needs_gradient_norm = compile_.gradient_norm;
  train.learning_rate = ops::placeholder(*graph_, "learning_rate", DType::kFloat32, {});
  train.step = ops::placeholder(*graph_, "step", DType::kInt64, {});
  train.forward = build_forward(true);
  add_losses(train.forward, outputs_, loss_inputs(train.forward, true));
  const bool scales = options_.precision == Precision::kMixedFloat16;
  if (scales) add_loss_scale(train, options_.loss_scale);
  compile_.build_gradients ? compile_.build_gradients(train) : add_gradients(train);
  if (compile_.rewrite_gradients) compile_.rewrite_gradients(train);
  if (scales) unscale_gradients(train, options_.loss_scale);
  add_updates(train, *compile_.optimizer);
  if (compile_.rewrite_updates) compile_.rewrite_updates(train);
  if (auto why = why_not_trained(train, compile_.outputs.empty()))
    warnings_.push_back(std::move(*why));
  train_graph_ = std::move(train);
  initialize_variables();
  start_averages({});
}

std::vector<std::string> Model::log_names(bool with_validation) const {
  std::vector<std::string> names = {"loss"};
  for (const MetricValue& metric : train_graph_.forward.metrics) {
    if (!metric.quantity.is_table()) names.push_back(metric.name);
  }
  const size_t count = names.size();
  for (size_t i = 0; with_validation && i < count; ++i) names.push_back("val_" + names[i]);
  return names;
}

StateMap Model::weights() const {
  StateMap weights;
  for (const VariableSpec& spec : variables_.all()) {
    if (spec.role != VariableRole::kSlot && spec.copy_of.empty()) {
      weights[spec.name] = session_->variables().get(spec.name);
    }
  }
  return weights;
}

StateMap Model::averages() const {
  StateMap averages;
  if (!compile_.optimizer || !compile_.optimizer->update_options().use_ema) return averages;
  for (const VariableSpec& spec : variables_.all()) {
    const std::string name = slot_name(compile_.optimizer->name(), kAverageSlot, spec.name);
    if (variables_.find(name) != nullptr) averages[name] = session_->variables().get(name);
  }
  return averages;
}

// Averages begin as the variables; those that are `given` stay.
void Model::start_averages(const StateMap& given) {
  for (const auto& [name, average] : averages()) {
    if (given.contains(name)) continue;
    const std::string variable =
        name.substr(slot_name(compile_.optimizer->name(), kAverageSlot, "").size());
    session_->variables().set(name, session_->variables().get(variable));
  }
}

void Model::set_weights(const StateMap& weights) {
  TRIREME_CHECK(is_built(), "build() comes first");
  std::vector<VariableSpec> wanted;
  for (const VariableSpec& spec : variables_.all()) {
    const std::string& name = spec.copy_of.empty() ? spec.name : spec.copy_of;
    if (spec.role != VariableRole::kSlot || weights.contains(name)) wanted.push_back(spec);
  }
  check_state_matches(wanted, weights);
  for (const VariableSpec& spec : wanted) {
    session_->variables().set(spec.name,
                              weights.at(spec.copy_of.empty() ? spec.name : spec.copy_of));
  }
  start_averages(weights);
}

void Model::restore_variables(const StateMap& state) {
  check_state_matches(variables_.all(), state);
  set_weights(state);
}

}  // namespace trireme::nn

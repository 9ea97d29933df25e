#include "core/nn/layer.h"

#include <algorithm>

#include "core/base/philox.h"
#include "core/ops/ops.h"

namespace trireme::nn {

void Layer::describe_common(OptionVisitor& visitor) {
  visitor.field({.name = "name",
                 .help = "of its variables and in messages",
                 .default_text = "the kind, numbered"},
                name_);
  visitor.field({.name = "inputs",
                 .help = "names of layers above, or feature_0, feature_1, … of the data",
                 .default_text = "the layer above; of the first one feature_0"},
                inputs_);
  visitor.field({.name = "trainable",
                 .help = "false: its variables stay as they are, and batch norm works as in "
                         "inference"},
                trainable_);
}

Value Layer::call(BuildContext&, Value) {
  TRIREME_CHECK(false, "the layer ", type(), " overrides neither call() nor call_inputs()");
}

Value Layer::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  if (inputs.size() != 1) throw invalid_argument("expected one input, found ", inputs.size());
  return call(context, inputs[0]);
}

namespace {

std::string describe(int number, std::string_view type, std::string_view name) {
  return str_cat("layer ", number, " (", type, " \"", name, "\")");
}

}  // namespace

Value VariableRegistry::get_or_add(Graph& graph, const std::string& name,
                                   const std::string& node_name, const TensorType& type,
                                   VariableRole role, const Initializer& initializer,
                                   const Fans& fans) {
  if (const VariableSpec* spec = find(name)) {
    if (spec->value.type() != type) {
      throw invalid_argument("variable \"", name, "\" is ", spec->value.type(), " and ", type,
                             " at once; give the layers different names");
    }
    return spec->value;
  }
  (void)type.shape.elements();  // throws here, where it is known which layer asks for it
  const Attributes attributes{{"name", name}, {"dtype", type.dtype}, {"shape", type.shape}};
  const Value value = graph.add("Variable", {}, attributes, node_name).output();
  by_name_[name] = specs_.size();
  specs_.push_back({name, value, role, initializer, fans});
  return value;
}

Value VariableRegistry::get_or_add_copy(Graph& graph, const std::string& of, int index,
                                        const std::string& device) {
  const std::string name = str_cat(of, "/copy_", index);
  if (const VariableSpec* spec = find(name)) return spec->value;
  const VariableSpec* original = find(of);
  TRIREME_CHECK(original != nullptr, "a copy of the unknown variable '", of, "'");
  VariableSpec copy = *original;
  const TensorType& type = original->value.type();
  const Attributes attributes{{"name", name}, {"dtype", type.dtype}, {"shape", type.shape}};
  Node& node = graph.add("Variable", {}, attributes, name);
  node.set_device(device);
  copy.name = name;
  copy.copy_of = of;
  copy.copy_index = index;
  copy.value = node.output();
  by_name_[name] = specs_.size();
  specs_.push_back(std::move(copy));
  return node.output();
}

void VariableRegistry::make_optional(const std::string& name) {
  specs_[by_name_.at(name)].is_optional = true;
}

void VariableRegistry::constrain(const std::string& name, ConstraintPtr constraint) {
  specs_[by_name_.at(name)].constraint = std::move(constraint);
}

const VariableSpec* VariableRegistry::find(const std::string& name) const {
  auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &specs_[it->second];
}

std::string LayerNames::make(const std::string& type) {
  std::string name = type;
  for (int& suffix = suffixes_[type]; !take(name);) name = str_cat(type, "_", ++suffix);
  return name;
}

Tensor initial_value(const VariableSpec& spec, uint64_t seed) {
  const std::string& name = spec.copy_of.empty() ? spec.name : spec.copy_of;
  return spec.initializer({spec.value.type(), spec.fans, initializer_key(seed, name)});
}

int64_t BuildContext::layer_seed() const {
  std::string name = scope_ + "random";
  if (call_.repeat > 0) name += str_cat("_", call_.repeat);
  return static_cast<int64_t>(initializer_key(seed_, name) >> 1);
}

Value BuildContext::variable(const std::string& name, const Shape& shape,
                             const Initializer& initializer, const Fans& fans, bool trainable) {
  return variables_.get_or_add(
      graph_, scope_ + name, name, {DType::kFloat32, shape},
      trainable && trains(name) ? VariableRole::kTrainable : VariableRole::kState, initializer,
      fans);
}

Value BuildContext::variable(const std::string& name, const Shape& shape,
                             const Initializer& initializer, const Fans& fans,
                             const RegularizerPtr& regularizer, const ConstraintPtr& constraint) {
  const Value value = variable(name, shape, initializer, fans);
  if (!trains(name)) return value;
  const std::string full = scope_ + name;
  if (constraint) {
    // What does not fit is an error here, where it is known which layer asks for it.
    const Graph::Scope scope(graph_, "constraint");
    (void)constraint->project(value);
    variables_.constrain(full, constraint);
  }
  if (regularizer && penalized_.insert(full).second) {
    const Graph::Scope scope(graph_, "regularizer");
    added_losses_.push_back({regularizer->penalty(value), true});
  }
  return value;
}

Value BuildContext::shared_variable(const std::string& owner, const std::string& name,
                                    const TensorType& type, const Initializer& initializer,
                                    bool trainable) {
  const std::string full = owner.empty() ? scope_ + name : str_cat(owner, "/", name);
  return variables_.get_or_add(
      graph_, full, name, type,
      trainable && trains_as(full) ? VariableRole::kTrainable : VariableRole::kState, initializer);
}

bool BuildContext::trains(const std::string& name) const { return trains_as(scope_ + name); }

bool BuildContext::trains_as(const std::string& full_name) const {
  // Asked of all, so that a pattern that is of a layer with `trainable: false` counts as used.
  const bool frozen = frozen_ != nullptr && frozen_->contains(full_name);
  return !frozen && std::ranges::all_of(stack_, [](const Layer* l) { return l->trainable(); });
}

void BuildContext::add_activity_loss(const RegularizerPtr& regularizer, Value y) {
  if (!regularizer) return;
  const Graph::Scope scope(graph_, "activity_regularizer");
  const auto rank = static_cast<size_t>(y.shape().rank());
  std::vector<int64_t> size(rank, 1);
  size.at(0) = -1;
  const Value one_each = ops::ones_like(ops::slice(y, std::vector<int64_t>(rank, 0), size));
  add_loss(regularizer->penalty(y) / ops::cast(ops::sum(one_each), DType::kFloat32));
}

Value BuildContext::feature(size_t index) const {
  if (index < features_.size()) return features_[index];
  throw LayerError(str_cat(describe_layer(), ": expected data with at least ", index + 1,
                           " components of features, found ", features_.size()),
                   layer_number());
}

Value BuildContext::embedding(EmbeddingTable table, Value keys) {
  if (!lookup_) {
    const Value rows = variable(table.name, {table.rows, table.dim}, table.initializer, {},
                                table.regularizer, table.constraint);
    return ops::embedding_lookup(rows, keys);
  }
  const char* const refused = table.regularizer  ? "embeddings_regularizer"
                              : table.constraint ? "embeddings_constraint"
                                                 : nullptr;
  if (refused != nullptr) {
    throw invalid_argument(refused,
                           ": expected a table that is a variable of the workers, found one on "
                           "parameter servers, of which a step reads only some rows; leave it out, "
                           "or use the strategy MULTI_WORKER");
  }
  const bool trained = trains(table.name);
  table.name = scope_ + table.name;
  const Value rows = lookup_(*this, table, keys);
  return trained ? rows : ops::stop_gradient(rows);
}

void BuildContext::add_moving_average(Value variable, Value value, double momentum) {
  for (const MovingAverage& average : moving_averages_) {
    if (average.variable != variable) continue;
    throw invalid_argument(
        "it is called more than once, which its moving averages cannot follow; give each call a "
        "layer of its own");
  }
  moving_averages_.push_back({variable, value, momentum});
}

Value BuildContext::mask(Value x) const {
  for (const auto& [value, mask] : masks_) {
    if (value == x) return mask;
  }
  return {};
}

void BuildContext::set_mask(Value y, Value mask) {
  const Shape& shape = y.shape();
  TRIREME_CHECK(mask.dtype() == DType::kBool && mask.shape().rank() == 2 && shape.rank() >= 2 &&
                    compatible(mask.shape(), shape.first(2)),
                "a mask ", mask.type(), " of ", y.type());
  for (auto& [value, known] : masks_) {
    if (value != y) continue;
    known = mask;
    return;
  }
  masks_.emplace_back(y, mask);
}

void BuildContext::pass_mask(Value y) {
  if (mask(y).defined()) return;
  Value common;
  for (const Value& x : inputs_) {
    const Value of_input = mask(x);
    const bool fits = of_input.defined() && x.shape().rank() == y.shape().rank() &&
                      compatible(of_input.shape(), y.shape().first(2));
    if (!fits || of_input == common) continue;
    common = common.defined() ? ops::logical_and(common, of_input) : of_input;
  }
  if (common.defined()) set_mask(y, common);
}

std::string BuildContext::describe_layer() const {
  std::string text = describe(layer_number(), stack_.front()->type(), stack_.front()->name());
  for (size_t i = 1; i < stack_.size(); ++i) {
    text += str_cat(", in it ", stack_[i]->type(), " \"", stack_[i]->name(), "\"");
  }
  return text;
}

Value BuildContext::value_of(const ValueSource& source) const {
  return source.is_feature ? feature(source.index) : outputs_.at(source.index).value;
}

std::string BuildContext::describe_source(const ValueSource& source) const {
  if (!source.is_feature) {
    const Output& output = outputs_.at(source.index);
    return describe(output.layer_number, output.type, output.name);
  }
  return source.index == 0 ? "the model's input" : str_cat("the data's feature_", source.index);
}

void BuildContext::require(bool condition, std::string_view expected, std::string_view advice,
                           size_t input) const {
  if (condition) return;
  const TensorType& type = inputs_.at(input).type();
  const std::string found =
      type.dtype == DType::kFloat32 ? type.shape.to_string() : type.to_string();
  std::string message = str_cat(describe_layer(), ": expected ", expected, ", found ", found);
  if (stack_.size() == 1) message += " from " + describe_source(call_.inputs.at(input));
  if (!advice.empty()) message += str_cat("; ", advice);
  throw LayerError(message, layer_number());
}

Value BuildContext::call(Layer& layer, std::span<const Value> inputs) {
  const std::string saved_scope = scope_;
  std::vector<Value> saved_inputs = std::exchange(inputs_, {inputs.begin(), inputs.end()});
  scope_ += layer.name() + "/";
  stack_.push_back(&layer);
  const Graph::Scope graph_scope(graph_, layer.name());
  Value y;
  try {
    check_options(layer, layer.type());
    if (stack_.size() > 1 && !layer.inputs().empty()) {
      throw invalid_argument("inputs: only the layers of the model itself choose their inputs");
    }
    y = layer.call_inputs(*this, inputs_);
    if (layer.keeps_mask()) pass_mask(y);
  } catch (const LayerError&) {
    throw;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    throw LayerError(describe_layer() + ": " + error.what(), layer_number());
  }
  stack_.pop_back();
  scope_ = saved_scope;
  inputs_ = std::move(saved_inputs);
  return y;
}

Value BuildContext::call_on_steps(Layer& layer, Value x, int64_t steps) {
  const Value key = random_key_;
  if (key.defined()) {  // {step, first example}: the first row is number example·steps
    random_key_ = key * ops::constant(graph_, Tensor::from<int64_t>({2}, {1, steps}));
  }
  const Value y = call(layer, x);
  random_key_ = key;
  return y;
}

Value BuildContext::call(Layer& layer, const LayerCall& call) {
  call_ = call;
  stack_ = {&layer};  // feature() names it
  std::vector<Value> inputs;
  for (const ValueSource& source : call.inputs) inputs.push_back(value_of(source));
  stack_.clear();
  const Value y = this->call(layer, inputs);
  outputs_.push_back({layer.name(), layer.type(), y, layer_number()});
  return y;
}

}  // namespace trireme::nn

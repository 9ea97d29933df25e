#include "core/nn/whole_variable_optimizers.h"

#include "core/base/error.h"
#include "core/nn/muon.h"
#include "core/nn/update_builder.h"

namespace trireme::nn {
namespace {

Value norm(Value x) { return ops::sqrt(ops::sum(ops::square(x))); }
Value root_of_mean_square(Value x) { return ops::sqrt(ops::mean(ops::square(x))); }

// `ratio` where both norms are above 0, else 1.
Value trust(const UpdateBuilder& b, Value w_norm, Value g_norm, Value ratio) {
  const Value zero = b.number(0);
  const Value both = ops::logical_and(ops::greater(w_norm, zero), ops::greater(g_norm, zero));
  return ops::select(both, ratio, b.number(1));
}

constexpr RuleInfo kLamb{.name = "lamb",
                         .keras = "Lamb",
                         .help = "Adam with steps in proportion to the norm of the variable."};
constexpr RuleInfo kLars{.name = "lars",
                         .keras = "",
                         .help = "Momentum with steps in proportion to the norm of the variable.",
                         .learning_rate = 0.01};
constexpr RuleInfo kAdafactor{.name = "adafactor",
                              .keras = "Adafactor",
                              .help =
                                  "Steps divided by the size of gradients, which is kept by "
                                  "rows and columns only."};

}  // namespace

std::vector<SlotSpec> WholeVariableOptimizer::slots() const { return {}; }

UpdateOp WholeVariableOptimizer::update_op() const {
  throw invalid_argument("the optimizer ", name(),
                         " needs whole variables, which parameter servers keep in pieces; use the "
                         "strategy MULTI_WORKER, or another optimizer, such as adam");
}

// --- LAMB

Lamb::Lamb(Schedule learning_rate, LambOptions options, UpdateOptions update)
    : WholeVariableOptimizer(kLamb, std::move(learning_rate), std::move(update)),
      options_(options) {
  check_options(*this, kLamb.name);
}

void Lamb::describe(OptionVisitor& visitor) { rules::describe_adam(visitor, options_); }

std::vector<SlotSpec> Lamb::slots_of(std::string_view, const Shape&) const {
  return {{"m"}, {"v"}};
}

std::vector<Node*> Lamb::apply(const UpdateInputs& inputs, std::string_view variable) const {
  const Graph::Scope scope(inputs.variable.graph(), "lamb", inputs.variable.node->device());
  const UpdateBuilder b{inputs};
  const bool decays = this->decays(variable, inputs.variable.shape().rank());
  const Value g = b.g(), m = inputs.slots[0], v = inputs.slots[1];
  const Value new_m = m + (g - m) * b.number(1 - options_.beta1);
  const Value new_v = v + (ops::square(g) - v) * b.number(1 - options_.beta2);
  const Value size =
      ops::sqrt(new_v / b.one_less_power(options_.beta2)) + b.number(options_.epsilon);
  const Value update = new_m / b.one_less_power(options_.beta1) / size;
  const Value w = b.decayed(decays ? options_.weight_decay : 0);
  const Value w_norm = norm(w), update_norm = norm(update);
  const Value ratio = trust(b, w_norm, update_norm, w_norm / update_norm);
  return {b.assign(b.w(), w - update * (ratio * b.lr())), b.assign(m, new_m), b.assign(v, new_v)};
}

// --- LARS

Lars::Lars(Schedule learning_rate, LarsOptions options, UpdateOptions update)
    : WholeVariableOptimizer(kLars, std::move(learning_rate), std::move(update)),
      options_(options) {
  check_options(*this, kLars.name);
}

void Lars::describe(OptionVisitor& visitor) {
  visitor.field({.name = "momentum",
                 .help = "share of the last step that is repeated; 0: none",
                 .range = from_below(0, 1)},
                options_.momentum);
  visitor.field({.name = "nesterov", .help = "looks one step of the momentum ahead"},
                options_.nesterov);
  visitor.field({.name = "weight_decay",
                 .help = "times the weights: a part of the gradient",
                 .range = at_least(0)},
                options_.weight_decay);
  visitor.field({.name = "trust_coefficient",
                 .help = "a step's size as a share of the variable's, before the learning rate",
                 .range = above(0)},
                options_.trust_coefficient);
  visitor.field(
      {.name = "epsilon", .help = "added to the norm of the gradient", .range = at_least(0)},
      options_.epsilon);
}

void Lars::check() const {
  Optimizer::check();
  if (const std::string_view complaint = rule().complaint(); !complaint.empty()) {
    throw invalid_argument("lars: ", complaint);
  }
}

rules::Sgd Lars::rule() const {
  return {.momentum = options_.momentum, .nesterov = options_.nesterov};
}

std::vector<SlotSpec> Lars::slots_of(std::string_view, const Shape&) const {
  return rule_slots(rule());
}

std::vector<Node*> Lars::apply(const UpdateInputs& inputs, std::string_view variable) const {
  const Graph::Scope scope(inputs.variable.graph(), "lars", inputs.variable.node->device());
  const UpdateBuilder b{inputs};
  UpdateInputs scaled = inputs;
  scaled.gradient = {.values = b.g()};
  if (decays(variable, inputs.variable.shape().rank())) {
    const Value g = scaled.gradient.values, decay = b.number(options_.weight_decay);
    const Value w_norm = norm(b.w()), g_norm = norm(g);
    const Value ratio = w_norm * b.number(options_.trust_coefficient) /
                        (g_norm + w_norm * decay + b.number(options_.epsilon));
    scaled.gradient.values = (g + b.w() * decay) * trust(b, w_norm, g_norm, ratio);
  }
  return {&ops::update(trireme::update_op(rule()), scaled)};
}

// --- Adafactor

Adafactor::Adafactor(Schedule learning_rate, AdafactorOptions options, UpdateOptions update)
    : WholeVariableOptimizer(kAdafactor, std::move(learning_rate), std::move(update)),
      options_(options) {
  check_options(*this, kAdafactor.name);
}

void Adafactor::describe(OptionVisitor& visitor) {
  visitor.field({.name = "beta2_decay",
                 .help = "the means of squares keep 1 − step^beta2_decay of themselves in a step",
                 .range = {.max = 0, .excludes_max = true},
                 .keras = "beta_2_decay"},
                options_.beta2_decay);
  visitor.field({.name = "epsilon1",
                 .help = "added to squares of gradients",
                 .range = above(0),
                 .keras = "epsilon_1"},
                options_.epsilon1);
  visitor.field({.name = "epsilon2",
                 .help = "the least size of a variable that its step is in proportion to",
                 .range = above(0),
                 .keras = "epsilon_2"},
                options_.epsilon2);
  visitor.field({.name = "clip_threshold",
                 .help = "the largest root mean square of a step before the learning rate",
                 .range = above(0)},
                options_.clip_threshold);
  describe_weight_decay(visitor, options_.weight_decay);
}

std::vector<SlotSpec> Adafactor::slots_of(std::string_view, const Shape& shape) const {
  const int rank = shape.rank();
  if (rank < 2) return {{"v"}};
  Shape row = shape.first(rank - 1), column = shape.first(rank - 2);
  column.push_back(shape.dim(-1));
  return {{"row", 0, row}, {"column", 0, column}};
}

std::vector<Node*> Adafactor::apply(const UpdateInputs& inputs, std::string_view variable) const {
  const Graph::Scope scope(inputs.variable.graph(), "adafactor", inputs.variable.node->device());
  const UpdateBuilder b{inputs};
  const DType dtype = inputs.variable.dtype();
  const bool decays = this->decays(variable, inputs.variable.shape().rank());
  const Value g = b.g();
  // 1 − beta2 of this step.
  const Value rest = ops::cast(
      ops::power(b.step(), ops::scalar(b.graph, DType::kFloat64, options_.beta2_decay)), dtype);
  const auto moved = [&](Value mean, Value value) { return mean + (value - mean) * rest; };
  const Value squares = ops::square(g) + b.number(options_.epsilon1);
  std::vector<Node*> assigned;
  Value v;
  if (inputs.slots.size() == 2) {
    const Value row = moved(inputs.slots[0], ops::mean(squares, {-1}));
    const Value column = moved(inputs.slots[1], ops::mean(squares, {-2}));
    assigned = {b.assign(inputs.slots[0], row), b.assign(inputs.slots[1], column)};
    v = ops::expand_dims(row / ops::mean(row, {-1}, true), {-1}) * ops::expand_dims(column, {-2});
  } else {
    v = moved(inputs.slots[0], squares);
    assigned = {b.assign(inputs.slots[0], v)};
  }
  const Value u = g * ops::rsqrt(v);
  const Value clipped =
      u / ops::maximum(b.number(1), root_of_mean_square(u) * b.number(1 / options_.clip_threshold));
  const Value by_step = ops::cast(ops::rsqrt(b.step()), dtype);
  const Value w = b.decayed(decays ? options_.weight_decay : 0);
  const Value rate = ops::maximum(b.number(options_.epsilon2), root_of_mean_square(w)) *
                     ops::minimum(b.lr(), by_step);
  assigned.insert(assigned.begin(), b.assign(b.w(), w - clipped * rate));
  return assigned;
}

void register_whole_variable_optimizers(Catalog<Optimizer>& catalog) {
  const auto add = [&]<typename T>(const RuleInfo& info) {
    catalog.add<T>(std::string(info.name), std::string(info.keras), std::string(info.help));
  };
  add.template operator()<Lamb>(kLamb);
  add.template operator()<Lars>(kLars);
  add.template operator()<Adafactor>(kAdafactor);
  add.template operator()<Muon>(Muon::kInfo);
}

}  // namespace trireme::nn

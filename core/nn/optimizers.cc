#include "core/nn/optimizers.h"

#include "core/base/error.h"

namespace trireme::nn {
namespace {

// A share in [0, 1): momentum, decay rates.
void require_share(std::string_view optimizer, std::string_view what, double value) {
  if (!(value >= 0 && value < 1)) {
    throw invalid_argument(optimizer, ": ", what, " must be in [0, 1); found ", value);
  }
}

void require_positive(std::string_view optimizer, std::string_view what, double value) {
  if (!(value > 0)) {
    throw invalid_argument(optimizer, ": ", what, " must be above 0; found ", value);
  }
}

}  // namespace

std::string slot_name(std::string_view optimizer, std::string_view slot,
                      std::string_view variable) {
  return str_cat("optimizer/", optimizer, "/", slot, "/", variable);
}

Sgd::Sgd(Schedule learning_rate, ops::SgdOptions options)
    : Optimizer("sgd", std::move(learning_rate)), options_(options) {
  require_share("sgd", "momentum", options.momentum);
  if (options.nesterov && options.momentum == 0) {
    throw invalid_argument("sgd: nesterov needs a momentum, such as 0.9");
  }
}

std::vector<SlotSpec> Sgd::slots() const {
  if (options_.momentum == 0) return {};
  return {{"momentum"}};
}

Node& Sgd::apply(const UpdateInputs& in) const {
  const Value velocity = in.slots.empty() ? Value() : in.slots[0];
  const Gradient& g = in.gradient;
  if (g.is_sparse()) {
    return ops::apply_sgd_sparse(in.variable, velocity, in.learning_rate, *g.indices, g.values,
                                 options_, in.only_if);
  }
  return ops::apply_sgd(in.variable, velocity, in.learning_rate, g.values, options_, in.only_if);
}

RmsProp::RmsProp(Schedule learning_rate, ops::RmsPropOptions options)
    : Optimizer("rmsprop", std::move(learning_rate)), options_(options) {
  require_share("rmsprop", "rho", options.rho);
  require_share("rmsprop", "momentum", options.momentum);
  require_positive("rmsprop", "epsilon", options.epsilon);
}

std::vector<SlotSpec> RmsProp::slots() const {
  if (options_.momentum == 0) return {{"rms"}};
  return {{"rms"}, {"momentum"}};
}

Node& RmsProp::apply(const UpdateInputs& in) const {
  const Value momentum = in.slots.size() < 2 ? Value() : in.slots[1];
  const Gradient& g = in.gradient;
  if (g.is_sparse()) {
    return ops::apply_rmsprop_sparse(in.variable, in.slots[0], momentum, in.learning_rate,
                                     *g.indices, g.values, options_, in.only_if);
  }
  return ops::apply_rmsprop(in.variable, in.slots[0], momentum, in.learning_rate, g.values,
                            options_, in.only_if);
}

Adagrad::Adagrad(Schedule learning_rate, ops::AdagradOptions options, double initial_accumulator)
    : Optimizer("adagrad", std::move(learning_rate)),
      options_(options),
      initial_accumulator_(initial_accumulator) {
  require_positive("adagrad", "epsilon", options.epsilon);
  if (!(initial_accumulator >= 0)) {
    throw invalid_argument("adagrad: the initial accumulator must be at least 0; found ",
                           initial_accumulator);
  }
}

std::vector<SlotSpec> Adagrad::slots() const { return {{"accumulator", initial_accumulator_}}; }

Node& Adagrad::apply(const UpdateInputs& in) const {
  const Gradient& g = in.gradient;
  if (g.is_sparse()) {
    return ops::apply_adagrad_sparse(in.variable, in.slots[0], in.learning_rate, *g.indices,
                                     g.values, options_, in.only_if);
  }
  return ops::apply_adagrad(in.variable, in.slots[0], in.learning_rate, g.values, options_,
                            in.only_if);
}

Adam::Adam(Schedule learning_rate, ops::AdamOptions options)
    : Optimizer("adam", std::move(learning_rate)), options_(options) {
  require_share("adam", "beta1", options.beta1);
  require_share("adam", "beta2", options.beta2);
  require_positive("adam", "epsilon", options.epsilon);
}

std::vector<SlotSpec> Adam::slots() const { return {{"m"}, {"v"}}; }

Node& Adam::apply(const UpdateInputs& in) const {
  const Gradient& g = in.gradient;
  if (g.is_sparse()) {
    return ops::apply_adam_sparse(in.variable, in.slots[0], in.slots[1], in.learning_rate, in.step,
                                  *g.indices, g.values, options_, in.only_if);
  }
  return ops::apply_adam(in.variable, in.slots[0], in.slots[1], in.learning_rate, in.step, g.values,
                         options_, in.only_if);
}

void register_core_optimizers(Catalog<Optimizer>&) {}

}  // namespace trireme::nn

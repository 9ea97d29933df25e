#include "core/nn/muon.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/nn/frozen.h"
#include "core/nn/update_builder.h"

namespace trireme::nn {

void MuonOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "momentum",
                 .help = "share of the sum of gradients that is kept",
                 .range = from_below(0, 1)},
                momentum);
  visitor.field({.name = "nesterov", .help = "looks one step of the momentum ahead"}, nesterov);
  describe_weight_decay(visitor, weight_decay);
  visitor.field({.name = "rms_rate",
                 .help = "times the root of a matrix's longer side: the size of its step",
                 .range = above(0)},
                rms_rate);
  visitor.field(
      {.name = "ns_steps", .help = "steps that make a matrix orthogonal", .range = at_least(1)},
      ns_steps);
  visitor.field({.name = "muon_a", .help = "of x in the polynomial of such a step"}, muon_a);
  visitor.field({.name = "muon_b", .help = "of x³"}, muon_b);
  visitor.field({.name = "muon_c", .help = "of x⁵"}, muon_c);
  visitor.field({.name = "adam_beta1",
                 .help = "beta1 of the variables that have AdamW",
                 .range = from_below(0, 1),
                 .keras = "adam_beta_1"},
                adam_beta1);
  visitor.field({.name = "adam_beta2",
                 .help = "their beta2",
                 .range = from_below(0, 1),
                 .keras = "adam_beta_2"},
                adam_beta2);
  visitor.field({.name = "adam_weight_decay", .help = "their decay", .range = at_least(0)},
                adam_weight_decay);
  visitor.field({.name = "epsilon", .help = "their epsilon", .range = above(0)}, epsilon);
  visitor.field({.name = "adam_lr_ratio",
                 .help = "their learning rate as a share of the others'",
                 .range = above(0)},
                adam_lr_ratio);
  visitor.field({.name = "exclude_embeddings",
                 .help = "variables with \"embedding\" in their name have AdamW"},
                exclude_embeddings);
  visitor.field({.name = "exclude_layers",
                 .help = "patterns of names of layers and variables that have it, too"},
                exclude_layers);
}

Muon::Muon(Schedule learning_rate, MuonOptions options, UpdateOptions update)
    : WholeVariableOptimizer(kInfo, std::move(learning_rate), std::move(update)),
      options_(std::move(options)) {
  check_options(*this, kInfo.name);
}

bool Muon::has_adamw(std::string_view variable, const Shape& shape) const {
  if (shape.rank() != 2) return true;
  if (options_.exclude_embeddings && variable.find("embedding") != std::string_view::npos) {
    return true;
  }
  return std::ranges::any_of(options_.exclude_layers, [&](const std::string& pattern) {
    return matches_variable(pattern, std::string(variable));
  });
}

std::vector<SlotSpec> Muon::slots_of(std::string_view variable, const Shape& shape) const {
  if (has_adamw(variable, shape)) return {{"m"}, {"v"}};
  return {{"momentum"}};
}

// Its rows, or its columns where they are fewer, become orthogonal.
Value Muon::orthogonal(Value matrix) const {
  const Graph& graph = matrix.graph();
  const auto number = [&](double value) {
    return ops::scalar(const_cast<Graph&>(graph), matrix.dtype(), value);
  };
  const bool is_tall = matrix.shape()[0] > matrix.shape()[1];
  Value x = matrix / (ops::sqrt(ops::sum(ops::square(matrix))) + number(1e-7));
  if (is_tall) x = ops::transpose(x);
  for (int64_t i = 0; i < options_.ns_steps; ++i) {
    const Value a = ops::matmul(x, x, false, true);
    const Value b = a * number(options_.muon_b) + ops::matmul(a * number(options_.muon_c), a);
    x = x * number(options_.muon_a) + ops::matmul(b, x);
  }
  return is_tall ? ops::transpose(x) : x;
}

std::vector<Node*> Muon::apply(const UpdateInputs& inputs, std::string_view variable) const {
  const Graph::Scope scope(inputs.variable.graph(), "muon", inputs.variable.node->device());
  const UpdateBuilder b{inputs};
  const Shape& shape = inputs.variable.shape();
  const bool decays = this->decays(variable, shape.rank());
  if (has_adamw(variable, shape)) {
    UpdateInputs scaled = inputs;
    if (options_.adam_lr_ratio != 1) {
      scaled.learning_rate =
          inputs.learning_rate * ops::scalar(b.graph, DType::kFloat32, options_.adam_lr_ratio);
    }
    // The decay is by the learning rate itself.
    const rules::AdamW rule{
        .beta1 = options_.adam_beta1,
        .beta2 = options_.adam_beta2,
        .epsilon = options_.epsilon,
        .weight_decay = decays ? options_.adam_weight_decay / options_.adam_lr_ratio : 0};
    return {&ops::update(trireme::update_op(rule), scaled)};
  }
  const Value g = b.g(), sum = inputs.slots[0] * b.number(options_.momentum) + g;
  const Value ahead = options_.nesterov ? g + sum * b.number(options_.momentum) : sum;
  const double size =
      std::sqrt(static_cast<double>(std::max(shape[0], shape[1]))) * options_.rms_rate;
  const Value step = orthogonal(ahead) * (b.lr() * b.number(size));
  return {b.assign(b.w(), b.decayed(decays ? options_.weight_decay : 0) - step),
          b.assign(inputs.slots[0], sum)};
}

}  // namespace trireme::nn

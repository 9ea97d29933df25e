// GroupedUpdate: where its inputs stand, and how a device that has spans computes it.
#pragma once

#include <array>

#include "core/base/error.h"
#include "core/device/element.h"
#include "core/device/small_floats.h"
#include "core/device/update_inputs.h"

namespace trireme {

// Inputs: all variables, all first slots, all second slots, lr, step, all gradients, and of a rule
// "…If" the guard.
struct GroupLayout {
  UpdateLayout update;
  int tensors = 0;
  bool has_guard = false;

  // A single update op is a group of one tensor.
  GroupLayout(const UpdateLayout& update, int tensors, bool has_guard)
      : update(update), tensors(tensors), has_guard(has_guard) {}

  int variable_input(int tensor) const { return tensor; }
  int slot_input(int slot, int tensor) const { return (1 + slot) * tensors + tensor; }
  int lr_input() const { return (1 + update.slots) * tensors; }
  int step_input() const { return lr_input() + update.has_lr; }
  int gradient_input(int tensor) const { return step_input() + update.has_step + tensor; }

  int guard_input() const { return gradient_input(tensors); }

  // The inputs of the update op that stands for one of the tensors, in that op's order.
  using Inputs = std::array<void*, 6>;
  Inputs inputs_of(const KernelArgs& args, int tensor) const {
    Inputs inputs{};
    size_t next = 0;
    inputs[next++] = args.inputs[variable_input(tensor)];
    for (int slot = 0; slot < update.slots; ++slot) {
      inputs[next++] = args.inputs[slot_input(slot, tensor)];
    }
    if (update.has_lr) inputs[next++] = args.inputs[lr_input()];
    if (update.has_step) inputs[next++] = args.inputs[step_input()];
    inputs[next] = args.inputs[gradient_input(tensor)];
    return inputs;
  }
};

// visit.operator()<Rule>(layout) for the rule of a GroupedUpdate.
template <typename Visit>
void with_rule_of_group(const KernelSpec& spec, Visit visit) {
  std::string_view rule = spec.attribute<std::string>("rule");
  const bool has_guard = rule.ends_with("If");
  if (has_guard) rule.remove_suffix(2);
  const int tensors = static_cast<int>(spec.attribute<int64_t>("tensors"));
  bool found = false;
  const auto consider = [&]<typename Rule>(const std::string& op, const UpdateLayout& layout) {
    if (op != rule) return;
    visit.template operator()<Rule>(GroupLayout(layout, tensors, has_guard));
    found = true;
  };
  for_each_dense_update(consider);
  for_each_optimizer(consider);
  TRIREME_CHECK(found, "no rule ", rule);
}

// apply(rule, step, rows) for each tensor, one after another.
template <typename T, typename Apply>
PreparedKernel grouped_update_by_spans(const KernelSpec& spec, Apply apply) {
  PreparedKernel kernel;
  std::vector<int64_t> counts;
  std::vector<DType> gradients;
  int64_t widest = 0;  // of the gradients that are widened
  const size_t tensors = static_cast<size_t>(spec.attribute<int64_t>("tensors"));
  for (size_t i = 0; i < tensors; ++i) {
    counts.push_back(spec.outputs[i].shape.elements());
    gradients.push_back(spec.inputs[spec.inputs.size() - tensors + i].dtype);
    if (is_small(gradients.back())) widest = std::max(widest, counts.back());
  }
  with_rule_of_group(spec, [&]<typename Rule>(const GroupLayout& layout) {
    kernel.run = [=, rule = Rule(spec.attributes)](const KernelArgs& args) {
      if (layout.has_guard && !*args.in<bool>(layout.guard_input())) return;
      for (int i = 0; i < layout.tensors; ++i) {
        GroupLayout::Inputs inputs = layout.inputs_of(args, i);
        const KernelArgs one{inputs.data(), args.outputs + i, nullptr};
        const int64_t count = counts[static_cast<size_t>(i)];
        const int input = layout.update.gradient_input();
        const T* gradient = one.in<T>(input);
        if constexpr (std::is_same_v<T, float>) {
          float* const wide = static_cast<float*>(args.scratch);
          if (gradients[static_cast<size_t>(i)] == DType::kFloat16) {
            widen(one.in<Half>(input), wide, count);
            gradient = wide;
          } else if (gradients[static_cast<size_t>(i)] == DType::kBFloat16) {
            widen(one.in<BFloat16>(input), wide, count);
            gradient = wide;
          }
        }
        apply(rule, layout.update.step(rule, one), layout.update.rows<T>(one, 0, count, gradient));
      }
    };
  });
  kernel.scratch_bytes = static_cast<size_t>(widest) * sizeof(float);
  return kernel;
}

}  // namespace trireme

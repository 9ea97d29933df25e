// What kernels of updates have in common: where the inputs of a dense update stand, be it the op of
// a rule or a GroupedUpdate, and how a device that has spans computes it.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/device/element.h"
#include "core/device/kernel_spec.h"
#include "core/device/small_floats.h"
#include "core/graph/op_def.h"
#include "core/rules/update_rule.h"

namespace trireme {

// The op of a rule that a kernel computes, for one tensor or, in a GroupedUpdate, for many.
inline const OpDef& update_of(const KernelSpec& spec) {
  return spec.op.update ? spec.op : spec.ops.find(spec.attribute<std::string>("rule"));
}

// Inputs: all variables, all first slots, all second slots, and so on, what the updates share, all
// gradients (or, of a sparse update, indices and rows), guard. −1: there is none.
struct UpdateLayout {
  int tensors = 1, slots = 0;
  int learning_rate = -1, step = -1, gradient = 0, guard = -1;

  explicit UpdateLayout(const KernelSpec& spec) : UpdateLayout(spec, *update_of(spec).update) {}

  int variable_input(int tensor) const { return tensor; }
  int slot_input(int slot, int tensor) const { return (1 + slot) * tensors + tensor; }
  int gradient_input(int tensor) const { return gradient + tensor; }

  bool is_off(const KernelArgs& args) const { return guard >= 0 && !*args.in<bool>(guard); }
  template <typename T>
  UpdateStep<T> begin(const Updater<T>& updater, const KernelArgs& args) const {
    return updater.begin(
        learning_rate >= 0 ? static_cast<double>(*args.in<float>(learning_rate)) : 0,
        step >= 0 ? *args.in<int64_t>(step) : 1);
  }

 private:
  UpdateLayout(const KernelSpec& spec, const UpdateFacts& facts) : slots(facts.slots) {
    if (!spec.op.update) tensors = static_cast<int>(spec.attribute<int64_t>("tensors"));
    int next = facts.own() * tensors;
    if (facts.has_learning_rate) learning_rate = next++;
    if (facts.has_step) step = next++;
    gradient = next;
    if (facts.is_guarded) guard = gradient + (facts.is_sparse ? 2 : tensors);
  }
};

// `rule`: as it is compiled for the device. apply(step, state, stride, gradient, count) for each
// tensor, one after another, as UpdateStep::span() takes them.
template <typename T, typename Apply>
PreparedKernel update_by_spans(const KernelSpec& spec, const UpdateRule& rule, Apply apply) {
  const UpdateLayout layout(spec);
  std::vector<int64_t> counts;
  std::vector<DType> gradients;
  int64_t widest = 0;  // of the gradients that are widened
  for (int i = 0; i < layout.tensors; ++i) {
    counts.push_back(spec.output_shape(i).elements());
    gradients.push_back(spec.inputs[static_cast<size_t>(layout.gradient_input(i))].dtype);
    if (is_small(gradients.back())) widest = std::max(widest, counts.back());
  }
  PreparedKernel kernel;
  kernel.run = [=, updater = rule.updater<T>(update_of(spec).update->form, spec.attributes),
                counts = std::move(counts),
                gradients = std::move(gradients)](const KernelArgs& args) {
    if (layout.is_off(args)) return;
    const UpdateStep<T> step = layout.begin(updater, args);
    for (int i = 0; i < layout.tensors; ++i) {
      const int64_t count = counts[static_cast<size_t>(i)];
      const int input = layout.gradient_input(i);
      const T* gradient = args.in<T>(input);
      if constexpr (std::is_same_v<T, float>) {
        float* const wide = static_cast<float*>(args.scratch);
        if (gradients[static_cast<size_t>(i)] == DType::kFloat16) {
          widen(args.in<Half>(input), wide, count);
          gradient = wide;
        } else if (gradients[static_cast<size_t>(i)] == DType::kBFloat16) {
          widen(args.in<BFloat16>(input), wide, count);
          gradient = wide;
        }
      }
      apply(step, args.inputs + layout.variable_input(i), static_cast<size_t>(layout.tensors),
            gradient, count);
    }
  };
  kernel.scratch_bytes = static_cast<size_t>(widest) * sizeof(float);
  return kernel;
}

// Adds the kernels of all ops of `rule` under `kind`: dense<T>(spec) and sparse<T>(spec), in f32
// and f64, which see to the guard themselves.
template <typename Dense, typename Sparse>
void add_kernels_of_rule(KernelTable& table, const UpdateRule& rule, std::string_view kind,
                         Dense dense, Sparse sparse) {
  for (const UpdateRule::Op& op : rule.ops) {
    for (const char* const guard : {"", "If"}) {
      add_for<float, double>(table, op.name + guard, kind, dense);
      if (rule.info.is_optimizer) {
        add_for<float, double>(table, op.name + "Sparse" + guard, kind, sparse);
      }
    }
  }
}

}  // namespace trireme

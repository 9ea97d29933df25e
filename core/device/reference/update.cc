#include "core/device/reference/index.h"
#include "core/device/row_indices.h"
#include "core/device/update_layout.h"
#include "core/rules/core_rules.h"

namespace trireme {
namespace {

template <typename T>
PreparedKernel dense(const KernelSpec& spec) {
  return update_by_spans<T>(
      spec, *update_of(spec).update->rule,
      [](const UpdateStep<T>& step, void* const* state, size_t stride, const T* gradient,
         int64_t count) { step.span(state, stride, 0, gradient, static_cast<size_t>(count)); });
}

// Each row that is named is updated once, with the sum of what was given for it.
template <typename T>
PreparedKernel sparse(const KernelSpec& spec) {
  const Shape& variable = spec.output_shape();
  const int64_t width = variable.last(variable.rank() - 1).elements();
  const UpdateLayout layout(spec);
  const UpdateFacts& facts = *update_of(spec).update;
  return {[=, updater = facts.rule->updater<T>(facts.form, spec.attributes),
           indices = RowIndices(spec, layout.gradient, variable[0])](const KernelArgs& args) {
            if (layout.is_off(args)) return;
            for (int64_t i = 0; i < indices.count(); ++i) indices.at(args, i);
            const UpdateStep<T> step = layout.begin(updater, args);
            T* sum = static_cast<T*>(args.scratch);
            for (int64_t i = 0; i < indices.count(); ++i) {
              const int64_t row = indices.at(args, i);
              bool is_first = true;
              for (int64_t j = 0; j < i; ++j) is_first = is_first && indices.at(args, j) != row;
              if (!is_first) continue;
              for (int64_t k = 0; k < width; ++k) {
                double total = 0;
                for (int64_t j = i; j < indices.count(); ++j) {
                  if (indices.at(args, j) == row)
                    total += static_cast<double>(args.in<T>(layout.gradient + 1)[j * width + k]);
                }
                sum[k] = static_cast<T>(total);
              }
              step.span(args.inputs, 1, static_cast<size_t>(row * width), sum,
                        static_cast<size_t>(width));
            }
          },
          static_cast<size_t>(width) * sizeof(T)};
}

}  // namespace

void add_reference_update_kernels(KernelTable& table, const UpdateRule& rule) {
  add_kernels_of_rule(
      table, rule, kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return dense<T>(spec); },
      []<typename T>(const KernelSpec& spec) { return sparse<T>(spec); });
}

void register_reference_update(KernelTable& table) {
  for (const auto& rule : core_rules()) add_reference_update_kernels(table, *rule);
  add_for<float, double>(table, "GroupedUpdate", kReferenceKind,
                         []<typename T>(const KernelSpec& spec) { return dense<T>(spec); });
}

}  // namespace trireme

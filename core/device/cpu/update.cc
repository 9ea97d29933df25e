#include "core/device/cpu/broadcast.h"
#include "core/device/cpu/sparse_rows.h"
#include "core/device/row_indices.h"
#include "core/device/update_layout.h"
#include "core/rules/core_rules.h"

namespace trireme::cpu {
namespace {

// The rule as this file is compiled, for the processor level of the folder; one that is not
// Trireme's as it comes.
const UpdateRule& compiled_here(const UpdateRule& rule) {
  static const std::vector<UpdateRule> here = [] {
    std::vector<UpdateRule> rules;
    for_each_rule([&]<typename Rule>() { rules.push_back(make_update_rule<Rule>()); });
    return rules;
  }();
  const auto found = std::ranges::find(here, rule.type, &UpdateRule::type);
  return found == here.end() ? rule : *found;
}

// One pass over the memory of variable, slots and gradient.
template <typename T>
PreparedKernel dense(const KernelSpec& spec) {
  return update_by_spans<T>(spec, compiled_here(*update_of(spec).update->rule),
                            [](const UpdateStep<T>& step, void* const* state, size_t stride,
                               const T* gradient, int64_t count) {
                              parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
                                step.span(state, stride, static_cast<size_t>(begin),
                                          gradient + begin, static_cast<size_t>(end - begin));
                              });
                            });
}

// Sorted by row, the gradients of one row lie together: they are added up piece by piece in the
// first-level cache, and each piece is applied at once. Rows that are not named are not touched,
// nor are their slots.
template <typename T>
PreparedKernel sparse(const KernelSpec& spec) {
  const Shape& variable = spec.output_shape();
  const int64_t width = variable.last(variable.rank() - 1).elements();
  const UpdateLayout layout(spec);
  const UpdateFacts& facts = *update_of(spec).update;
  const RowIndices indices(spec, layout.gradient, variable[0]);
  return {[=, updater = compiled_here(*facts.rule).updater<T>(facts.form, spec.attributes)](
              const KernelArgs& args) {
            if (layout.is_off(args)) return;
            const SparseEntry* entries = sort_rows(indices, args);
            const T* gradients = args.in<T>(layout.gradient + 1);
            const UpdateStep<T> step = layout.begin(updater, args);
            const int64_t n = indices.count();
            const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, width));
            parallel_for(n, grain, [&](int64_t begin, int64_t end) {
              constexpr int64_t kPiece = 512, kAhead = 8;
              alignas(kAlignment) T sum[kPiece];
              // A row belongs to the range in which its first entry lies.
              while (begin > 0 && begin < end && entries[begin].row == entries[begin - 1].row)
                ++begin;
              while (begin < end) {
                const int64_t row = entries[begin].row;
                // Rows lie anywhere in a table that is larger than the caches: ask for those to
                // come.
                if (begin + kAhead < n) {
                  const int64_t ahead = entries[begin + kAhead].row * width;
                  for (int i = 0; i <= layout.slots; ++i)
                    __builtin_prefetch(args.mutable_in<T>(i) + ahead, 1);
                  __builtin_prefetch(gradients + entries[begin + kAhead].position * width);
                }
                int64_t next = begin + 1;
                while (next < n && entries[next].row == row) ++next;
                for (int64_t k = 0; k < width; k += kPiece) {
                  const int64_t count = std::min(kPiece, width - k);
                  const T* piece = gradients + entries[begin].position * width + k;
                  if (next - begin > 1) {
                    std::copy(piece, piece + count, sum);
                    for (int64_t e = begin + 1; e < next; ++e) {
                      const T* more = gradients + entries[e].position * width + k;
                      for (int64_t i = 0; i < count; ++i) sum[i] += more[i];
                    }
                    piece = sum;
                  }
                  step.span(args.inputs, 1, static_cast<size_t>(row * width + k), piece,
                            static_cast<size_t>(count));
                }
                begin = next;
              }
            });
          },
          sort_scratch_bytes(indices)};
}

}  // namespace
}  // namespace trireme::cpu

namespace trireme {

void add_cpu_update_kernels(KernelTable& table, const UpdateRule& rule) {
  add_kernels_of_rule(
      table, rule, kCpuKind, []<typename T>(const KernelSpec& spec) { return cpu::dense<T>(spec); },
      []<typename T>(const KernelSpec& spec) { return cpu::sparse<T>(spec); });
}

void register_cpu_update(KernelTable& table) {
  for (const auto& rule : core_rules()) add_cpu_update_kernels(table, *rule);
  add_for<float, double>(table, "GroupedUpdate", kCpuKind,
                         []<typename T>(const KernelSpec& spec) { return cpu::dense<T>(spec); });
}

}  // namespace trireme

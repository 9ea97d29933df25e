#include "core/device/cpu/broadcast.h"
#include "core/device/cpu/sparse_rows.h"
#include "core/device/grouped_update.h"
#include "core/device/row_indices.h"
#include "core/device/update_inputs.h"

namespace trireme::cpu {
namespace {

// One pass over the memory of variable, slots and gradient.
template <typename T, typename Rule>
PreparedKernel dense(const KernelSpec& spec, const UpdateLayout& layout) {
  return {[n = spec.output_shape().elements(), layout,
           rule = Rule(spec.attributes)](const KernelArgs& args) {
    const T* gradient = args.in<T>(layout.gradient_input());
    const UpdateStep step = layout.step(rule, args);
    parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
      update_rows(rule, step, layout.rows<T>(args, begin, end - begin, gradient + begin));
    });
  }};
}

// Sorted by row, the gradients of one row lie together: they are added up piece by piece in the
// first-level cache, and each piece is applied at once. Rows that are not named are not touched,
// nor are their slots.
template <typename T, typename Rule>
PreparedKernel sparse(const KernelSpec& spec, const UpdateLayout& layout) {
  const Shape& variable = spec.output_shape();
  const int64_t width = variable.last(variable.rank() - 1).elements();
  const int input = layout.gradient_input();
  const RowIndices indices(spec, input, variable[0]);
  return {[=, rule = Rule(spec.attributes)](const KernelArgs& args) {
            const SparseEntry* entries = sort_rows(indices, args);
            const T* gradients = args.in<T>(input + 1);
            const UpdateStep step = layout.step(rule, args);
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
                  update_rows(rule, step, layout.rows<T>(args, row * width + k, count, piece));
                }
                begin = next;
              }
            });
          },
          sort_scratch_bytes(indices)};
}

template <typename T>
PreparedKernel grouped(const KernelSpec& spec) {
  return grouped_update_by_spans<T>(
      spec, [](const auto& rule, const UpdateStep& step, const UpdateRows<T>& rows) {
        parallel_for(
            static_cast<int64_t>(rows.variable.size()), kGrain, [&](int64_t begin, int64_t end) {
              update_rows(rule, step,
                          rows.part(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
            });
      });
}

}  // namespace
}  // namespace trireme::cpu

namespace trireme {

void register_cpu_update(KernelTable& table) {
  add_for<float, double>(table, "GroupedUpdate", kCpuKind,
                         []<typename T>(const KernelSpec& spec) { return cpu::grouped<T>(spec); });
  const auto add_dense = [&]<typename Rule>(const std::string& op, const UpdateLayout& layout) {
    add_for<float, double>(table, op, kCpuKind, [layout]<typename T>(const KernelSpec& spec) {
      return cpu::dense<T, Rule>(spec, layout);
    });
  };
  for_each_dense_update(add_dense);
  for_each_optimizer(add_dense);
  for_each_optimizer([&]<typename Rule>(const std::string& op, const UpdateLayout& layout) {
    add_for<float, double>(table, op + "Sparse", kCpuKind,
                           [layout]<typename T>(const KernelSpec& spec) {
                             return cpu::sparse<T, Rule>(spec, layout);
                           });
  });
}

}  // namespace trireme

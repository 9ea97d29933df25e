#include "core/device/grouped_update.h"
#include "core/device/reference/index.h"
#include "core/device/row_indices.h"
#include "core/device/update_inputs.h"

namespace trireme {
namespace {

template <typename T, typename Rule>
PreparedKernel dense(const KernelSpec& spec, const UpdateLayout& layout) {
  return {[n = spec.output_shape().elements(), layout,
           rule = Rule(spec.attributes)](const KernelArgs& args) {
    const T* gradient = args.in<T>(layout.gradient_input());
    update_rows(rule, layout.step(rule, args), layout.rows<T>(args, 0, n, gradient));
  }};
}

// Each row that is named is updated once, with the sum of what was given for it.
template <typename T, typename Rule>
PreparedKernel sparse(const KernelSpec& spec, const UpdateLayout& layout) {
  const Shape& variable = spec.output_shape();
  const int64_t width = variable.last(variable.rank() - 1).elements();
  const int input = layout.gradient_input();
  return {[=, rule = Rule(spec.attributes),
           indices = RowIndices(spec, input, variable[0])](const KernelArgs& args) {
            for (int64_t i = 0; i < indices.count(); ++i) indices.at(args, i);
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
                    total += static_cast<double>(args.in<T>(input + 1)[j * width + k]);
                }
                sum[k] = static_cast<T>(total);
              }
              update_rows(rule, layout.step(rule, args),
                          layout.rows<T>(args, row * width, width, sum));
            }
          },
          static_cast<size_t>(width) * sizeof(T)};
}

template <typename T>
PreparedKernel grouped(const KernelSpec& spec) {
  return grouped_update_by_spans<T>(
      spec, [](const auto& rule, const UpdateStep& step, const UpdateRows<T>& rows) {
        update_rows(rule, step, rows);
      });
}

}  // namespace

void register_reference_update(KernelTable& table) {
  add_for<float, double>(table, "GroupedUpdate", kReferenceKind,
                         []<typename T>(const KernelSpec& spec) { return grouped<T>(spec); });
  const auto add_dense = [&]<typename Rule>(const std::string& op, const UpdateLayout& layout) {
    add_for<float, double>(table, op, kReferenceKind, [layout]<typename T>(const KernelSpec& spec) {
      return dense<T, Rule>(spec, layout);
    });
  };
  for_each_dense_update(add_dense);
  for_each_optimizer(add_dense);
  for_each_optimizer([&]<typename Rule>(const std::string& op, const UpdateLayout& layout) {
    add_for<float, double>(
        table, op + "Sparse", kReferenceKind,
        [layout]<typename T>(const KernelSpec& spec) { return sparse<T, Rule>(spec, layout); });
  });
}

}  // namespace trireme

// Sparse updates: each row that is named is updated once, with the sum of what was given for it.
// Other rows are not touched, nor are their slots.
#include "core/device/cuda/kernels/summed_rows.cuh"
#include "core/device/cuda/kernels/update_step.cuh"

namespace trireme::cuda {

template <typename T, int V, typename Rule>
struct UpdateRow {
  const Rule& rule;
  UpdateStep step;
  SparseVariable table;

  TRIREME_DEVICE void operator()(int64_t row, int64_t column, const Vector<T, V>& sum) const {
    with_factors<T>(rule, step, [&](const auto& factors) {
      update_vector<T, V>(factors, static_cast<T*>(table.variable), static_cast<T*>(table.slots[0]),
                          static_cast<T*>(table.slots[1]), row * table.width + column, sum);
    });
  }
};

template <typename T, int V, typename Rule>
TRIREME_DEVICE void update_compared(const RowIndices& indices, const SparseVariable& table,
                                    const Rule& rule) {
  UpdateStep step;
  if (!begin_block(rule, table.shared, step)) return;
  sum_compared_rows<T, V>(indices, static_cast<const T*>(table.given), table.width,
                          UpdateRow<T, V, Rule>{rule, step, table});
}

template <typename T, int V, typename Rule>
TRIREME_DEVICE void update_sorted(const SortedRows& sorted, const T* runs,
                                  const SparseVariable& table, const Rule& rule) {
  UpdateStep step;
  if (!begin_block(rule, table.shared, step)) return;
  sum_sorted_rows<T, V>(sorted, static_cast<const T*>(table.given), table.width, runs,
                        UpdateRow<T, V, Rule>{rule, step, table});
}

}  // namespace trireme::cuda

using namespace trireme::cuda;

#define TRIREME_SPARSE_UPDATE_KERNELS(name, Rule, T, V, suffix)                           \
  TRIREME_KERNEL(                                                                         \
      sparse_compared_##name##_##suffix,                                                  \
      (const RowIndices indices, const SparseVariable table, const trireme::Rule rule)) { \
    update_compared<T, V>(indices, table, rule);                                          \
  }                                                                                       \
  TRIREME_KERNEL(sparse_sorted_##name##_##suffix,                                         \
                 (const SortedRows sorted, const T* runs, const SparseVariable table,     \
                  const trireme::Rule rule)) {                                            \
    update_sorted<T, V>(sorted, runs, table, rule);                                       \
  }
#define TRIREME_SPARSE_UPDATE(name, Rule)                        \
  TRIREME_SPARSE_UPDATE_KERNELS(name, Rule, float, 4, by_4_f32)  \
  TRIREME_SPARSE_UPDATE_KERNELS(name, Rule, float, 1, by_1_f32)  \
  TRIREME_SPARSE_UPDATE_KERNELS(name, Rule, double, 2, by_2_f64) \
  TRIREME_SPARSE_UPDATE_KERNELS(name, Rule, double, 1, by_1_f64)

TRIREME_SPARSE_UPDATE(sgd, SgdRule)
TRIREME_SPARSE_UPDATE(rms_prop, RmsPropRule)
TRIREME_SPARSE_UPDATE(adagrad, AdagradRule)
TRIREME_SPARSE_UPDATE(adam, AdamRule)

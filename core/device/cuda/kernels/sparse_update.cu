// Sparse updates: each row that is named is updated once, with the sum of what was given for it.
// Other rows are not touched, nor are their slots.
#include "core/device/cuda/kernels/summed_rows.cuh"
#include "core/device/cuda/kernels/update_step.cuh"

namespace trireme::cuda {

template <typename Form, typename T, int V, typename Factors, typename Table>
struct UpdateRow {
  const Factors& factors;
  const Table& table;

  TRIREME_DEVICE void operator()(int64_t row, int64_t column, const Vector<T, V>& sum) const {
    update(row * table.width + column, sum, SlotsOf<Form>{});
  }
  template <size_t... I>
  TRIREME_DEVICE void update(int64_t at, const Vector<T, V>& sum,
                             std::index_sequence<I...> slots) const {
    T* const state[] = {static_cast<T*>(table.variable), static_cast<T*>(table.slots[I])...};
    update_vector<Form, T, V>(factors, state, at, sum, slots);
  }
};

// sum_rows(use) with the use that updates rows by the rule.
template <typename T, int V, typename Rule, typename SumRows>
TRIREME_DEVICE void update_rows(const SparseOf<Rule>& table, const Rule& rule,
                                const SumRows& sum_rows) {
  with_step<T>(rule, table.shared, [&](const auto& form, const auto& factors) {
    using Form = std::remove_cvref_t<decltype(form)>;
    using Factors = std::remove_cvref_t<decltype(factors)>;
    sum_rows(UpdateRow<Form, T, V, Factors, SparseOf<Rule>>{factors, table});
  });
}

template <typename T, int V, typename Rule>
TRIREME_DEVICE void update_compared(const RowIndices& indices, const SparseOf<Rule>& table,
                                    const Rule& rule) {
  update_rows<T, V>(table, rule, [&](const auto& use) {
    sum_compared_rows<T, V>(indices, static_cast<const T*>(table.given), table.width, use);
  });
}

template <typename T, int V, typename Rule>
TRIREME_DEVICE void update_sorted(const SortedRows& sorted, const T* runs,
                                  const SparseOf<Rule>& table, const Rule& rule) {
  update_rows<T, V>(table, rule, [&](const auto& use) {
    sum_sorted_rows<T, V>(sorted, static_cast<const T*>(table.given), table.width, runs, use);
  });
}

}  // namespace trireme::cuda

using namespace trireme::cuda;

#define TRIREME_SPARSE_UPDATE_KERNELS(Rule, T, V, suffix)                                         \
  TRIREME_KERNEL(sparse_compared_##Rule##_##suffix,                                               \
                 (const RowIndices indices, const SparseOf<trireme::rules::Rule> table,           \
                  const trireme::rules::Rule rule)) {                                             \
    update_compared<T, V>(indices, table, rule);                                                  \
  }                                                                                               \
  TRIREME_KERNEL(sparse_sorted_##Rule##_##suffix,                                                 \
                 (const SortedRows sorted, const T* runs,                                         \
                  const SparseOf<trireme::rules::Rule> table, const trireme::rules::Rule rule)) { \
    update_sorted<T, V>(sorted, runs, table, rule);                                               \
  }
#define TRIREME_SPARSE_UPDATE(Rule)                        \
  TRIREME_SPARSE_UPDATE_KERNELS(Rule, float, 4, by_4_f32)  \
  TRIREME_SPARSE_UPDATE_KERNELS(Rule, float, 1, by_1_f32)  \
  TRIREME_SPARSE_UPDATE_KERNELS(Rule, double, 2, by_2_f64) \
  TRIREME_SPARSE_UPDATE_KERNELS(Rule, double, 1, by_1_f64)

TRIREME_OPTIMIZERS(TRIREME_SPARSE_UPDATE)

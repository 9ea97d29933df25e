// Dense updates: all variables of one rule in one launch, by the formulas of core/rules. A block
// takes chunks, and finds out to which tensor each belongs.
#include "core/device/cuda/kernels/update_step.cuh"

namespace trireme::cuda {

// The last tensor whose first chunk is not behind `chunk`.
template <typename Table>
TRIREME_DEVICE int tensor_of_chunk(const Table& table, uint32_t chunk) {
  int low = 0, high = table.tensors - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (table.first_chunk[middle] <= chunk) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

template <typename T, int V, typename G>
TRIREME_DEVICE Vector<Compute<T>, V> load_gradient(const void* gradient, int64_t at) {
  const Vector<G, V> loaded =
      *reinterpret_cast<const Vector<G, V>*>(static_cast<const G*>(gradient) + at);
  Vector<Compute<T>, V> g;
  for (int i = 0; i < V; ++i) g.at[i] = static_cast<Compute<T>>(to_compute(loaded.at[i]));
  return g;
}

template <typename Form, typename T, int V, typename G, typename Factors, size_t... I>
TRIREME_DEVICE void update_chunk(const Factors& factors, T* const* state, const void* gradient,
                                 int64_t begin, int64_t end, std::index_sequence<I...> slots) {
  const int64_t whole = end - (end - begin) % V;
  for (int64_t at = begin + threadIdx.x * V; at < whole; at += blockDim.x * V) {
    update_vector<Form, T, V>(factors, state, at, load_gradient<T, V, G>(gradient, at), slots);
  }
  for (int64_t at = whole + threadIdx.x; at < end; at += blockDim.x) {
    update_vector<Form, T, 1>(factors, state, at, load_gradient<T, 1, G>(gradient, at), slots);
  }
}

template <typename Form, typename T, typename Factors, typename Table, size_t... I>
TRIREME_DEVICE void update_chunks(const Factors& factors, const Table& table,
                                  std::index_sequence<I...> slots) {
  constexpr int V = 16 / sizeof(T) > 4 ? 4 : 16 / sizeof(T);
  for (uint32_t chunk = blockIdx.x; chunk < table.chunks; chunk += gridDim.x) {
    const int tensor = tensor_of_chunk(table, chunk);
    const int64_t begin = (chunk - table.first_chunk[tensor]) * Table::kChunk;
    const int64_t left = table.count[tensor] - begin;
    const int64_t end = begin + (left < Table::kChunk ? left : Table::kChunk);
    T* const state[] = {static_cast<T*>(table.variable[tensor]),
                        static_cast<T*>(table.slots[I][tensor])...};
    const void* const gradient = table.gradient[tensor];
    const uint8_t kind = table.gradient_kind[tensor];
    if (kind == kOfVariable) {
      update_chunk<Form, T, V, T>(factors, state, gradient, begin, end, slots);
    } else if (kind == kF16) {
      update_chunk<Form, T, V, Half>(factors, state, gradient, begin, end, slots);
    } else {
      update_chunk<Form, T, V, BFloat16>(factors, state, gradient, begin, end, slots);
    }
  }
}

template <typename T, typename Rule>
TRIREME_DEVICE void update(const TableOf<Rule>& table, const Rule& rule) {
  static_assert(sizeof(TableOf<Rule>) + sizeof(Rule) <= 32764 - 64,
                "a kernel's parameters hold the slots of 256 tensors, of ten each about");
  with_step<Compute<T>>(rule, table.shared, [&](const auto& form, const auto& factors) {
    using Form = std::remove_cvref_t<decltype(form)>;
    update_chunks<Form, T>(factors, table, SlotsOf<Form>{});
  });
}

}  // namespace trireme::cuda

using namespace trireme::cuda;

#define TRIREME_UPDATE_KERNEL(Rule, T, suffix)                                                   \
  TRIREME_KERNEL(update_##Rule##_##suffix,                                                       \
                 (const TableOf<trireme::rules::Rule> table, const trireme::rules::Rule rule)) { \
    update<T>(table, rule);                                                                      \
  }
#define TRIREME_UPDATE_KERNELS(Rule)       \
  TRIREME_UPDATE_KERNEL(Rule, float, f32)  \
  TRIREME_UPDATE_KERNEL(Rule, double, f64) \
  TRIREME_UPDATE_KERNEL(Rule, Half, f16)   \
  TRIREME_UPDATE_KERNEL(Rule, BFloat16, bf16)

TRIREME_ASSIGNMENTS(TRIREME_UPDATE_KERNELS)
TRIREME_OPTIMIZERS(TRIREME_UPDATE_KERNELS)

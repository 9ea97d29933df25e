// Dense updates: all variables of one rule in one launch, by the formulas of
// core/device/update_elements.h. A block takes chunks, and finds out to which tensor each belongs.
#include "core/device/cuda/kernels/update_step.cuh"

namespace trireme::cuda {

// The last tensor whose first chunk is not behind `chunk`.
TRIREME_DEVICE int tensor_of_chunk(const UpdateTable& table, uint32_t chunk) {
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

template <typename T, int V, typename G, typename Factors>
TRIREME_DEVICE void update_chunk(const Factors& factors, const UpdateTable& table, int tensor,
                                 int64_t begin, int64_t end) {
  T* const variable = static_cast<T*>(table.variable[tensor]);
  T* const slot0 = static_cast<T*>(table.slots[0][tensor]);
  T* const slot1 = static_cast<T*>(table.slots[1][tensor]);
  const void* const gradient = table.gradient[tensor];
  const int64_t whole = end - (end - begin) % V;
  for (int64_t at = begin + threadIdx.x * V; at < whole; at += blockDim.x * V) {
    update_vector<T, V>(factors, variable, slot0, slot1, at, load_gradient<T, V, G>(gradient, at));
  }
  for (int64_t at = whole + threadIdx.x; at < end; at += blockDim.x) {
    update_vector<T, 1>(factors, variable, slot0, slot1, at, load_gradient<T, 1, G>(gradient, at));
  }
}

template <typename T, typename Rule>
TRIREME_DEVICE void update(const UpdateTable& table, const Rule& rule) {
  constexpr int V = 16 / sizeof(T) > 4 ? 4 : 16 / sizeof(T);
  UpdateStep step;
  if (!begin_block(rule, table.shared, step)) return;
  with_factors<Compute<T>>(rule, step, [&](const auto& factors) {
    for (uint32_t chunk = blockIdx.x; chunk < table.chunks; chunk += gridDim.x) {
      const int tensor = tensor_of_chunk(table, chunk);
      const int64_t begin = (chunk - table.first_chunk[tensor]) * UpdateTable::kChunk;
      const int64_t left = table.count[tensor] - begin;
      const int64_t end = begin + (left < UpdateTable::kChunk ? left : UpdateTable::kChunk);
      const uint8_t kind = table.gradient_kind[tensor];
      if (kind == kOfVariable) {
        update_chunk<T, V, T>(factors, table, tensor, begin, end);
      } else if (kind == kF16) {
        update_chunk<T, V, Half>(factors, table, tensor, begin, end);
      } else {
        update_chunk<T, V, BFloat16>(factors, table, tensor, begin, end);
      }
    }
  });
}

}  // namespace trireme::cuda

using namespace trireme::cuda;

#define TRIREME_UPDATE_KERNEL(name, Rule, T, suffix)                                              \
  TRIREME_KERNEL(update_##name##_##suffix, (const UpdateTable table, const trireme::Rule rule)) { \
    update<T>(table, rule);                                                                       \
  }
#define TRIREME_UPDATE_KERNELS(name, Rule)       \
  TRIREME_UPDATE_KERNEL(name, Rule, float, f32)  \
  TRIREME_UPDATE_KERNEL(name, Rule, double, f64) \
  TRIREME_UPDATE_KERNEL(name, Rule, Half, f16)   \
  TRIREME_UPDATE_KERNEL(name, Rule, BFloat16, bf16)

TRIREME_UPDATE_KERNELS(assign, AssignRule)
TRIREME_UPDATE_KERNELS(assign_add, AssignAddRule)
TRIREME_UPDATE_KERNELS(moving_average, MovingAverageRule)
TRIREME_UPDATE_KERNELS(sgd, SgdRule)
TRIREME_UPDATE_KERNELS(rms_prop, RmsPropRule)
TRIREME_UPDATE_KERNELS(adagrad, AdagradRule)
TRIREME_UPDATE_KERNELS(adam, AdamRule)

#include "core/device/cpu/register.h"

#include "core/base/error.h"
#include "core/device/chain_by_ops.h"
#include "core/device/reference/register.h"
#include "core/device/small_floats.h"
#include "core/ops/ops.h"

namespace trireme {

void register_cpu_kernels(KernelTable& table) {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    throw invalid_argument(
        "the kernels of device kind 'cpu' need a processor with AVX2 and FMA (x86-64-v3), which "
        "this one "
        "lacks; run on a newer machine, or build with another TRIREME_CPU_ARCH");
  }
#endif
  register_cpu_elementwise(table);
  register_cpu_reduction(table);
  register_cpu_shaping(table);
  register_cpu_indexing(table);
  register_cpu_axis_indexing(table);
  register_flat_index(table, kCpuKind);
  register_cpu_sorting(table);
  register_cpu_random(table);
  register_cpu_update(table);
  register_cpu_fused_update(table);
  register_cpu_copy(table);
  register_cpu_linear(table);
  register_cpu_attention(table);
  register_cpu_lstm(table);
  register_cpu_gru(table);
  register_cpu_simple_rnn(table);
  register_cpu_convolution(table);
  register_cpu_pooling(table);
  register_cpu_images(table);
  register_cpu_hashing(table);
  register_cpu_normalization(table);
  register_cpu_layer_norm(table);
  register_batch_norm_statistics(table, kCpuKind);
  register_cpu_loss(table);
  register_cpu_pairwise_dots(table);
  add_kernels_through_f32(table, *core_op_table(), kCpuKind);
  add_chains_by_ops(table, kCpuKind);
}

}  // namespace trireme

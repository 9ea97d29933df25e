#include "core/device/reference/register.h"

#include "core/device/chain_by_ops.h"
#include "core/device/small_floats.h"
#include "core/ops/ops.h"

namespace trireme {

void register_reference_kernels(KernelTable& table) {
  register_reference_elementwise(table);
  register_reference_reduction(table);
  register_reference_shaping(table);
  register_reference_indexing(table);
  register_reference_axis_indexing(table);
  register_reference_sorting(table);
  register_reference_random(table);
  register_reference_update(table);
  register_reference_fused_update(table);
  register_reference_copy(table);
  register_reference_linear(table);
  register_reference_attention(table);
  register_reference_recurrent(table);
  register_reference_convolution(table);
  register_reference_pooling(table);
  register_reference_images(table);
  register_reference_hashing(table);
  register_reference_normalization(table);
  register_reference_layer_norm(table);
  register_reference_loss(table);
  register_reference_pairwise_dots(table);
  add_kernels_through_f32(table, *core_op_table(), kReferenceKind);
  add_chains_by_ops(table, kReferenceKind);
}

}  // namespace trireme

#include "core/ops/register.h"

#include "core/ops/ops.h"

namespace trireme {

void register_core_ops(OpTable& table) {
  register_source_ops(table);
  register_elementwise_ops(table);
  register_elementwise_chain_ops(table);
  register_reduction_ops(table);
  register_shaping_ops(table);
  register_indexing_ops(table);
  register_array_ops(table);
  register_axis_indexing_ops(table);
  register_sorting_ops(table);
  register_random_ops(table);
  register_update_ops(table);
  register_grouped_update_ops(table);
  register_fused_update_ops(table);
  register_copy_ops(table);
  register_linear_ops(table);
  register_attention_ops(table);
  register_recurrent_ops(table);
  register_convolution_ops(table);
  register_pooling_ops(table);
  register_image_ops(table);
  register_hashing_ops(table);
  register_normalization_ops(table);
  register_layer_norm_ops(table);
  register_loss_ops(table);
  register_pairwise_dots_ops(table);
}

std::shared_ptr<const OpTable> core_op_table() {
  auto table = std::make_shared<OpTable>();
  register_core_ops(*table);
  return table;
}

}  // namespace trireme

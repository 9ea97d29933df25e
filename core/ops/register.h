// The op definitions of each family, for register_core_ops(). Each is defined in the file of its
// family.
#pragma once

#include "core/graph/op_def.h"

namespace trireme {

void register_source_ops(OpTable& table);
void register_elementwise_ops(OpTable& table);
void register_elementwise_chain_ops(OpTable& table);
void register_reduction_ops(OpTable& table);
void register_shaping_ops(OpTable& table);
void register_indexing_ops(OpTable& table);
void register_array_ops(OpTable& table);
void register_axis_indexing_ops(OpTable& table);
void register_sorting_ops(OpTable& table);
void register_random_ops(OpTable& table);
void register_update_ops(OpTable& table);
void register_grouped_update_ops(OpTable& table);
void register_fused_update_ops(OpTable& table);
void register_copy_ops(OpTable& table);
void register_linear_ops(OpTable& table);
void register_attention_ops(OpTable& table);
void register_recurrent_ops(OpTable& table);
void register_convolution_ops(OpTable& table);
void register_pooling_ops(OpTable& table);
void register_image_ops(OpTable& table);
void register_hashing_ops(OpTable& table);
void register_normalization_ops(OpTable& table);
void register_layer_norm_ops(OpTable& table);
void register_loss_ops(OpTable& table);
void register_pairwise_dots_ops(OpTable& table);

}  // namespace trireme

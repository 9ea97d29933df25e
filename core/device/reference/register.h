// The kernels of the device kind "reference": slow and obvious, the truth that other kernels are
// tested against.
#pragma once

#include <string_view>

#include "core/device/kernel_spec.h"

namespace trireme {

struct UpdateRule;

inline constexpr std::string_view kReferenceKind = "reference";

void register_reference_kernels(KernelTable& table);
// Of the ops of an update rule that is not Trireme's.
void add_reference_update_kernels(KernelTable& table, const UpdateRule& rule);

// Each in the file of its family.
void register_reference_elementwise(KernelTable& table);
void register_reference_reduction(KernelTable& table);
void register_reference_shaping(KernelTable& table);
void register_reference_indexing(KernelTable& table);
void register_reference_axis_indexing(KernelTable& table);
// Also for the other kinds of the host: what it costs is reading a few numbers.
void register_flat_index(KernelTable& table, std::string_view kind);
void register_reference_sorting(KernelTable& table);
void register_reference_random(KernelTable& table);
void register_reference_update(KernelTable& table);
void register_reference_fused_update(KernelTable& table);
void register_reference_copy(KernelTable& table);
void register_reference_linear(KernelTable& table);
void register_reference_attention(KernelTable& table);
// Also for the other kinds of the host, where they have no kernel of their own for a dtype.
void register_attention_by_loops(KernelTable& table, std::string_view kind, DType dtype);
void register_reference_recurrent(KernelTable& table);
void register_reference_convolution(KernelTable& table);
void register_reference_pooling(KernelTable& table);
void register_reference_images(KernelTable& table);
void register_reference_hashing(KernelTable& table);
void register_reference_normalization(KernelTable& table);
void register_reference_layer_norm(KernelTable& table);
// Also for the other kinds of the host, where no pass makes this op.
void register_batch_norm_statistics(KernelTable& table, std::string_view kind);
void register_reference_loss(KernelTable& table);
void register_reference_pairwise_dots(KernelTable& table);

}  // namespace trireme

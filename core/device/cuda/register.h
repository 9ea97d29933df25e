// The kernels of kind "cuda", a function a family. Private to core/device/cuda.
#pragma once

#include <string_view>

#include "core/device/kernel_spec.h"

namespace trireme::cuda {

inline constexpr std::string_view kCudaKind = "cuda";

void register_copy(KernelTable& table);
void register_elementwise(KernelTable& table);
void register_reduction(KernelTable& table);
void register_shaping(KernelTable& table);
void register_indexing(KernelTable& table);
void register_axis_indexing(KernelTable& table);
void register_sorting(KernelTable& table);
void register_random(KernelTable& table);
void register_update(KernelTable& table);
void register_linear(KernelTable& table);
void register_attention(KernelTable& table);
void register_recurrent(KernelTable& table);
void register_convolution(KernelTable& table);
void register_pooling(KernelTable& table);
void register_images(KernelTable& table);
void register_hashing(KernelTable& table);
void register_normalization(KernelTable& table);
void register_layer_norm(KernelTable& table);
void register_loss(KernelTable& table);
void register_pairwise_dots(KernelTable& table);

}  // namespace trireme::cuda

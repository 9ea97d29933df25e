// The kernels of the device kind "cpu": vectorised and multi-threaded, over oneDNN, Eigen and the
// compute pool.
//
// This folder is compiled for x86-64-v3 (AVX2 and FMA). Only register.cc is not, so that it can
// look before it leaps.
#pragma once

#include <string_view>

#include "core/device/kernel_spec.h"

namespace trireme {

struct UpdateRule;

inline constexpr std::string_view kCpuKind = "cpu";

// Throws Error{kInvalidArgument} when this processor lacks AVX2 or FMA.
void register_cpu_kernels(KernelTable& table);
// Of the ops of an update rule that is not Trireme's; they run as the rule is compiled.
void add_cpu_update_kernels(KernelTable& table, const UpdateRule& rule);

// Each in the file of its family.
void register_cpu_elementwise(KernelTable& table);
void register_cpu_reduction(KernelTable& table);
void register_cpu_shaping(KernelTable& table);
void register_cpu_indexing(KernelTable& table);
void register_cpu_axis_indexing(KernelTable& table);
void register_cpu_sorting(KernelTable& table);
void register_cpu_random(KernelTable& table);
void register_cpu_update(KernelTable& table);
void register_cpu_fused_update(KernelTable& table);
void register_cpu_copy(KernelTable& table);
void register_cpu_linear(KernelTable& table);
void register_cpu_attention(KernelTable& table);
void register_cpu_lstm(KernelTable& table);
void register_cpu_gru(KernelTable& table);
void register_cpu_simple_rnn(KernelTable& table);
void register_cpu_convolution(KernelTable& table);
void register_cpu_pooling(KernelTable& table);
void register_cpu_images(KernelTable& table);
void register_cpu_hashing(KernelTable& table);
void register_cpu_normalization(KernelTable& table);
void register_cpu_layer_norm(KernelTable& table);
void register_cpu_loss(KernelTable& table);
void register_cpu_pairwise_dots(KernelTable& table);

}  // namespace trireme

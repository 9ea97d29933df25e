// The sizes of attention as its kernels take them: by value, from host and card alike. Fields are
// those of AttentionLayout (core/device/attention_layout.h); steps are in elements.
#pragma once

#include <stdint.h>

namespace trireme::cuda {

struct AttentionRows {
  int64_t offset, batch_step, position_step;
};

struct AttentionShape {
  int64_t batch, heads, kv_heads, q_len, k_len, dim, value_dim;
  AttentionRows q, k, v, y;
  int64_t mask_batch, mask_head, mask_query;
  double scale;
  int32_t causal, reserved;
};

// The most numbers of a head.
constexpr int32_t kMostAttentionDim = 256;
// What one block does: rows of queries (for the gradient of keys: of keys), a warp some of them.
constexpr int32_t kAttentionWarps = 8, kAttentionPerWarp = 4,
                  kAttentionRows = kAttentionWarps * kAttentionPerWarp;

}  // namespace trireme::cuda

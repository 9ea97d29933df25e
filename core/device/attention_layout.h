// Where the operands of Attention and AttentionGrad lie, for the kernels of all devices. What they
// compute is said in core/ops/attention.cc.
#pragma once

#include <cstdint>

#include "core/device/kernel_spec.h"

namespace trireme {

struct AttentionLayout {
  // Rows of one operand: the row of a batch, a position and a head begins at offset +
  // batch·batch_step + position·position_step + head·numbers of a head, in elements.
  struct Rows {
    int input = 0;
    int64_t offset = 0, batch_step = 0, position_step = 0;
  };

  int64_t batch, heads, kv_heads, q_len, k_len, dim, value_dim;
  bool causal, packed;
  double scale;
  Rows q, k, v;
  Rows y;  // of y and dy, which are no inputs of Attention
  // The mask's row of a batch, a head and a query begins at batch·mask_batch + head·mask_head +
  // query·mask_query.
  int mask_input = -1;  // −1: there is none
  int64_t mask_batch = 0, mask_head = 0, mask_query = 0;

  // `first`: the input from which on the operands stand.
  AttentionLayout(const KernelSpec& spec, int first);

  int64_t group() const { return heads / kv_heads; }
  // How many keys a query sees at most: those before this one.
  int64_t visible(int64_t query) const { return causal && query + 1 < k_len ? query + 1 : k_len; }
  int64_t at(const Rows& rows, int64_t b, int64_t position, int64_t head, int64_t numbers) const {
    return rows.offset + b * rows.batch_step + position * rows.position_step + head * numbers;
  }
  const bool* mask_row(const KernelArgs& args, int64_t b, int64_t head, int64_t query) const {
    if (mask_input < 0) return nullptr;
    return args.in<bool>(mask_input) + b * mask_batch + head * mask_head + query * mask_query;
  }
};

}  // namespace trireme

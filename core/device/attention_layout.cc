#include "core/device/attention_layout.h"

namespace trireme {

AttentionLayout::AttentionLayout(const KernelSpec& spec, int first) {
  const Shape& q_shape = spec.input_shape(first);
  const int64_t packed_kv_heads = spec.attribute<int64_t>("kv_heads");
  packed = packed_kv_heads > 0;
  causal = spec.attribute<bool>("causal");
  scale = spec.attribute<double>("scale");
  batch = q_shape[0];
  q_len = q_shape[1];
  dim = q_shape[3];
  const auto rows = [](int input, const Shape& shape, int64_t offset) {
    return Rows{input, offset, shape[1] * shape[2] * shape[3], shape[2] * shape[3]};
  };
  if (packed) {
    kv_heads = packed_kv_heads;
    heads = q_shape[2] - 2 * kv_heads;
    k_len = q_len;
    value_dim = dim;
    q = rows(first, q_shape, 0);
    k = rows(first, q_shape, heads * dim);
    v = rows(first, q_shape, (heads + kv_heads) * dim);
  } else {
    const Shape &k_shape = spec.input_shape(first + 1), &v_shape = spec.input_shape(first + 2);
    heads = q_shape[2];
    kv_heads = k_shape[2];
    k_len = k_shape[1];
    value_dim = v_shape[3];
    q = rows(first, q_shape, 0);
    k = rows(first + 1, k_shape, 0);
    v = rows(first + 2, v_shape, 0);
  }
  y = {0, 0, q_len * heads * value_dim, heads * value_dim};
  const int operands = packed ? 1 : 3;
  if (static_cast<int>(spec.inputs.size()) > first + operands) {
    mask_input = first + operands;
    const Shape& mask = spec.input_shape(mask_input);
    const int64_t by_query = mask[2] * mask[3];
    mask_query = mask[2] == 1 ? 0 : mask[3];
    mask_head = mask[1] == 1 ? 0 : by_query;
    mask_batch = mask[0] == 1 ? 0 : mask[1] * by_query;
  }
}

}  // namespace trireme

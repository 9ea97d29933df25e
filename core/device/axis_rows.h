// How GatherAxis and ScatterAxis see their tensors, on every device: params and `like` as
// [batch, outer, rows, inner], indices as [batch, count], what is picked as
// [batch, outer, count, inner].
#pragma once

#include "core/device/kernel_spec.h"

namespace trireme {

struct AxisRows {
  int64_t batch, outer, rows, inner, count;

  // `params`, `indices`: which inputs those are.
  AxisRows(const KernelSpec& spec, int params, int indices) {
    const Shape &whole = spec.input_shape(params), &picked = spec.input_shape(indices);
    const int axis = static_cast<int>(spec.attribute<int64_t>("axis"));
    const int batch_dims = static_cast<int>(spec.attribute<int64_t>("batch_dims"));
    batch = whole.first(batch_dims).elements();
    outer = whole.first(axis).last(axis - batch_dims).elements();
    rows = whole[axis];
    inner = whole.last(whole.rank() - axis - 1).elements();
    count = picked.last(picked.rank() - batch_dims).elements();
  }
};

}  // namespace trireme

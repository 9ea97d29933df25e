// Where the inputs of an Apply… node stand: variable, slots, lr, step, then the gradient or indices
// and rows.
#pragma once

#include "core/device/kernel_spec.h"
#include "core/device/update_rows.h"

namespace trireme {

struct UpdateLayout {
  int slots = 0;
  bool has_lr = false;
  bool has_step = false;

  int gradient_input() const { return 1 + slots + has_lr + has_step; }

  template <typename Rule>
  UpdateStep step(const Rule& rule, const KernelArgs& args) const {
    return begin_step(rule, has_lr ? static_cast<double>(*args.in<float>(1 + slots)) : 0,
                      has_step ? *args.in<int64_t>(2 + slots) : 1);
  }

  // `count` elements from `begin` of the variable and its slots, with a gradient from anywhere.
  template <typename T>
  UpdateRows<T> rows(const KernelArgs& args, int64_t begin, int64_t count,
                     const T* gradient) const {
    const size_t size = static_cast<size_t>(count);
    UpdateRows<T> rows{{args.mutable_in<T>(0) + begin, size}, {}, {gradient, size}};
    for (int i = 0; i < slots; ++i) {
      rows.slots[static_cast<size_t>(i)] = {args.mutable_in<T>(1 + i) + begin, size};
    }
    return rows;
  }
};

// Calls add.operator()<Rule>(name, layout) for each update op that has a rule: the one list of them
// for all devices.
template <typename Add>
void for_each_dense_update(Add add) {
  add.template operator()<AssignRule>("Assign", UpdateLayout{});
  add.template operator()<AssignAddRule>("AssignAdd", UpdateLayout{});
  add.template operator()<MovingAverageRule>("AssignMovingAverage", UpdateLayout{});
}

// The optimizers; each is there as `name` and as `name` + "Sparse".
template <typename Add>
void for_each_optimizer(Add add) {
  add.template operator()<SgdRule>("ApplySgd", UpdateLayout{0, true, false});
  add.template operator()<SgdRule>("ApplyMomentum", UpdateLayout{1, true, false});
  add.template operator()<RmsPropRule>("ApplyRmsProp", UpdateLayout{1, true, false});
  add.template operator()<RmsPropRule>("ApplyRmsPropMomentum", UpdateLayout{2, true, false});
  add.template operator()<AdagradRule>("ApplyAdagrad", UpdateLayout{1, true, false});
  add.template operator()<AdamRule>("ApplyAdam", UpdateLayout{2, true, true});
}

}  // namespace trireme

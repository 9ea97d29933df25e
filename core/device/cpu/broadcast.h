// Loops over a broadcast: the axes collapsed to as few as possible, so that the innermost loop is
// long and each input is either contiguous or constant in it. Private to core/device/cpu.
#pragma once

#include <algorithm>
#include <array>

#include "core/base/parallel.h"
#include "core/device/cpu/register.h"

namespace trireme::cpu {

// How many elements of a cheap operation are worth a thread of their own.
inline constexpr int64_t kGrain = 16384;

template <size_t N>
class Broadcast {
 public:
  using Positions = std::array<int64_t, N>;

  Broadcast(const std::array<Shape, N>& inputs, const Shape& output)
      : elements_(output.elements()) {
    Positions stride;
    stride.fill(1);
    for (int axis = 1; axis <= output.rank(); ++axis) {
      const int64_t size = output.dim(-axis);
      Positions step{};
      for (size_t k = 0; k < N; ++k) {
        const int64_t own = axis <= inputs[k].rank() ? inputs[k].dim(-axis) : 1;
        step[k] = own == 1 ? 0 : stride[k];
        stride[k] *= own;
      }
      if (size != 1) push(size, step);
    }
    if (rank_ == 0) push(1, {});
  }

  int64_t elements() const { return elements_; }
  // 1 when input k is contiguous along the innermost loop, 0 when it is constant.
  int64_t inner_stride(size_t k) const { return strides_[0][k]; }

  // body(positions in the inputs, position in the output, count) over stretches of the innermost
  // axis, in parallel.
  template <typename Body>
  void for_each(int64_t grain, const Body& body) const {
    parallel_for(elements_, grain, [&](int64_t begin, int64_t end) { run(begin, end, body); });
  }

 private:
  // Axes are kept innermost first. One that continues the axis inside it in every input is merged
  // with it.
  void push(int64_t size, const Positions& step) {
    bool merges = rank_ > 0;
    for (size_t k = 0; merges && k < N; ++k)
      merges = step[k] == strides_[last()][k] * sizes_[last()];
    if (merges) {
      sizes_[last()] *= size;
    } else {
      sizes_[rank_] = size;
      strides_[rank_++] = step;
    }
  }
  size_t last() const { return rank_ - 1; }

  template <typename Body>
  void run(int64_t begin, int64_t end, const Body& body) const {
    std::array<int64_t, Shape::kMaxRank> index{};
    Positions positions{};
    int64_t rest = begin;
    for (size_t axis = 0; axis < rank_; ++axis) {
      index[axis] = rest % sizes_[axis];
      rest /= sizes_[axis];
      for (size_t k = 0; k < N; ++k) positions[k] += index[axis] * strides_[axis][k];
    }
    while (begin < end) {
      const int64_t count = std::min(sizes_[0] - index[0], end - begin);
      body(positions, begin, count);
      begin += count;
      for (size_t k = 0; k < N; ++k) positions[k] -= index[0] * strides_[0][k];
      index[0] = 0;
      for (size_t axis = 1; axis < rank_; ++axis) {
        for (size_t k = 0; k < N; ++k) positions[k] += strides_[axis][k];
        if (++index[axis] < sizes_[axis]) break;
        for (size_t k = 0; k < N; ++k) positions[k] -= sizes_[axis] * strides_[axis][k];
        index[axis] = 0;
      }
    }
  }

  int64_t elements_;
  size_t rank_ = 0;
  std::array<int64_t, Shape::kMaxRank> sizes_{};
  std::array<Positions, Shape::kMaxRank> strides_{};
};

}  // namespace trireme::cpu

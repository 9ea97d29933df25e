// Copies a box of elements between two tensors, in runs of bytes that are as long as possible.
// Private to core/device/cpu.
#pragma once

#include <array>
#include <cstring>

#include "core/base/parallel.h"
#include "core/device/kernel_spec.h"

namespace trireme::cpu {

class BoxCopy {
 public:
  // The box of shape `box` that begins at `from_begin` in a tensor of shape `from` goes to
  // `to_begin` in one of shape `to`.
  BoxCopy(const Shape& box, const Shape& from, const Ints& from_begin, const Shape& to,
          const Ints& to_begin, size_t element_bytes)
      : run_bytes_(static_cast<int64_t>(element_bytes)) {
    int64_t from_stride = run_bytes_, to_stride = run_bytes_;
    bool is_contiguous =
        true;  // so far, from the innermost axis out, all of both tensors is copied
    for (int axis = box.rank() - 1; axis >= 0; --axis) {
      const size_t a = static_cast<size_t>(axis);
      from_offset_ += from_begin[a] * from_stride;
      to_offset_ += to_begin[a] * to_stride;
      if (is_contiguous) {
        run_bytes_ *= box[axis];
        is_contiguous = box[axis] == from[axis] && box[axis] == to[axis];
      } else if (box[axis] != 1) {
        sizes_[rank_] = box[axis];
        from_strides_[rank_] = from_stride;
        to_strides_[rank_++] = to_stride;
        runs_ *= box[axis];
      }
      from_stride *= from[axis];
      to_stride *= to[axis];
    }
  }

  void run(const void* source, void* target) const {
    const char* from = static_cast<const char*>(source) + from_offset_;
    char* to = static_cast<char*>(target) + to_offset_;
    if (run_bytes_ == 0 || runs_ == 0) return;
    if (runs_ == 1) {
      parallel_for(run_bytes_, kGrainBytes, [=](int64_t begin, int64_t end) {
        std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
      });
      return;
    }
    parallel_for(runs_, std::max<int64_t>(1, kGrainBytes / run_bytes_),
                 [=, this](int64_t begin, int64_t end) {
                   for (int64_t run = begin; run < end; ++run) {
                     int64_t rest = run, read = 0, write = 0;
                     for (size_t axis = 0; axis < rank_; ++axis) {
                       const int64_t index = axis + 1 == rank_ ? rest : rest % sizes_[axis];
                       rest /= sizes_[axis];
                       read += index * from_strides_[axis];
                       write += index * to_strides_[axis];
                     }
                     std::memcpy(to + write, from + read, static_cast<size_t>(run_bytes_));
                   }
                 });
  }

 private:
  static constexpr int64_t kGrainBytes = 128 * 1024;

  int64_t run_bytes_, runs_ = 1, from_offset_ = 0, to_offset_ = 0;
  size_t rank_ = 0;  // axes outside of a run, innermost first
  std::array<int64_t, Shape::kMaxRank> sizes_{}, from_strides_{}, to_strides_{};
};

}  // namespace trireme::cpu

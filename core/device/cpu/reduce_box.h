// Reductions of a tensor over some of its axes. Private to core/device/cpu; included by
// reduction.cc only.
//
// Adjacent axes that are both kept or both reduced count as one. Nearly all reductions are then
// [outer, reduced, inner]: over leading axes (outer = 1), over trailing ones (inner = 1) or in the
// middle. How that is cut into pieces depends on the shape and not on the number of threads, so the
// rounding does not either.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "core/base/parallel.h"
#include "core/device/element.h"
#include "core/device/kernel_spec.h"

namespace trireme::cpu {
namespace {

struct SumOf {
  template <typename C>
  static constexpr C initial() {
    return C{0};
  }
  template <typename C>
  static C combine(C a, C b) {
    return static_cast<C>(a + b);
  }
};

struct MaxOf {
  template <typename C>
  static constexpr C initial() {
    if constexpr (std::is_floating_point_v<C>)
      return -std::numeric_limits<C>::infinity();
    else
      return std::numeric_limits<C>::lowest();
  }
  template <typename C>
  static C combine(C a, C b) {
    return b > a ? b : a;
  }
};

struct MinOf {
  template <typename C>
  static constexpr C initial() {
    if constexpr (std::is_floating_point_v<C>)
      return std::numeric_limits<C>::infinity();
    else
      return std::numeric_limits<C>::max();
  }
  template <typename C>
  static C combine(C a, C b) {
    return b < a ? b : a;
  }
};

struct ProductOf {
  template <typename C>
  static constexpr C initial() {
    return C{1};
  }
  template <typename C>
  static C combine(C a, C b) {
    if constexpr (std::is_integral_v<C>) {
      return static_cast<C>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
    } else {
      return a * b;
    }
  }
};

// Sizes of the collapsed axes, outermost first, and whether each is reduced.
struct CollapsedAxes {
  std::vector<int64_t> sizes;
  std::vector<bool> reduced;

  CollapsedAxes(const Shape& shape, const std::vector<bool>& is_reduced) {
    for (int axis = 0; axis < shape.rank(); ++axis) {
      const bool r = is_reduced[static_cast<size_t>(axis)];
      if (shape[axis] == 1) continue;
      if (!sizes.empty() && reduced.back() == r) {
        sizes.back() *= shape[axis];
      } else {
        sizes.push_back(shape[axis]);
        reduced.push_back(r);
      }
    }
  }
};

// [outer, reduced, inner], cut into `pieces` along the reduced axis and into strips of `strip`
// columns.
struct ReduceBox {
  int64_t outer = 1, reduced = 1, inner = 1;
  int64_t pieces = 1, strip = 1, strips = 1;

  static constexpr int64_t kStrip =
      1024;  // columns whose accumulators stay in the first-level cache
  static constexpr int64_t kPiece = 65536;  // elements

  void cut() {
    strip = std::min(inner, kStrip);
    strips = strip == 0 ? 0 : (inner + strip - 1) / strip;
    pieces = std::clamp<int64_t>(reduced * strip / kPiece, 1, 64);
  }
};

// Reduces rows [begin, end) of `columns` columns, `stride` apart, into total[columns].
//
// Groups of rows are first reduced among themselves: that keeps the rounding of long sums small.
// Where rows are short and contiguous, several count as one long row, so that the loop fills vector
// registers; their parts are folded at the end.
template <typename Reducer, typename T, typename C>
void reduce_rows(const T* x, int64_t stride, int64_t rows, int64_t columns, C* total) {
  constexpr int64_t kWide = 64, kGroup = 64;
  C accumulators[ReduceBox::kStrip], sums[ReduceBox::kStrip];
  const int64_t together = stride == columns && columns < kWide ? kWide / columns : 1;
  const int64_t width = columns * together, step = stride * together, steps = rows / together;
  std::fill(total, total + columns, Reducer::template initial<C>());
  if (steps > 0) {
    std::fill(sums, sums + width, Reducer::template initial<C>());
    for (int64_t group = 0; group < steps; group += kGroup) {
      std::fill(accumulators, accumulators + width, Reducer::template initial<C>());
      for (int64_t row = group; row < std::min(steps, group + kGroup); ++row) {
        const T* line = x + row * step;
        for (int64_t i = 0; i < width; ++i)
          accumulators[i] = Reducer::combine(accumulators[i], convert<C>(line[i]));
      }
      for (int64_t i = 0; i < width; ++i) sums[i] = Reducer::combine(sums[i], accumulators[i]);
    }
    for (int64_t part = 0; part < together; ++part) {
      for (int64_t i = 0; i < columns; ++i)
        total[i] = Reducer::combine(total[i], sums[part * columns + i]);
    }
  }
  for (int64_t row = steps * together; row < rows; ++row) {
    for (int64_t i = 0; i < columns; ++i)
      total[i] = Reducer::combine(total[i], convert<C>(x[row * stride + i]));
  }
}

// Reduces n contiguous elements: in lanes that fill vector registers, and in blocks that keep the
// rounding small.
template <typename Reducer, typename C, typename T>
C reduce_line(const T* x, int64_t n) {
  constexpr int64_t kLanes = 32, kLineBlock = 2048;
  C total = Reducer::template initial<C>();
  int64_t i = 0;
  while (n - i >= kLanes) {
    C lanes[kLanes];
    std::fill(lanes, lanes + kLanes, Reducer::template initial<C>());
    const int64_t end = i + std::min(kLineBlock, (n - i) / kLanes * kLanes);
    for (; i < end; i += kLanes) {
      for (int64_t k = 0; k < kLanes; ++k)
        lanes[k] = Reducer::combine(lanes[k], convert<C>(x[i + k]));
    }
    for (int64_t half = kLanes / 2; half > 0; half /= 2) {
      for (int64_t k = 0; k < half; ++k) lanes[k] = Reducer::combine(lanes[k], lanes[k + half]);
    }
    total = Reducer::combine(total, lanes[0]);
  }
  for (; i < n; ++i) total = Reducer::combine(total, convert<C>(x[i]));
  return total;
}

// [outer, reduced, 1] with rows that are not worth cutting up.
template <typename Reducer, typename T>
PreparedKernel reduce_lines(int64_t outer, int64_t reduced, ComputeType<T> divisor) {
  using C = ComputeType<T>;
  return {[=](const KernelArgs& args) {
    const T* x = args.in<T>(0);
    T* y = args.out<T>();
    parallel_for(outer, std::max<int64_t>(1, 32768 / std::max<int64_t>(1, reduced)),
                 [=](int64_t begin, int64_t end) {
                   for (int64_t row = begin; row < end; ++row) {
                     const C value = reduce_line<Reducer, C>(x + row * reduced, reduced);
                     y[row] = convert<T>(divisor == C{1} ? value : static_cast<C>(value / divisor));
                   }
                 });
  }};
}

template <typename Reducer, typename T>
PreparedKernel reduce_box(ReduceBox box, ComputeType<T> divisor) {
  using C = ComputeType<T>;
  box.cut();
  if (box.inner == 1 && box.pieces == 1)
    return reduce_lines<Reducer, T>(box.outer, box.reduced, divisor);
  const int64_t tasks = box.outer * box.strips * box.pieces;
  const int64_t task_elements = std::max<int64_t>(1, box.strip * box.reduced / box.pieces);
  const auto finish = [divisor](C value) {
    return convert<T>(divisor == C{1} ? value : static_cast<C>(value / divisor));
  };
  return {[=](const KernelArgs& args) {
            const T* x = args.in<T>(0);
            T* y = args.out<T>();
            C* partials = static_cast<C*>(args.scratch);  // [outer, pieces, inner]
            parallel_for(tasks, std::max<int64_t>(1, 32768 / task_elements),
                         [=](int64_t first, int64_t last) {
                           C total[ReduceBox::kStrip];
                           for (int64_t task = first; task < last; ++task) {
                             const int64_t strip = task % box.strips,
                                           piece = task / box.strips % box.pieces;
                             const int64_t outer = task / box.strips / box.pieces;
                             const int64_t column = strip * box.strip;
                             const int64_t columns = std::min(box.strip, box.inner - column);
                             const int64_t begin = box.reduced * piece / box.pieces;
                             const int64_t end = box.reduced * (piece + 1) / box.pieces;
                             const T* from = x + (outer * box.reduced + begin) * box.inner + column;
                             if (box.pieces > 1) {
                               reduce_rows<Reducer>(
                                   from, box.inner, end - begin, columns,
                                   partials + (outer * box.pieces + piece) * box.inner + column);
                             } else {
                               reduce_rows<Reducer>(from, box.inner, end - begin, columns, total);
                               for (int64_t i = 0; i < columns; ++i)
                                 y[outer * box.inner + column + i] = finish(total[i]);
                             }
                           }
                         });
            if (box.pieces == 1) return;
            for (int64_t outer = 0; outer < box.outer; ++outer) {
              const C* from = partials + outer * box.pieces * box.inner;
              for (int64_t i = 0; i < box.inner; ++i) {
                C value = from[i];
                for (int64_t p = 1; p < box.pieces; ++p)
                  value = Reducer::combine(value, from[p * box.inner + i]);
                y[outer * box.inner + i] = finish(value);
              }
            }
          },
          box.pieces > 1 ? static_cast<size_t>(box.outer * box.pieces * box.inner) * sizeof(C) : 0};
}

// Any alternation of kept and reduced axes: one output after the other, for the few graphs that
// need it.
template <typename Reducer, typename T>
PreparedKernel reduce_scattered(const CollapsedAxes& axes, ComputeType<T> divisor) {
  using C = ComputeType<T>;
  struct Walk {  // axes of one kind, innermost first
    std::vector<int64_t> sizes, strides;
    int64_t elements = 1;
    int64_t position(int64_t index) const {
      int64_t at = 0;
      for (size_t axis = 0; axis < sizes.size(); ++axis) {
        at += index % sizes[axis] * strides[axis];
        index /= sizes[axis];
      }
      return at;
    }
  };
  Walk kept, reduced;
  int64_t stride = 1;
  for (size_t axis = axes.sizes.size(); axis-- > 0;) {
    Walk& walk = axes.reduced[axis] ? reduced : kept;
    walk.sizes.push_back(axes.sizes[axis]);
    walk.strides.push_back(stride);
    walk.elements *= axes.sizes[axis];
    stride *= axes.sizes[axis];
  }
  return {[=](const KernelArgs& args) {
    const T* x = args.in<T>(0);
    T* y = args.out<T>();
    parallel_for(kept.elements, 1, [&](int64_t begin, int64_t end) {
      const int64_t line = reduced.sizes[0], line_stride = reduced.strides[0];
      for (int64_t o = begin; o < end; ++o) {
        const T* from = x + kept.position(o);
        C value = Reducer::template initial<C>();
        for (int64_t r = 0; r < reduced.elements; r += line) {
          const T* row = from + reduced.position(r);
          C part = Reducer::template initial<C>();
          for (int64_t i = 0; i < line; ++i)
            part = Reducer::combine(part, convert<C>(row[i * line_stride]));
          value = Reducer::combine(value, part);
        }
        y[o] = convert<T>(divisor == C{1} ? value : static_cast<C>(value / divisor));
      }
    });
  }};
}

// The result is divided by `divisor` (1 but for means).
template <typename Reducer, typename T>
PreparedKernel reduce(const Shape& shape, const std::vector<bool>& is_reduced,
                      ComputeType<T> divisor) {
  const CollapsedAxes axes(shape, is_reduced);
  ReduceBox box;
  size_t next = 0;
  if (next < axes.sizes.size() && !axes.reduced[next]) box.outer = axes.sizes[next++];
  if (next < axes.sizes.size()) box.reduced = axes.sizes[next++];
  if (next < axes.sizes.size()) box.inner = axes.sizes[next++];
  const bool has_box = next == axes.sizes.size();
  if (has_box && box.reduced == 1 && divisor == ComputeType<T>{1}) {
    return {[n = shape.elements()](const KernelArgs& args) {
      const T* x = args.in<T>(0);
      T* y = args.out<T>();
      if (x != y) std::copy(x, x + n, y);
    }};
  }
  return has_box ? reduce_box<Reducer, T>(box, divisor)
                 : reduce_scattered<Reducer, T>(axes, divisor);
}

}  // namespace
}  // namespace trireme::cpu

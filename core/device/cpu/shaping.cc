#include <cstring>

#include "core/device/cpu/box_copy.h"
#include "core/device/cpu/broadcast.h"

namespace trireme::cpu {
namespace {

// Axes in the order of the output, those that stay neighbours merged.
struct TransposeAxes {
  size_t rank = 0;
  std::array<int64_t, Shape::kMaxRank> sizes{}, in_strides{}, out_strides{};

  TransposeAxes(const Shape& x, const Ints& permutation) {
    std::array<int64_t, Shape::kMaxRank> strides{};
    int64_t stride = 1;
    for (int axis = x.rank() - 1; axis >= 0; --axis) {
      strides[static_cast<size_t>(axis)] = stride;
      stride *= x[axis];
    }
    for (int64_t axis : permutation) {
      const int64_t size = x[static_cast<int>(axis)],
                    in_stride = strides[static_cast<size_t>(axis)];
      if (size == 1) continue;
      if (rank > 0 && in_strides[rank - 1] == size * in_stride) {
        sizes[rank - 1] *= size;
        in_strides[rank - 1] = in_stride;
      } else {
        sizes[rank] = size;
        in_strides[rank++] = in_stride;
      }
    }
    stride = 1;
    for (size_t axis = rank; axis-- > 0;) {
      out_strides[axis] = stride;
      stride *= sizes[axis];
    }
  }
};

// y[j + i·y_stride] = x[i + j·x_stride] for i < rows, j < columns, in tiles that fit the
// first-level cache both ways.
template <typename Word>
void transpose_plane(const Word* x, int64_t x_stride, int64_t rows, int64_t columns, Word* y,
                     int64_t y_stride) {
  constexpr int64_t kTile = 64 / static_cast<int64_t>(sizeof(Word)) * 2;
  for (int64_t i0 = 0; i0 < rows; i0 += kTile) {
    const int64_t i1 = std::min(rows, i0 + kTile);
    for (int64_t j0 = 0; j0 < columns; j0 += 8) {
      if (j0 + 8 <= columns) {
        for (int64_t i = i0; i < i1; ++i) {
          Word line[8];
          for (int64_t j = 0; j < 8; ++j) line[j] = x[i + (j0 + j) * x_stride];
          std::memcpy(y + i * y_stride + j0, line, sizeof line);
        }
      } else {
        for (int64_t i = i0; i < i1; ++i) {
          for (int64_t j = j0; j < columns; ++j) y[i * y_stride + j] = x[i + j * x_stride];
        }
      }
    }
  }
}

template <typename Word>
PreparedKernel transpose(const KernelSpec& spec) {
  const TransposeAxes axes(spec.input_shape(0), spec.attribute<Ints>("permutation"));
  const int64_t elements = spec.output_shape().elements();
  if (elements == 0) return {[](const KernelArgs&) {}};
  // Either the innermost axis stays where it is, and rows are copied; or it is one of the two sides
  // of a plane.
  size_t side = axes.rank;
  for (size_t axis = 0; axis < axes.rank; ++axis) {
    if (axes.in_strides[axis] == 1) side = axis;
  }
  const size_t inner = axes.rank == 0 ? 0 : axes.rank - 1;
  const bool copies_rows = axes.rank == 0 || side == inner;
  const int64_t columns = axes.rank == 0 ? 1 : axes.sizes[inner];
  const int64_t rows = copies_rows ? 1 : axes.sizes[side];
  // Planes may be few: their rows are shared out in stripes as well.
  const int64_t stripe = std::min<int64_t>(rows, 128), stripes = (rows + stripe - 1) / stripe;
  const int64_t planes = elements / (columns * rows);
  return {[=](const KernelArgs& args) {
    const Word* x = args.in<Word>(0);
    Word* y = args.out<Word>();
    const int64_t grain = std::max<int64_t>(1, kGrain / (columns * stripe));
    parallel_for(planes * stripes, grain, [=](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        int64_t rest = task / stripes, read = 0, write = 0;
        for (size_t axis = axes.rank; axis-- > 0;) {
          if (axis == inner || (!copies_rows && axis == side)) continue;
          const int64_t index = rest % axes.sizes[axis];
          rest /= axes.sizes[axis];
          read += index * axes.in_strides[axis];
          write += index * axes.out_strides[axis];
        }
        if (copies_rows) {
          std::memcpy(y + write, x + read, static_cast<size_t>(columns) * sizeof(Word));
          continue;
        }
        const int64_t first = task % stripes * stripe;
        transpose_plane(x + read + first, axes.in_strides[inner], std::min(stripe, rows - first),
                        columns, y + write + first * axes.out_strides[side],
                        axes.out_strides[side]);
      }
    });
  }};
}

Ints origin(const Shape& shape) { return Ints(static_cast<size_t>(shape.rank()), 0); }

PreparedKernel slice(const KernelSpec& spec, const Ints& begin) {
  const Shape& y = spec.output_shape();
  return {
      [copy = BoxCopy(y, spec.input_shape(0), begin, y, origin(y), size_of(spec.outputs[0].dtype))](
          const KernelArgs& args) { copy.run(args.inputs[0], args.outputs[0]); }};
}

PreparedKernel slice_at_begin(const KernelSpec& spec) {
  return slice(spec, spec.attribute<Ints>("begin"));
}

PreparedKernel pad(const KernelSpec& spec) {
  const Shape &x = spec.input_shape(0), &y = spec.output_shape();
  const int64_t bytes = static_cast<int64_t>(spec.outputs[0].bytes());
  return {[bytes, copy = BoxCopy(x, x, origin(x), y, spec.attribute<Ints>("before"),
                                 size_of(spec.outputs[0].dtype))](const KernelArgs& args) {
    char* y = args.out<char>();
    parallel_for(bytes, 128 * 1024, [=](int64_t begin, int64_t end) {
      std::memset(y + begin, 0, static_cast<size_t>(end - begin));
    });
    copy.run(args.inputs[0], args.outputs[0]);
  }};
}

PreparedKernel concat(const KernelSpec& spec) {
  const Shape& y = spec.output_shape();
  const int axis = static_cast<int>(spec.attribute<int64_t>("axis"));
  std::vector<BoxCopy> copies;
  Ints begin = origin(y);
  for (const TensorType& part : spec.inputs) {
    copies.emplace_back(part.shape, part.shape, origin(y), y, begin, size_of(part.dtype));
    begin[static_cast<size_t>(axis)] += part.shape[axis];
  }
  return {[copies](const KernelArgs& args) {
    for (size_t part = 0; part < copies.size(); ++part)
      copies[part].run(args.inputs[part], args.outputs[0]);
  }};
}

PreparedKernel concat_part(const KernelSpec& spec) {
  const int axis = static_cast<int>(spec.attribute<int64_t>("axis"));
  Ints begin = origin(spec.output_shape());
  for (int part = 0; part < static_cast<int>(spec.attribute<int64_t>("part")); ++part) {
    begin[static_cast<size_t>(axis)] += spec.input_shape(part + 1)[axis];
  }
  return slice(spec, begin);
}

}  // namespace
}  // namespace trireme::cpu

namespace trireme {

// None of these looks at what it moves: they serve every dtype.
void register_cpu_shaping(KernelTable& table) {
  using namespace cpu;
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                            DType::kInt32, DType::kInt64, DType::kUInt8, DType::kBool}) {
    add_kernel(table, "Slice", kCpuKind, dtype, slice_at_begin);
    add_kernel(table, "SliceLike", kCpuKind, dtype, slice_at_begin);
    add_kernel(table, "Pad", kCpuKind, dtype, pad);
    add_kernel(table, "PadLike", kCpuKind, dtype, pad);
    add_kernel(table, "Concat", kCpuKind, dtype, concat);
    add_kernel(table, "ConcatPart", kCpuKind, dtype, concat_part);
    const auto make_transpose = [&]() -> KernelFactory {
      switch (size_of(dtype)) {
        case 1:
          return transpose<uint8_t>;
        case 2:
          return transpose<uint16_t>;
        case 4:
          return transpose<uint32_t>;
        default:
          return transpose<uint64_t>;
      }
    };
    add_kernel(table, "Transpose", kCpuKind, dtype, make_transpose());
  }
}

}  // namespace trireme

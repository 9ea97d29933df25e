// Ops that move elements. Types do not matter, sizes do: shapes are first written with as few axes,
// and as large words, as they allow.
#include "core/device/cuda/kernels/shaping.h"

#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "core/device/cuda/cuda_device.h"
#include "core/device/cuda/kernel.h"
#include "core/device/cuda/register.h"

namespace trireme::cuda {
namespace {

constexpr int64_t kMaxWord = 16;
constexpr int64_t kTile = 32;  // as kernels/shaping.cu has it

PreparedKernel nothing() {
  return {[](const KernelArgs&) {}};
}

PreparedKernel copy_all(const KernelSpec& spec) {
  return {[bytes = spec.outputs[0].bytes()](const KernelArgs& args) {
    cuda_stream(args).copy(args.outputs[0], args.inputs[0], bytes, CopyKind::kDeviceToDevice);
  }};
}

int64_t element_bytes(const KernelSpec& spec) {
  return static_cast<int64_t>(size_of(spec.inputs[0].dtype));
}

Kernel word_kernel(std::string_view name, int64_t word_bytes) {
  return Kernel(str_cat(name, "_", word_bytes));
}

// Element c of the output is element c − before of the input, where that exists.
PreparedKernel move_box(const KernelSpec& spec, const Ints& before) {
  const Shape &x = spec.input_shape(0), &y = spec.output_shape();
  if (y.elements() == 0) return nothing();
  if (x == y && std::ranges::all_of(before, [](int64_t b) { return b == 0; }))
    return copy_all(spec);
  BoxMove move{};
  const auto push = [&](int64_t output, int64_t input, int64_t offset) {
    move.output[move.rank] = output;
    move.input[move.rank] = input;
    move.before[move.rank] = offset;
    ++move.rank;
  };
  // An axis that is moved whole is one with the axis before it.
  for (int axis = 0; axis < y.rank(); ++axis) {
    const int64_t offset = before[static_cast<size_t>(axis)];
    if (move.rank > 0 && x[axis] == y[axis] && offset == 0) {
      const int last = move.rank - 1;
      move.output[last] *= y[axis];
      move.input[last] *= y[axis];
      move.before[last] *= y[axis];
    } else {
      push(y[axis], x[axis], offset);
    }
  }
  // The innermost axis in words.
  const int last = move.rank - 1;
  const int64_t bytes = element_bytes(spec);
  const int64_t unit = std::gcd(std::gcd(move.output[last], move.input[last]), move.before[last]);
  int64_t word = bytes;
  while (word * 2 <= kMaxWord && unit * bytes % (word * 2) == 0) word *= 2;
  const int64_t elements_a_word = word / bytes;
  move.output[last] /= elements_a_word;
  move.input[last] /= elements_a_word;
  move.before[last] /= elements_a_word;
  move.count = y.elements() / elements_a_word;
  const Kernel kernel = word_kernel("move_box", word);
  const LaunchShape shape = spread(cuda_device(spec), move.count, 2);
  return {[=](const KernelArgs& args) {
    kernel.launch(cuda_stream(args), shape, args.inputs[0], args.outputs[0], move);
  }};
}

PreparedKernel slice(const KernelSpec& spec) {
  Ints before = spec.attribute<Ints>("begin");
  for (int64_t& offset : before) offset = -offset;
  return move_box(spec, before);
}

PreparedKernel pad(const KernelSpec& spec) {
  return move_box(spec, spec.attribute<Ints>("before"));
}

PreparedKernel concat_part(const KernelSpec& spec) {
  const int axis = static_cast<int>(spec.attribute<int64_t>("axis"));
  Ints before(static_cast<size_t>(spec.output_shape().rank()), 0);
  for (int part = 0; part < spec.attribute<int64_t>("part"); ++part) {
    before[static_cast<size_t>(axis)] -= spec.input_shape(part + 1)[axis];
  }
  return move_box(spec, before);
}

PreparedKernel concat(const KernelSpec& spec) {
  const Shape& y = spec.output_shape();
  if (y.elements() == 0) return nothing();
  if (spec.inputs.size() == 1) return copy_all(spec);
  const int axis = static_cast<int>(spec.attribute<int64_t>("axis"));
  std::vector<int64_t> widths;  // of a row of each part, in bytes
  int64_t word = kMaxWord;
  for (const TensorType& part : spec.inputs) {
    widths.push_back(part.shape.last(part.shape.rank() - axis).elements() * element_bytes(spec));
    while (widths.back() % word != 0) word /= 2;
  }
  const int64_t row_size = std::accumulate(widths.begin(), widths.end(), int64_t{0}) / word;
  // One launch for as many parts as its arguments can hold.
  std::vector<std::pair<int, ConcatMove>> moves;  // the number of the first part
  int64_t begin = 0;
  for (size_t i = 0; i < widths.size(); ++i) {
    if (i % kMaxConcatParts == 0) {
      moves.emplace_back(static_cast<int>(i), ConcatMove{});
      moves.back().second.rows = y.first(axis).elements();
      moves.back().second.row_size = row_size;
      moves.back().second.begin = begin;
    }
    ConcatMove& move = moves.back().second;
    begin += widths[i] / word;
    move.end[move.parts++] = begin - move.begin;
  }
  const Kernel kernel = word_kernel("concat", word);
  const LaunchShape shape = spread(cuda_device(spec), y.first(axis).elements() * row_size, 2);
  return {[=](const KernelArgs& args) {
    for (const auto& [first, move] : moves) {
      ConcatMove now = move;
      for (int i = 0; i < now.parts; ++i) now.from[i] = args.inputs[first + i];
      kernel.launch(cuda_stream(args), shape, args.outputs[0], now);
    }
  }};
}

// An output axis, and how far apart its elements are in the input.
struct Axis {
  int64_t size, from;
};

// The output's axes without those of size 1, and neighbours that stay neighbours as one.
std::vector<Axis> merge_axes(const Shape& x, const Ints& permutation) {
  std::vector<Axis> axes;
  for (int64_t own : permutation) {
    const int axis = static_cast<int>(own);
    if (x[axis] == 1) continue;
    const int64_t stride = x.last(x.rank() - axis - 1).elements();
    if (!axes.empty() && axes.back().from == stride * x[axis]) {
      axes.back() = {axes.back().size * x[axis], stride};
    } else {
      axes.push_back({x[axis], stride});
    }
  }
  return axes;
}

PreparedKernel transpose(const KernelSpec& spec) {
  const Shape& x = spec.input_shape(0);
  if (x.elements() == 0) return nothing();
  std::vector<Axis> axes = merge_axes(x, spec.attribute<Ints>("permutation"));
  if (axes.size() <= 1) return copy_all(spec);
  const int64_t bytes = element_bytes(spec);
  const CudaDevice& device = cuda_device(spec);
  if (axes.back().from == 1) {  // rows stay together
    int64_t word = bytes;
    while (word * 2 <= kMaxWord && axes.back().size * bytes % (word * 2) == 0) word *= 2;
    const int64_t elements_a_word = word / bytes;
    StridedMove move{};
    for (const Axis& axis : axes) {
      const bool is_last = &axis == &axes.back();
      move.sizes[move.rank] = is_last ? axis.size / elements_a_word : axis.size;
      move.from[move.rank++] = is_last ? 1 : axis.from / elements_a_word;
    }
    move.count = x.elements() / elements_a_word;
    const Kernel kernel = word_kernel("move_strided", word);
    const LaunchShape shape = spread(device, move.count, 2);
    return {[=](const KernelArgs& args) {
      kernel.launch(cuda_stream(args), shape, args.inputs[0], args.outputs[0], move);
    }};
  }
  // The output's last axis and the input's make the matrices.
  const size_t columns_at =
      static_cast<size_t>(std::ranges::find(axes, int64_t{1}, &Axis::from) - axes.begin());
  TileMove move{.rank = 0,
                .matrices = 1,
                .rows = axes.back().size,
                .columns = axes[columns_at].size,
                .row_stride = axes.back().from,
                .column_stride = 1,
                .sizes = {},
                .from = {},
                .to = {}};
  int64_t to = 1;
  for (size_t i = axes.size(); i-- > 0;) {
    if (i == columns_at) {
      move.column_stride = to;
    } else if (i + 1 < axes.size()) {
      move.sizes[move.rank] = axes[i].size;
      move.from[move.rank] = axes[i].from;
      move.to[move.rank++] = to;
      move.matrices *= axes[i].size;
    }
    to *= axes[i].size;
  }
  const int64_t tiles =
      move.matrices * ((move.rows + kTile - 1) / kTile) * ((move.columns + kTile - 1) / kTile);
  const LaunchShape shape = {
      .grid_x = static_cast<uint32_t>(std::min<int64_t>(tiles, int64_t{device.processors()} * 32)),
      .block_x = 256};
  const Kernel kernel = word_kernel("move_tiles", bytes);
  return {[=](const KernelArgs& args) {
    kernel.launch(cuda_stream(args), shape, args.inputs[0], args.outputs[0], move);
  }};
}

}  // namespace

void register_shaping(KernelTable& table) {
  for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                      DType::kInt32, DType::kInt64, DType::kUInt8, DType::kBool}) {
    add_kernel(table, "Transpose", kCudaKind, dtype, transpose);
    add_kernel(table, "Concat", kCudaKind, dtype, concat);
    add_kernel(table, "ConcatPart", kCudaKind, dtype, concat_part);
    add_kernel(table, "Slice", kCudaKind, dtype, slice);
    add_kernel(table, "SliceLike", kCudaKind, dtype, slice);
    add_kernel(table, "Pad", kCudaKind, dtype, pad);
    add_kernel(table, "PadLike", kCudaKind, dtype, pad);
  }
}

}  // namespace trireme::cuda

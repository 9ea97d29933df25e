#include "core/ops/images.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/ops/rules.h"

namespace trireme::ops {
namespace {

// [to, from]: what each new pixel of an axis takes of each old one.
Tensor interpolation_matrix(int64_t from, int64_t to, Interpolation interpolation) {
  Tensor matrix = Tensor::zeros(DType::kFloat32, {to, from});
  const std::span<float> weights = matrix.flat<float>();
  for (int64_t i = 0; i < to; ++i) {
    float* const row = weights.data() + i * from;
    if (interpolation == Interpolation::kNearest) {
      // ⌊(i + 1/2)·from/to⌋ in whole numbers, so that no rounding chooses the pixel.
      row[std::min(((2 * i + 1) * from) / (2 * to), from - 1)] = 1;
      continue;
    }
    const double position =
        (static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5;
    const double below = std::floor(position);
    const auto share = static_cast<float>(position - below);
    const auto low = static_cast<int64_t>(below);
    row[std::clamp<int64_t>(low, 0, from - 1)] += 1 - share;
    row[std::clamp<int64_t>(low + 1, 0, from - 1)] += share;
  }
  return matrix;
}

int axis_of(Value x, int64_t axis, std::string_view op) {
  return static_cast<int>(normalize_axes({axis}, x.shape().rank(), op)[0]);
}

}  // namespace

Value resize2d(Value images, int64_t height, int64_t width, Interpolation interpolation) {
  const Shape& shape = images.shape();
  if (shape.rank() != 4 || shape[1] < 1 || shape[2] < 1 || shape[3] < 1) {
    throw invalid_argument("resize2d: expected images [batch, height, width, channels] of known ",
                           "size, found ", images.type());
  }
  if (height < 1 || width < 1) {
    throw invalid_argument("resize2d: expected a size of at least 1×1, found ", height, "×", width);
  }
  const auto matrix = [&](int64_t from, int64_t to) {
    return cast(constant(images.graph(), interpolation_matrix(from, to, interpolation)),
                images.dtype());
  };
  Value y = images;
  const int64_t channels = shape[3];
  if (height != shape[1]) {
    const Value rows = reshape(y, {-1, shape[1], shape[2] * channels});
    y = reshape(matmul(matrix(shape[1], height), rows), {-1, height, shape[2], channels});
  }
  if (width != shape[2]) {
    y = matmul(matrix(shape[2], width), y);
  }
  return y;
}

Value strided_slice(Value x, int64_t axis, int64_t begin, int64_t step, int64_t count) {
  const int at = axis_of(x, axis, "strided_slice");
  const Shape& shape = x.shape();
  const auto rank = static_cast<size_t>(shape.rank());
  std::vector<int64_t> first(rank, 0), size(rank, -1);
  first[static_cast<size_t>(at)] = begin;
  if (step == 1) {
    size[static_cast<size_t>(at)] = count;
    return slice(x, first, size);
  }
  // In groups of `step`, of which the first one counts. The last group may reach over the end.
  const int64_t missing = begin + count * step - shape[at];
  if (missing > 0) {
    std::vector<int64_t> before(rank, 0), after(rank, 0);
    after[static_cast<size_t>(at)] = missing;
    x = pad(x, before, after);
  }
  size[static_cast<size_t>(at)] = count * step;
  x = slice(x, first, size);
  Shape groups;
  for (int i = 0; i < shape.rank(); ++i) {
    groups.push_back(i == at ? count : x.shape()[i]);
    if (i == at) groups.push_back(step);
  }
  x = reshape(x, groups);
  std::vector<int64_t> none(rank + 1, 0), one(rank + 1, -1);
  one[static_cast<size_t>(at) + 1] = 1;
  return squeeze(slice(x, none, one), {at + 1});
}

}  // namespace trireme::ops

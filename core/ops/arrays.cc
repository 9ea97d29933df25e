#include "core/ops/arrays.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/ops/indexing.h"
#include "core/ops/register.h"
#include "core/ops/rules.h"
#include "core/ops/sorting.h"

namespace trireme::ops {
namespace {

// x repeated to `shape`, aligned at the right; -1: as x has it there.
OpDef broadcast_to_op() {
  return {
      .name = "BroadcastTo",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<Ints>("shape").in(at_least(-1))},
      .infer =
          [](const InferenceContext& c) {
            Shape shape{std::span<const int64_t>(c.attribute<Ints>("shape"))};
            const Shape& x = c.shape(0);
            for (int i = 1; i <= shape.rank(); ++i) {
              if (shape.dim(-i) >= 0) continue;
              c.require(i <= x.rank(), "-1 only where the input has an axis");
              shape.set(shape.rank() - i, x.dim(-i));
            }
            require_broadcasts_to(c, x, shape);
            return Types{{c.dtype(0), shape}};
          },
      .gradient =
          [](GradientContext& g) { g.set_grad(0, sum_like(g.grad_of_output(), g.input(0))); },
      .traits = {.in_place_inputs = {0}, .is_elementwise = true},
  };
}

int rank_of(Value x, std::string_view function) {
  if (!x.defined()) throw invalid_argument(function, ": input 0 is not defined");
  return x.shape().rank();
}

int axis_of(Value x, int64_t axis, std::string_view function) {
  return static_cast<int>(normalize_axes({axis}, rank_of(x, function), function)[0]);
}

// The size of an axis, which must be known.
int64_t size_of_axis(Value x, int axis, std::string_view function) {
  const int64_t size = x.shape()[axis];
  if (size < 0) {
    throw invalid_argument(function, ": expected a known size of axis ", axis, "; found ",
                           x.shape());
  }
  return size;
}

Value part(Value x, int axis, int64_t begin, int64_t size) {
  const auto rank = static_cast<size_t>(x.shape().rank());
  std::vector<int64_t> begins(rank, 0), sizes(rank, -1);
  begins[static_cast<size_t>(axis)] = begin;
  sizes[static_cast<size_t>(axis)] = size;
  return slice(x, std::move(begins), std::move(sizes));
}

Value numbers(Graph& graph, DType dtype, const Shape& shape, const std::vector<double>& values) {
  const Value wide = constant(graph, Tensor::from<double>(shape, values));
  return dtype == DType::kFloat64 ? wide : cast(wide, dtype);
}

}  // namespace

std::vector<Value> split(Value x, const std::vector<int64_t>& sizes, int64_t axis) {
  const int at = axis_of(x, axis, "split");
  const int64_t whole = size_of_axis(x, at, "split");
  int64_t sum = 0;
  for (int64_t size : sizes) {
    if (size < 0) throw invalid_argument("split: expected sizes of at least 0; found ", size);
    sum = checked_add(sum, size, "split");
  }
  if (sum != whole) {
    throw invalid_argument("split: expected sizes whose sum is that of axis ", at, ", ", whole,
                           "; found ", to_string(AttributeValue(sizes)), " for ", x.shape());
  }
  std::vector<Value> parts;
  int64_t begin = 0;
  for (int64_t size : sizes) {
    parts.push_back(part(x, at, begin, size));
    begin += size;
  }
  return parts;
}

std::vector<Value> split_evenly(Value x, int64_t count, int64_t axis) {
  const int at = axis_of(x, axis, "split");
  const int64_t whole = size_of_axis(x, at, "split");
  if (count < 1 || whole % count != 0) {
    throw invalid_argument("split: expected a number of parts that divides the size of axis ", at,
                           ", ", whole, "; found ", count, " for ", x.shape());
  }
  return split(x, std::vector<int64_t>(static_cast<size_t>(count), whole / count), at);
}

Value stack(const std::vector<Value>& values, int64_t axis) {
  if (values.empty()) throw invalid_argument("stack: there is nothing to stack");
  const int rank = rank_of(values[0], "stack");
  axis = normalize_axes({axis}, rank + 1, "stack")[0];
  std::vector<Value> expanded;
  for (Value value : values) {
    if (!value.defined() || value.shape().rank() != rank ||
        !compatible(value.shape(), values[0].shape())) {
      throw invalid_argument("stack: expected values of one shape; found ", values[0].shape(),
                             " and ", value.defined() ? value.shape().to_string() : "nothing");
    }
    expanded.push_back(expand_dims(value, {axis}));
  }
  return concat(expanded, axis);
}

std::vector<Value> unstack(Value x, int64_t axis) {
  const int at = axis_of(x, axis, "unstack");
  std::vector<Value> values;
  for (int64_t i = 0; i < size_of_axis(x, at, "unstack"); ++i)
    values.push_back(squeeze(part(x, at, i, 1), {at}));
  return values;
}

Value broadcast_to(Value x, const Shape& shape) {
  return build("BroadcastTo", {x}, {{"shape", Ints(shape.begin(), shape.end())}});
}

Value tile(Value x, const std::vector<int64_t>& multiples) {
  const int rank = rank_of(x, "tile");
  if (static_cast<int>(multiples.size()) != rank) {
    throw invalid_argument("tile: expected a multiple for each axis of ", x.shape(), "; found ",
                           to_string(AttributeValue(multiples)));
  }
  for (int axis = 0; axis < rank; ++axis) {
    const int64_t times = multiples[static_cast<size_t>(axis)];
    if (times < 1) throw invalid_argument("tile: expected multiples of at least 1; found ", times);
    if (times > 1) x = concat(std::vector<Value>(static_cast<size_t>(times), x), axis);
  }
  return x;
}

Value repeat(Value x, int64_t times, int64_t axis) {
  const int at = axis_of(x, axis, "repeat");
  if (times < 1) throw invalid_argument("repeat: expected at least 1 time; found ", times);
  // [..., n, 1, ...] to [..., n, times, ...] to [..., n·times, ...]
  Shape wide, merged;
  for (int i = 0; i < x.shape().rank(); ++i) {
    const int64_t size = x.shape()[i];
    wide.push_back(size);
    if (i == at) wide.push_back(times);
    merged.push_back(i == at && size >= 0 ? checked_multiply(size, times, "repeat") : size);
  }
  if (std::ranges::count(merged, int64_t{-1}) > 1) {
    throw invalid_argument("repeat: expected at most one axis of unknown size; found ", x.shape());
  }
  return reshape(broadcast_to(expand_dims(x, {at + 1}), wide), merged);
}

Value reverse(Value x, Axes axes) {
  for (int64_t axis : normalize_axes(axes, rank_of(x, "reverse"), "reverse")) {
    const int64_t size = x.shape()[static_cast<int>(axis)];
    if (size >= 0) {
      std::vector<int64_t> backwards(static_cast<size_t>(size));
      std::iota(backwards.rbegin(), backwards.rend(), 0);
      x = gather(x, constant(x.graph(), Tensor::from<int64_t>({size}, backwards)), axis);
    } else {
      const Value index = reshape(axis_index(x, axis), {-1});
      x = gather(x, max(index) - index, axis);
    }
  }
  return x;
}

Value roll(Value x, int64_t shift, int64_t axis) {
  const int at = axis_of(x, axis, "roll");
  const int64_t size = size_of_axis(x, at, "roll");
  if (size == 0 || shift % size == 0) return x;
  const int64_t moved = (shift % size + size) % size;
  return concat({part(x, at, size - moved, moved), part(x, at, 0, size - moved)}, at);
}

Value axis_index(Value x, int64_t axis) {
  const int at = axis_of(x, axis, "axis_index"), rank = x.shape().rank();
  const int64_t size = x.shape()[at];
  if (size < 0) {
    // A size that is known at the run only: the number of elements before.
    std::vector<int64_t> sizes(static_cast<size_t>(rank), 1);
    sizes[static_cast<size_t>(at)] = -1;
    const Value line = slice(x, std::vector<int64_t>(static_cast<size_t>(rank), 0), sizes);
    return cumsum(ones_like(cast(line, DType::kInt64)), at, true);
  }
  std::vector<int64_t> indices(static_cast<size_t>(size));
  std::iota(indices.begin(), indices.end(), 0);
  Shape shape{std::span<const int64_t>(std::vector<int64_t>(static_cast<size_t>(rank), 1))};
  shape.set(at, size);
  return constant(x.graph(), Tensor::from<int64_t>(shape, indices));
}

namespace {

// bool: column − row of the last two axes of x is at most k, or at least k.
Value is_beside(Value x, int64_t k, bool below, std::string_view function) {
  if (rank_of(x, function) < 2)
    throw invalid_argument(function, ": expected at least 2 dimensions; found ", x.shape());
  const Value row = axis_index(x, -2), column = axis_index(x, -1);
  const Value diagonal = row + constant_like(row, static_cast<double>(k));
  return below ? less_equal(column, diagonal) : greater_equal(column, diagonal);
}

}  // namespace

Value tril(Value x, int64_t k) {
  return select(is_beside(x, k, true, "tril"), x, constant_like(x, 0));
}

Value triu(Value x, int64_t k) {
  return select(is_beside(x, k, false, "triu"), x, constant_like(x, 0));
}

Value causal_mask(Value scores) {
  if (rank_of(scores, "causal_mask") < 2) {
    throw invalid_argument("causal_mask: expected at least 2 dimensions; found ", scores.shape());
  }
  const int64_t queries = scores.shape().dim(-2), keys = scores.shape().dim(-1);
  if (queries >= 0 && keys >= 0) return is_beside(scores, keys - queries, true, "causal_mask");
  const Value row = axis_index(scores, -2), column = axis_index(scores, -1);
  return less_equal(column - max(column), row - max(row));
}

Value arange(Graph& graph, DType dtype, double start, double stop, double step) {
  if (step == 0 || !std::isfinite((stop - start) / step)) {
    throw invalid_argument("arange: expected numbers and a step other than 0; found ", start, ", ",
                           stop, " and a step of ", step);
  }
  const auto count = static_cast<int64_t>(std::max(0.0, std::ceil((stop - start) / step)));
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(start + static_cast<double>(i) * step);
  return numbers(graph, dtype, {count}, values);
}

Value linspace(Graph& graph, DType dtype, double start, double stop, int64_t count) {
  if (count < 0) throw invalid_argument("linspace: expected a count of at least 0; found ", count);
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(i + 1 == count && i > 0
                         ? stop
                         : start + (stop - start) * static_cast<double>(i) /
                                       static_cast<double>(std::max<int64_t>(1, count - 1)));
  }
  return numbers(graph, dtype, {count}, values);
}

Value eye(Graph& graph, DType dtype, int64_t rows, int64_t columns) {
  if (columns < 0) columns = rows;
  if (rows < 0) throw invalid_argument("eye: expected at least 0 rows; found ", rows);
  std::vector<double> values(static_cast<size_t>(checked_multiply(rows, columns, "eye")));
  for (int64_t i = 0; i < std::min(rows, columns); ++i)
    values[static_cast<size_t>(i * columns + i)] = 1;
  return numbers(graph, dtype, {rows, columns}, values);
}

}  // namespace trireme::ops

namespace trireme {

void register_array_ops(OpTable& table) { table.add(ops::broadcast_to_op()); }

}  // namespace trireme

// Functions that move, repeat or make elements, besides those of ops.h; most are composed of those,
// and so have their gradients and run wherever they do. In trireme::ops.
#pragma once

#include <vector>

#include "core/graph/graph.h"
#include "core/ops/ops.h"

namespace trireme::ops {

// The parts of `sizes` along an axis, whose sum is its size; or `count` parts of equal size.
std::vector<Value> split(Value x, const std::vector<int64_t>& sizes, int64_t axis);
std::vector<Value> split_evenly(Value x, int64_t count, int64_t axis);
// Values of one shape along a new axis, and back: the axis is of known size.
Value stack(const std::vector<Value>& values, int64_t axis = 0);
std::vector<Value> unstack(Value x, int64_t axis = 0);

// x repeated to a shape, as broadcasting does; -1: as x has it there.
Value broadcast_to(Value x, const Shape& shape);
// The whole of x `multiples[axis]` times along each axis.
Value tile(Value x, const std::vector<int64_t>& multiples);
// Each element `times` times along an axis.
Value repeat(Value x, int64_t times, int64_t axis);
Value reverse(Value x, Axes axes);
// Elements move `shift` places on along the axis (negative: back), the last ones to the front. The
// axis is of known size.
Value roll(Value x, int64_t shift, int64_t axis);

// The index along `axis` of each element of x, i64, with a size of 1 along the other axes: it
// broadcasts to x's shape.
Value axis_index(Value x, int64_t axis);
// x with 0 above (below) diagonal k of its last two axes; diagonal 1 is next to the main one, above
// it.
Value tril(Value x, int64_t k = 0);
Value triu(Value x, int64_t k = 0);
// bool [..1, queries, keys] for scores [..., queries, keys]: whether the key is not after the
// query, where the last query meets the last key.
Value causal_mask(Value scores);

// Constants. `arange`: start, start + step, … before `stop`.
Value arange(Graph& graph, DType dtype, double start, double stop, double step = 1);
Value linspace(Graph& graph, DType dtype, double start, double stop, int64_t count);
Value eye(Graph& graph, DType dtype, int64_t rows, int64_t columns = -1);  // -1: as rows

// The sum of products that an equation names, as NumPy's einsum: "bij,bjk->bik". Each operand has a
// letter an axis; letters that the result lacks are summed over; one that an operand has twice
// takes its diagonal; "..." stands for the axes that have no letter. Without "->" the result has
// the letters that appear once, in the order of the alphabet. Operands are multiplied from left to
// right, by matrix products where letters are summed over.
Value einsum(std::string_view equation, const std::vector<Value>& operands);

}  // namespace trireme::ops

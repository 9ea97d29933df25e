// Functions of values that compute at once. They are built by the functions of core/ops/ops.h,
// where it is said what each computes, and so have the same broadcasting, types and errors.
//
// The first call with inputs of some types prepares it; later ones run it. What is not here is
// called by apply().
#pragma once

#include <span>
#include <vector>

#include "core/eager/context.h"
#include "core/eager/value.h"
#include "core/ops/ops.h"

namespace trireme::eager {

// Elementwise, with NumPy broadcasting: one function for each row of that file, such as
// `Value exp(const Value& x)` and `Value add(const Value& a, const Value& b)`.
#define TRIREME_UNARY(op, function, ...) Value function(const Value& x);
#define TRIREME_BINARY(op, function, ...) Value function(const Value& a, const Value& b);
#include "core/ops/elementwise_rows.h"
Value select(const Value& condition, const Value& when_true, const Value& when_false);
Value cast(const Value& x, DType dtype);

Value matmul(const Value& a, const Value& b, bool transpose_a = false, bool transpose_b = false);

// Empty axes: all of them.
Value sum(const Value& x, const ops::Axes& axes = {}, bool keep_dims = false);
Value mean(const Value& x, const ops::Axes& axes = {}, bool keep_dims = false);
Value max(const Value& x, const ops::Axes& axes = {}, bool keep_dims = false);
Value argmax(const Value& x, int64_t axis = -1);

Value reshape(const Value& x, const Shape& shape);
Value expand_dims(const Value& x, const ops::Axes& axes);
Value squeeze(const Value& x, const ops::Axes& axes);
Value transpose(const Value& x, const ops::Axes& permutation = {});
Value concat(std::span<const Value> parts, int64_t axis);
Value gather(const Value& params, const Value& indices);
Value one_hot(const Value& indices, int64_t depth);
Value zeros_like(const Value& x);
Value ones_like(const Value& x);
Value stop_gradient(const Value& x);

Value softmax(const Value& logits);
Value log_softmax(const Value& logits);
Value sparse_softmax_cross_entropy(const Value& logits, const Value& labels);

// Any function that builds nodes. `builder` is a function without captures, which must build the
// same for the same `words`:
//
//   apply(
//       [](std::span<const trireme::Value> x, const Words& w) {
//         return std::vector{ops::pad(x[0], {w[0]}, {w[1]})};
//       },
//       {&x}, {1, 2})[0]
std::vector<Value> apply(Builder builder, std::initializer_list<const Value*> inputs,
                         const Words& words = {}, size_t outputs = 1);

// Numbers have the type of the value beside them.
Value operator+(const Value& a, const Value& b);
Value operator-(const Value& a, const Value& b);
Value operator*(const Value& a, const Value& b);
Value operator/(const Value& a, const Value& b);
Value operator-(const Value& x);
Value operator+(const Value& a, double b);
Value operator-(const Value& a, double b);
Value operator*(const Value& a, double b);
Value operator/(const Value& a, double b);
Value operator+(double a, const Value& b);
Value operator-(double a, const Value& b);
Value operator*(double a, const Value& b);
Value operator/(double a, const Value& b);

}  // namespace trireme::eager

// Functions that build nodes: one for each op, all in trireme::ops. `Value y =
// ops::relu(ops::matmul(x, w) + b);`
//
// Every function adds to the graph of its first argument and throws invalid_argument, naming the op
// and the shapes, when they do not fit. What an op computes is said at its definition, in the file
// of its family.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/graph/graph.h"

namespace trireme {

// Adds every op of core/ops. An explicit list: no static initialisers.
void register_core_ops(OpTable& table);
// A table with exactly those.
std::shared_ptr<const OpTable> core_op_table();

namespace ops {

using Axes = std::vector<int64_t>;  // negative: from the end

// --- sources (source.cc)
Value placeholder(Graph& graph, const std::string& name, DType dtype, const Shape& shape);
Value variable(Graph& graph, const std::string& name, DType dtype, const Shape& shape);
Value constant(Graph& graph, const Tensor& value, const std::string& name = "");
Value scalar(Graph& graph, DType dtype, double value);
Tensor scalar_tensor(DType dtype, double value);
Value zeros_like(Value x);
Value ones_like(Value x);
Value fill_like(Value x, double value);
Value identity(Value x);
Value stop_gradient(Value x);

// --- elementwise, with NumPy broadcasting: one function for each row, such as
// `Value exp(Value x)` and `Value add(Value a, Value b)`
#define TRIREME_UNARY(op, function, ...) Value function(Value x);
#define TRIREME_BINARY(op, function, ...) Value function(Value a, Value b);
#include "core/ops/elementwise_rows.h"
// Of several dtypes or with attributes (elementwise.cc).
Value select(Value condition, Value when_true, Value when_false);
Value cast(Value x, DType dtype);

// --- linear algebra (linear.cc)
Value matmul(Value a, Value b, bool transpose_a = false, bool transpose_b = false);
Value bias_add(Value x, Value bias);  // bias along the last axis

// --- reductions (reduction.cc). Empty axes: all of them.
Value sum(Value x, Axes axes = {}, bool keep_dims = false);
Value mean(Value x, Axes axes = {}, bool keep_dims = false);
Value max(Value x, Axes axes = {}, bool keep_dims = false);
Value min(Value x, Axes axes = {}, bool keep_dims = false);
Value prod(Value x, Axes axes = {}, bool keep_dims = false);
Value argmax(Value x, int64_t axis = -1);  // i64
Value argmin(Value x, int64_t axis = -1);  // i64
// `x` summed (or averaged) over the axes along which `like`'s shape was broadcast to x's.
Value sum_like(Value x, Value like, bool average = false);
// `x` repeated to the shape of `like`; with `average` divided by how often each element is
// repeated.
Value broadcast_like(Value x, Value like, bool average = false);

// --- shape and indexing (shaping.cc, indexing.cc)
Value reshape(Value x, const Shape& shape);  // one -1 is worked out
Value reshape_like(Value x, Value like);
Value flatten(Value x);  // [batch, everything else]
Value expand_dims(Value x, Axes axes);
Value squeeze(Value x, Axes axes);
Value transpose(Value x, Axes permutation = {});  // empty: reversed
Value concat(const std::vector<Value>& parts, int64_t axis);
Value slice(Value x, std::vector<int64_t> begin, std::vector<int64_t> size);  // size -1: to the end
Value batch_part(Value x, int64_t index, int64_t count);                      // rows, along axis 0
Value pad(Value x, std::vector<int64_t> before, std::vector<int64_t> after);  // with zeros
Value gather(Value params, Value indices);                                    // along axis 0
// `like`'s shape of zeros, with row indices[i] increased by updates[i].
Value scatter_add(Value indices, Value updates, Value like);
Value one_hot(Value indices, int64_t depth, DType dtype = DType::kFloat32);
Value embedding_lookup(Value table, Value indices);  // as gather, but its gradient stays sparse

// --- convolution and pooling, NHWC, filters HWIO (convolution.cc, pooling.cc)
enum class Padding { kValid, kSame };
struct Conv2dOptions {
  int64_t stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1, groups = 1;
  Padding padding = Padding::kValid;
};
Value conv2d(Value input, Value filter, const Conv2dOptions& options = {});
struct Pool2dOptions {
  int64_t window_h = 2, window_w = 2, stride_h = 2, stride_w = 2;
  Padding padding = Padding::kValid;
};
Value max_pool2d(Value input, const Pool2dOptions& options = {});
Value avg_pool2d(Value input, const Pool2dOptions& options = {});

// --- normalisation and losses (normalization.cc, loss.cc)
struct BatchNormOutputs {
  Value y, mean, variance;  // mean and variance (biased) of this batch, over all axes but the last
};
BatchNormOutputs batch_norm(Value x, Value scale, Value offset, double epsilon);
Value softmax(Value logits);      // over the last axis
Value log_softmax(Value logits);  // over the last axis
Value sparse_softmax_cross_entropy(Value logits,
                                   Value labels);         // [batch, classes], [batch] → [batch]
Value sigmoid_cross_entropy(Value logits, Value labels);  // elementwise

// --- random numbers (random.cc). `key`: i64[2] {step, global index of the first example}; row r of
// the output (axis 0) belongs to example key[1] + r, so that a mask does not depend on how the
// batch was split.
Value random_uniform(Value key, Value like, int64_t seed);  // in [0, 1)
Value random_normal(Value key, Value like, int64_t seed);
Value random_truncated_normal(Value key, Value like, int64_t seed);  // standard, within ±2
// i64 of like's shape, even over [low, high), at most 2^24 numbers.
Value random_integers(Value key, Value like, int64_t seed, int64_t low, int64_t high);
// logits: [batch…, classes] → i64 [batch…], a class drawn with the probability softmax(logits).
Value categorical(Value logits, Value key, int64_t seed);
Value dropout(Value x, Value key, double rate, int64_t seed);

// --- assignments (update.cc); for optimizers see update.h. `variable` is changed in place; each
// returns the node, whose one output is the variable's new value. `only_if`: bool[], false where
// nothing is to change; may be undefined.
Node& assign(Value variable, Value value);
Node& assign_add(Value variable, Value value);
Node& assign_moving_average(Value variable, Value value,
                            double momentum,  // v = momentum·v + (1−momentum)·value
                            Value only_if = {});

}  // namespace ops

inline Value operator+(Value a, Value b) { return ops::add(a, b); }
inline Value operator-(Value a, Value b) { return ops::subtract(a, b); }
inline Value operator*(Value a, Value b) { return ops::multiply(a, b); }
inline Value operator/(Value a, Value b) { return ops::divide(a, b); }
inline Value operator-(Value x) { return ops::negate(x); }

}  // namespace trireme

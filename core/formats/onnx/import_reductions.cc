// ONNX's sums, orders and the like along axes as ours.
#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/formats/onnx/onnx_call.h"
#include "core/ops/arrays.h"
#include "core/ops/ops.h"
#include "core/ops/sorting.h"
#include "core/ops/statistics.h"
#include "proto/onnx/onnx.pb.h"

namespace trireme::formats {
namespace {

using Kind = OnnxValue::Kind;

template <Value (*function)(Value, ops::Axes, bool)>
OnnxResults reduce(OnnxCall& call) {
  const auto given = call.integers_or_input("axes", 1);
  const bool keep = call.integer("keepdims", 1) != 0;
  const int rank = call.rank(0);
  if ((!given || given->empty()) && call.integer("noop_with_empty_axes", 0) != 0) {
    return {call.input(0)};
  }
  std::vector<int64_t> axes = call.axes(given.value_or(std::vector<int64_t>{}), rank);
  if (axes.empty()) {
    for (int i = 0; i < rank; ++i) axes.push_back(i);
  }
  // The mean of pixels needs no order of the channels.
  if (call.is_channels_last(0) && axes == std::vector<int64_t>{2, 3}) {
    const Value y = function(call.channels_last(0), {1, 2}, keep);
    return {keep ? call.result_channels_last(y) : call.result(y)};
  }
  if (axes.empty()) return {call.input(0)};
  return {call.result(function(call.value(0), axes, keep))};
}

Value l1(Value x, ops::Axes axes, bool keep) {
  return ops::sum(ops::abs(x), std::move(axes), keep);
}
Value sum_square(Value x, ops::Axes axes, bool keep) {
  return ops::sum(ops::square(x), std::move(axes), keep);
}
Value l2(Value x, ops::Axes axes, bool keep) {
  return ops::sqrt(sum_square(x, std::move(axes), keep));
}
Value log_sum(Value x, ops::Axes axes, bool keep) {
  return ops::log(ops::sum(x, std::move(axes), keep));
}

template <Value (*function)(Value, int64_t)>
OnnxResults arg(OnnxCall& call) {
  call.require(call.integer("select_last_index", 0) == 0, "the first of equal elements");
  const int64_t axis = call.axis(call.integer("axis", 0), call.rank(0));
  const Value y = function(call.value(0), axis);
  return {call.result(call.integer("keepdims", 1) != 0 ? ops::expand_dims(y, {axis}) : y)};
}

OnnxResults cumsum(OnnxCall& call) {
  const int64_t axis = call.axis(call.ints(1).at(0), call.rank(0));
  return {call.result(ops::cumsum(call.value(0), axis, call.integer("exclusive", 0) != 0,
                                  call.integer("reverse", 0) != 0))};
}

OnnxResults top_k(OnnxCall& call) {
  const int64_t k = call.opset() < 10 ? call.integer("k", 0) : call.ints(1).at(0);
  const int rank = call.rank(0);
  const int64_t axis = call.axis(call.integer("axis", -1), rank);
  call.require(axis == rank - 1, "the last axis");
  call.require(call.integer("largest", 1) != 0, "the largest elements");
  const ops::TopK top = ops::top_k(call.value(0), k);
  return {call.result(top.values), call.result(top.indices)};
}

constexpr OnnxImportRow kRows[] = {
    {"ReduceSum", reduce<ops::sum>},
    {"ReduceMean", reduce<ops::mean>},
    {"ReduceMax", reduce<ops::max>},
    {"ReduceMin", reduce<ops::min>},
    {"ReduceProd", reduce<ops::prod>},
    {"ReduceL1", reduce<l1>},
    {"ReduceL2", reduce<l2>},
    {"ReduceSumSquare", reduce<sum_square>},
    {"ReduceLogSum", reduce<log_sum>},
    {"ReduceLogSumExp", reduce<ops::logsumexp>},
    {"ArgMax", arg<ops::argmax>},
    {"ArgMin", arg<ops::argmin>},
    {"CumSum", cumsum},
    {"TopK", top_k},
};

}  // namespace

std::span<const OnnxImportRow> onnx_reduction_imports() { return kRows; }

}  // namespace trireme::formats

#include "core/ops/sorting.h"

#include "core/base/error.h"
#include "core/ops/indexing.h"
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme::ops {
namespace {

// Running sums along `axis` of numbers; the sums of 16-bit floats are f32.
OpDef cumsum_op() {
  return {
      .name = "CumSum",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<int64_t>("axis").in(at_least(0)), attribute<bool>("exclusive"),
                     attribute<bool>("reverse")},
      .infer =
          [](const InferenceContext& c) {
            c.require(is_floating(c.dtype(0)) || is_integer(c.dtype(0)), "numbers");
            c.require(c.attribute<int64_t>("axis") < c.shape(0).rank(),
                      "an axis within the input's rank");
            return Types{c.input(0)};
          },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, cumsum(g.grad_of_output(), g.attribute<int64_t>("axis"),
                                 g.attribute<bool>("exclusive"), !g.attribute<bool>("reverse")));
          },
  };
}

// x: [..., n] numbers. Outputs: the first `count` elements of each row in ascending or `descending`
// order, and where they were, i64, both [..., count]; a count of -1: all. Equal elements stay in
// their order; a NaN counts as larger than every number.
OpDef sort_op() {
  return {
      .name = "Sort",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<bool>("descending"), attribute<int64_t>("count").in(at_least(-1))},
      .infer =
          [](const InferenceContext& c) {
            c.require(is_floating(c.dtype(0)) || is_integer(c.dtype(0)), "numbers");
            c.require(c.shape(0).rank() >= 1, "at least one dimension");
            const int64_t count = c.attribute<int64_t>("count"), n = c.shape(0).dim(-1);
            c.require(count < 0 || n < 0 || count <= n,
                      str_cat("at least ", count, " elements along the last axis, not ", n));
            Shape shape = c.shape(0);
            if (count >= 0) shape.set(shape.rank() - 1, count);
            return Types{{c.dtype(0), shape}, {DType::kInt64, shape}};
          },
      .gradient =
          [](GradientContext& g) {
            if (!is_floating(g.input(0).dtype()) || !g.has_grad_of_output(0)) return;
            g.set_grad(0, put_along_axis(g.output(1), g.grad_of_output(0), g.input(0)));
          },
  };
}

int rank_of(Value x, std::string_view op) {
  if (!x.defined()) throw invalid_argument(op, ": input 0 is not defined");
  return x.shape().rank();
}

// Output `output` of a Sort along `axis`.
Value sorted(Value x, int64_t axis, bool descending, int output) {
  const int rank = rank_of(x, "Sort");
  axis = normalize_axes({axis}, rank, "Sort")[0];
  Axes swapped(static_cast<size_t>(rank));
  for (int i = 0; i < rank; ++i) swapped[static_cast<size_t>(i)] = i;
  std::swap(swapped[static_cast<size_t>(axis)], swapped.back());
  const bool is_last = axis == rank - 1;
  if (!is_last) x = transpose(x, swapped);
  const Value y = x.graph()
                      .add("Sort", {x}, {{"descending", descending}, {"count", int64_t{-1}}})
                      .output(output);
  return is_last ? y : transpose(y, swapped);
}

}  // namespace

Value cumsum(Value x, int64_t axis, bool exclusive, bool reverse) {
  axis = normalize_axes({axis}, rank_of(x, "CumSum"), "CumSum")[0];
  return build("CumSum", {x}, {{"axis", axis}, {"exclusive", exclusive}, {"reverse", reverse}});
}

Value sort(Value x, int64_t axis, bool descending) { return sorted(x, axis, descending, 0); }
Value argsort(Value x, int64_t axis, bool descending) { return sorted(x, axis, descending, 1); }

TopK top_k(Value x, int64_t k) {
  if (k < 0) throw invalid_argument("top_k: expected a k of at least 0; found ", k);
  rank_of(x, "Sort");
  Node& node = x.graph().add("Sort", {x}, {{"descending", true}, {"count", k}});
  return {node.output(0), node.output(1)};
}

}  // namespace trireme::ops

namespace trireme {

void register_sorting_ops(OpTable& table) {
  table.add(ops::cumsum_op());
  table.add(ops::sort_op());
}

}  // namespace trireme

// Ops that pick elements by number along any axis, or by coordinates. What they make of indices is
// said in indexing.h.
#include "core/base/error.h"
#include "core/ops/arrays.h"
#include "core/ops/indexing.h"
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme::ops {
namespace {

Shape concatenated(const Shape& a, const Shape& b) {
  Shape shape = a;
  for (int64_t size : b) shape.push_back(size);
  return shape;
}

std::vector<AttributeDef> axis_attributes() {
  return {attribute<int64_t>("axis").in(at_least(0)),
          attribute<int64_t>("batch_dims").in(at_least(0))};
}

// [batch…, outer…, rows, inner…] and [batch…, picked…] → [batch…, outer…, picked…, inner…].
Shape picked_shape(const InferenceContext& c, const Shape& whole, const Shape& indices) {
  const int64_t axis = c.attribute<int64_t>("axis"), batch = c.attribute<int64_t>("batch_dims");
  const int rank = whole.rank();
  c.require(axis < rank, str_cat("an axis within the ", rank, " dimensions of ", whole));
  c.require(batch <= axis && batch <= indices.rank(),
            "batch_dims that come before the axis and that the indices have, too");
  const int first = static_cast<int>(batch), at = static_cast<int>(axis);
  c.require(compatible(whole.first(first), indices.first(first)),
            str_cat("indices that begin with ", whole.first(first)));
  Shape batch_shape = whole.first(first);
  for (int i = 0; i < first; ++i) {
    if (batch_shape[i] < 0) batch_shape.set(i, indices[i]);
  }
  const Shape head = concatenated(batch_shape, whole.first(at).last(at - first));
  return concatenated(concatenated(head, indices.last(indices.rank() - first)),
                      whole.last(rank - at - 1));
}

// params: [batch…, outer…, rows, inner…], indices: [batch…, picked…], where `axis` is that of the
// rows and batch_dims the number of batch axes → [batch…, outer…, picked…, inner…].
OpDef gather_axis_op() {
  return {
      .name = "GatherAxis",
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = axis_attributes(),
      .infer =
          [](const InferenceContext& c) {
            return Types{{c.dtype(0), picked_shape(c, c.shape(0), c.shape(1))}};
          },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, build("ScatterAxis", {g.input(1), g.grad_of_output(), g.input(0)},
                                g.node().attributes()));
          },
      .traits = {.index_inputs = {1}},
  };
}

// indices, updates of the shape that GatherAxis gives, like → `like`'s shape of zeros, with the
// updates added where GatherAxis takes them from. `like` lends its shape only.
OpDef scatter_axis_op() {
  return {
      .name = "ScatterAxis",
      .min_inputs = 3,
      .max_inputs = 3,
      .attributes = axis_attributes(),
      .infer =
          [](const InferenceContext& c) {
            c.require(c.dtype(1) == c.dtype(2), "updates of the dtype of `like`");
            const Shape picked = picked_shape(c, c.shape(2), c.shape(0));
            c.require(compatible(c.shape(1), picked), str_cat("updates of ", picked));
            return Types{c.input(2)};
          },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(
                1, build("GatherAxis", {g.grad_of_output(), g.input(0)}, g.node().attributes()));
          },
      .traits = {.kernel_dtype_input = 1, .index_inputs = {0}, .shape_inputs = {2}},
  };
}

// indices: [i…, k] of coordinates in the first k axes of `like` → i64 [i…]: the number that the
// slice there has among all of them. `like` lends its shape only.
OpDef flat_index_op() {
  return {
      .name = "FlatIndex",
      .min_inputs = 2,
      .max_inputs = 2,
      .infer =
          [](const InferenceContext& c) {
            const Shape& indices = c.shape(0);
            c.require(indices.rank() >= 1, "indices of at least one dimension");
            c.require(
                indices.dim(-1) <= c.shape(1).rank(),
                str_cat("at most ", c.shape(1).rank(), " coordinates, the rank of ", c.shape(1)));
            return Types{{DType::kInt64, indices.first(indices.rank() - 1)}};
          },
      .traits = {.kernel_dtype_input = -1, .index_inputs = {0}, .shape_inputs = {1}},
  };
}

// data: [n, rest…], ids: [n], like: [segments, rest…] → `like`'s type: the largest elements of the
// rows of each segment; of a segment without rows the lowest number there is. `like` lends its
// type.
OpDef segment_max_op() {
  return {
      .name = "SegmentMax",
      .min_inputs = 3,
      .max_inputs = 3,
      .infer =
          [](const InferenceContext& c) {
            const Shape &data = c.shape(0), &like = c.shape(2);
            c.require(c.dtype(0) == c.dtype(2), "data of the dtype of `like`");
            c.require(data.rank() >= 1 && data.rank() == like.rank() &&
                          compatible(data.last(data.rank() - 1), like.last(like.rank() - 1)),
                      "data and `like` that differ along the first axis only");
            c.require(compatible(c.shape(1), data.first(1)), "one id a row");
            return Types{c.input(2)};
          },
      .gradient =
          [](GradientContext& g) {
            // Equal largest elements share it, as those of Max do.
            const Value data = g.input(0), ids = g.input(1);
            const Value is_max = cast(equal(data, gather(g.output(0), ids)), data.dtype());
            const Value count = scatter_add(ids, is_max, g.input(2));
            const Value share = g.grad_of_output() / maximum(count, ones_like(count));
            g.set_grad(0, is_max * gather(share, ids));
          },
      .traits = {.index_inputs = {1}, .shape_inputs = {2}},
  };
}

void require_defined(Value x, std::string_view op, int input) {
  if (!x.defined()) throw invalid_argument(op, ": input ", input, " is not defined");
}

// Zeros of [segments, rest…] to add rows of `data` to.
Value segments_like(Value data, int64_t segments, std::string_view function) {
  require_defined(data, function, 0);
  if (segments < 0)
    throw invalid_argument(function, ": expected at least 0 segments; found ", segments);
  if (data.shape().rank() < 1)
    throw invalid_argument(function, ": expected data of at least one dimension; found a scalar");
  Shape shape = data.shape();
  shape.set(0, segments);
  if (!shape.is_known()) {
    throw invalid_argument(function,
                           ": expected known sizes of all axes of the data but the first; found ",
                           data.shape());
  }
  return broadcast_to(constant_like(data, 0), shape);
}

}  // namespace

Value gather(Value params, Value indices, int64_t axis, int batch_dims) {
  require_defined(params, "GatherAxis", 0);
  axis = normalize_axes({axis}, params.shape().rank(), "GatherAxis")[0];
  if (axis == 0 && batch_dims == 0) return gather(params, indices);
  return build("GatherAxis", {params, indices},
               {{"axis", axis}, {"batch_dims", int64_t{batch_dims}}});
}

Value take_along_axis(Value x, Value indices, int64_t axis) {
  require_defined(x, "take_along_axis", 0);
  require_defined(indices, "take_along_axis", 1);
  const int rank = x.shape().rank();
  if (indices.shape().rank() != rank) {
    throw invalid_argument("take_along_axis: expected indices of ", rank,
                           " dimensions, as the input has; found ", indices.shape());
  }
  axis = normalize_axes({axis}, rank, "take_along_axis")[0];
  const auto along_last = [&](Value a, Value b) {
    return build("GatherAxis", {a, b},
                 {{"axis", int64_t{rank - 1}}, {"batch_dims", int64_t{rank - 1}}});
  };
  if (axis == rank - 1) return along_last(x, indices);
  Axes swapped(static_cast<size_t>(rank));
  for (int i = 0; i < rank; ++i) swapped[static_cast<size_t>(i)] = i;
  std::swap(swapped[static_cast<size_t>(axis)], swapped.back());
  return transpose(along_last(transpose(x, swapped), transpose(indices, swapped)), swapped);
}

Value put_along_axis(Value indices, Value updates, Value like) {
  require_defined(like, "put_along_axis", 2);
  const int64_t last = like.shape().rank() - 1;
  return build("ScatterAxis", {indices, updates, like}, {{"axis", last}, {"batch_dims", last}});
}

namespace {

// The slices of `x` along its first `axes` axes as rows.
Value as_rows(Value x, int axes, std::string_view function) {
  const Shape rest = x.shape().last(x.shape().rank() - axes);
  if (!rest.is_known()) {
    throw invalid_argument(
        function, ": expected known sizes of all axes that no index names; found ", x.shape());
  }
  // An empty slice would leave the -1 open.
  const Shape named = x.shape().first(axes);
  return reshape(x, concatenated({named.is_known() ? named.elements() : -1}, rest));
}

int coordinates_of(Value indices, Value x, std::string_view function) {
  require_defined(indices, function, 0);
  require_defined(x, function, 1);
  const Shape& shape = indices.shape();
  const int64_t axes = shape.rank() == 0 ? -1 : shape.dim(-1);
  if (axes < 0 || axes > x.shape().rank()) {
    throw invalid_argument(function, ": expected indices whose last axis holds at most ",
                           x.shape().rank(), " coordinates of ", x.shape(), "; found ", shape);
  }
  return static_cast<int>(axes);
}

}  // namespace

Value gather_nd(Value params, Value indices) {
  const int axes = coordinates_of(indices, params, "gather_nd");
  return gather(as_rows(params, axes, "gather_nd"), build("FlatIndex", {indices, params}));
}

Value scatter_nd(Value indices, Value updates, Value like) {
  const int axes = coordinates_of(indices, like, "scatter_nd");
  const Value rows = as_rows(like, axes, "scatter_nd");
  return reshape_like(scatter_add(build("FlatIndex", {indices, like}), updates, rows), like);
}

Value segment_sum(Value data, Value ids, int64_t segments) {
  return scatter_add(ids, data, segments_like(data, segments, "segment_sum"));
}

Value segment_mean(Value data, Value ids, int64_t segments) {
  const Value sums = segment_sum(data, ids, segments);
  // One for each row, with the rows' rank, so that the counts broadcast to the sums.
  Axes rest;
  for (int i = 1; i < data.shape().rank(); ++i) rest.push_back(i);
  Value ones = ones_like(cast(ids, data.dtype()));
  if (!rest.empty()) ones = expand_dims(ones, rest);
  const Value counts = segment_sum(ones, ids, segments);
  return sums / maximum(counts, ones_like(counts));
}

Value segment_max(Value data, Value ids, int64_t segments) {
  return build("SegmentMax", {data, ids, segments_like(data, segments, "segment_max")});
}

}  // namespace trireme::ops

namespace trireme {

void register_axis_indexing_ops(OpTable& table) {
  using namespace ops;
  for (auto make : {gather_axis_op, scatter_axis_op, flat_index_op, segment_max_op})
    table.add(make());
}

}  // namespace trireme

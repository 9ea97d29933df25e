// Ops that pick rows by number. Indices are i32 or i64; one that is out of range is an error when
// the kernel runs.
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme::ops {
namespace {

Shape concatenated(const Shape& a, const Shape& b) {
  Shape shape = a;
  for (int64_t size : b) shape.push_back(size);
  return shape;
}

// params: [rows, …], indices: [i…] → [i…, …]: row indices[i] of params at i.
Types infer_gather(const InferenceContext& c) {
  c.require(c.shape(0).rank() >= 1, "params of at least one dimension");
  return {{c.dtype(0), concatenated(c.shape(1), c.shape(0).last(c.shape(0).rank() - 1))}};
}

OpDef gather_op() {
  return {
      .name = "Gather",
      .min_inputs = 2,
      .max_inputs = 2,
      .infer = infer_gather,
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, scatter_add(g.input(1), g.grad_of_output(), g.input(0)));
          },
      .traits = {.index_inputs = {1}},
  };
}

// Computes what Gather does. Its gradient stays a list of rows, so that an update costs what the
// batch holds and not what the table holds, and so that the table can live on parameter servers.
OpDef embedding_lookup_op() {
  return {
      .name = "EmbeddingLookup",
      .min_inputs = 2,
      .max_inputs = 2,
      .infer = infer_gather,
      .gradient =
          [](GradientContext& g) {
            Value indices = g.input(1), rows = g.grad_of_output();
            const Shape& table = g.input(0).shape();
            if (indices.shape().rank() != 1) {
              indices = reshape(indices, {-1});
              rows = reshape(rows, concatenated({-1}, table.last(table.rank() - 1)));
            }
            g.set_sparse_grad(0, indices, rows, table);
          },
      .traits = {.index_inputs = {1}},
  };
}

// indices: [i…], updates: [i…, …], like: [rows, …] → `like`'s shape of zeros, where row indices[i]
// is increased by updates[i]. `like` lends its shape only.
OpDef scatter_add_op() {
  return {
      .name = "ScatterAdd",
      .min_inputs = 3,
      .max_inputs = 3,
      .infer =
          [](const InferenceContext& c) {
            c.require(c.dtype(1) == c.dtype(2), "updates of the dtype of `like`");
            c.require(c.shape(2).rank() >= 1, "a `like` of at least one dimension");
            c.require(compatible(c.shape(1),
                                 concatenated(c.shape(0), c.shape(2).last(c.shape(2).rank() - 1))),
                      "updates of the indices' shape followed by that of a row");
            return Types{c.input(2)};
          },
      .gradient = [](GradientContext& g) { g.set_grad(1, gather(g.grad_of_output(), g.input(0))); },
      .traits = {.kernel_dtype_input = 1, .index_inputs = {0}, .shape_inputs = {2}},
  };
}

// indices: [i…] → [i…, depth] with 1 at the index; an index outside [0, depth) gives zeros.
OpDef one_hot_op() {
  return {
      .name = "OneHot",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<int64_t>("depth").in(at_least(0)), attribute<DType>("dtype")},
      .infer =
          [](const InferenceContext& c) {
            const DType dtype = c.attribute<DType>("dtype");
            c.require(dtype != DType::kString, "a numeric dtype");
            return Types{{dtype, concatenated(c.shape(0), {c.attribute<int64_t>("depth")})}};
          },
      .traits = {.kernel_dtype_input = -1, .index_inputs = {0}},
  };
}

}  // namespace

Value gather(Value params, Value indices) { return build("Gather", {params, indices}); }

Value embedding_lookup(Value table, Value indices) {
  return build("EmbeddingLookup", {table, indices});
}

Value scatter_add(Value indices, Value updates, Value like) {
  return build("ScatterAdd", {indices, updates, like});
}

Value one_hot(Value indices, int64_t depth, DType dtype) {
  return build("OneHot", {indices}, {{"depth", depth}, {"dtype", dtype}});
}

}  // namespace trireme::ops

namespace trireme {

void register_indexing_ops(OpTable& table) {
  using namespace ops;
  for (auto make : {gather_op, embedding_lookup_op, scatter_add_op, one_hot_op}) table.add(make());
}

}  // namespace trireme

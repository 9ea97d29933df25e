// The dot products of all pairs of an example's vectors (Naumov et al. 2019), and their gradient.
#include "core/ops/pairwise_dots.h"

#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme::ops {
namespace {

// Of n vectors.
int64_t pairs_of(int64_t n) { return n < 0 ? -1 : n * (n - 1) / 2; }

// x: [batch, n, dim], floating → [batch, n·(n − 1)/2]: x[i]·x[j] for each j < i, by i and then j.
OpDef pairwise_dots_op() {
  return {
      .name = "PairwiseDots",
      .min_inputs = 1,
      .max_inputs = 1,
      .infer =
          [](const InferenceContext& c) {
            c.require_floating();
            c.require(c.shape(0).rank() == 3, "vectors [batch, n, dim]");
            return Types{{c.dtype(0), {c.shape(0)[0], pairs_of(c.shape(0)[1])}}};
          },
      .gradient =
          [](GradientContext& g) {
            g.set_grad(0, build("PairwiseDotsGrad", {g.input(0), g.grad_of_output()}));
          },
      .traits = {.precision = PrecisionClass::kFollow, .has_small_by_f32 = true},
  };
}

// x: [batch, n, dim], dy: [batch, n·(n − 1)/2] → Σ over j ≠ i of dy[pair of i and j]·x[j].
OpDef pairwise_dots_grad_op() {
  return {
      .name = "PairwiseDotsGrad",
      .min_inputs = 2,
      .max_inputs = 2,
      .infer =
          [](const InferenceContext& c) {
            c.require_floating();
            c.require_same_dtype();
            c.require(c.shape(0).rank() == 3, "vectors [batch, n, dim]");
            c.require(compatible(c.shape(1), Shape{c.shape(0)[0], pairs_of(c.shape(0)[1])}),
                      "a number for each pair");
            return Types{c.input(0)};
          },
      .gradient =
          [](GradientContext& g) {
            const Value x = g.input(0), dy = g.input(1), dz = g.grad_of_output();
            g.set_grad(0, build("PairwiseDotsGrad", {dz, dy}));
            // z is linear in dy, with dz[i]·x[j] + x[i]·dz[j] for each pair.
            g.set_grad(1, pairwise_dots(x + dz) - pairwise_dots(x) - pairwise_dots(dz));
          },
      .traits = {.has_small_by_f32 = true},
  };
}

}  // namespace

Value pairwise_dots(Value x) { return build("PairwiseDots", {x}); }

}  // namespace trireme::ops

namespace trireme {

void register_pairwise_dots_ops(OpTable& table) {
  table.add(ops::pairwise_dots_op());
  table.add(ops::pairwise_dots_grad_op());
}

}  // namespace trireme

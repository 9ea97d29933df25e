// Updates fused with the product that makes their gradient.
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme {
namespace {

// variable -= lr · (a·b), by one matrix product that accumulates into the variable: the gradient is
// neither written nor read. Made by the fusion pass from MatMul and ApplySgd without momentum, so
// it has no gradient. variable: [m, n] f32|f64, a variable; lr: f32 scalar; a: [m, k] ([k, m] with
// transpose_a); b: [k, n] ([n, k] with transpose_b), of the variable's dtype. Output 0 is the
// memory of the variable, hence its new value.
OpDef fused_matmul_apply_sgd() {
  return {
      .name = "FusedMatMulApplySgd",
      .min_inputs = 4,
      .max_inputs = 4,
      .infer =
          [](const InferenceContext& c) {
            const Shape &variable = c.shape(0), &a = c.shape(2), &b = c.shape(3);
            c.require_floating();
            c.require(c.dtype(2) == c.dtype(0) && c.dtype(3) == c.dtype(0),
                      "a and b of the variable's dtype");
            c.require(c.input(1) == TensorType{DType::kFloat32, {}}, "lr to be an f32 scalar");
            c.require(variable.rank() == 2 && a.rank() == 2 && b.rank() == 2, "matrices");
            const int ta = c.attribute<bool>("transpose_a"), tb = c.attribute<bool>("transpose_b");
            const int64_t inner_a = a[1 - ta], inner_b = b[tb];
            c.require(inner_a == inner_b || inner_a < 0 || inner_b < 0, "equal inner dimensions");
            c.require(compatible(variable, Shape{a[ta], b[1 - tb]}),
                      "a product of the variable's shape");
            return ops::Types{c.input(0)};
          },
      .traits = {.mutated_inputs = {0}, .is_stateful = true},
  };
}

}  // namespace

void register_fused_update_ops(OpTable& table) { table.add(fused_matmul_apply_sgd()); }

}  // namespace trireme

// Updates fused with the product that makes their gradient.
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme {
namespace {

// variable -= lr · (a·b), by one matrix product that accumulates into the variable: the gradient is
// neither written nor read. Made by the fusion pass from MatMul and ApplySgd without momentum, so
// it has no gradient. variable: [m, n] f32|f64, a variable; lr: f32 scalar; a: [m, k] ([k, m] with
// transpose_a); b: [k, n] ([n, k] with transpose_b), both of the variable's dtype, or both f16 or
// bf16 beside an f32 variable: then the sums are f32. Output 0 is the memory of the variable, hence
// its new value. The dtype of a chooses the kernel.
OpDef fused_matmul_apply_sgd() {
  return {
      .name = "FusedMatMulApplySgd",
      .min_inputs = 4,
      .max_inputs = 4,
      .attributes = {attribute<bool>("transpose_a"), attribute<bool>("transpose_b")},
      .infer =
          [](const InferenceContext& c) {
            const Shape &variable = c.shape(0), &a = c.shape(2), &b = c.shape(3);
            c.require_floating();
            const DType factor = c.dtype(2);
            c.require(factor == c.dtype(3) &&
                          (factor == c.dtype(0) ||
                           (c.dtype(0) == DType::kFloat32 &&
                            (factor == DType::kFloat16 || factor == DType::kBFloat16))),
                      "a and b of the variable's dtype, or of 16 bits and an f32 variable");
            c.require(c.input(1) == TensorType{DType::kFloat32, {}}, "lr to be an f32 scalar");
            c.require(variable.rank() == 2 && a.rank() == 2 && b.rank() == 2, "matrices");
            const int ta = c.attribute<bool>("transpose_a"), tb = c.attribute<bool>("transpose_b");
            const int64_t inner_a = a[1 - ta], inner_b = b[tb];
            c.require(inner_a == inner_b || inner_a < 0 || inner_b < 0, "equal inner dimensions");
            c.require(compatible(variable, Shape{a[ta], b[1 - tb]}),
                      "a product of the variable's shape");
            return ops::Types{c.input(0)};
          },
      .traits = {.mutated_inputs = {0},
                 .is_stateful = true,
                 .kernel_dtype_input = 2,
                 .has_small_by_f32 = true},
  };
}

}  // namespace

void register_fused_update_ops(OpTable& table) { table.add(fused_matmul_apply_sgd()); }

}  // namespace trireme

// An op: SquaredRelu, y = max(x, 0)², with its gradient and its kernel for CPUs.
#include "core/device/kernel_spec.h"
#include "core/graph/gradient_context.h"
#include "core/graph/op_def.h"
#include "core/ops/ops.h"
#include "own_parts.h"

namespace own {

using namespace trireme;

void add_squared_relu(OpTable& ops) {
  ops.add({
      .name = "SquaredRelu",
      .min_inputs = 1,
      .max_inputs = 1,
      .infer =
          [](const InferenceContext& c) {
            c.require_floating();
            return std::vector<TensorType>{c.input(0)};
          },
      .gradient =
          [](GradientContext& c) {
            c.set_grad(0, c.grad_of_output() * ops::relu(c.input(0)) *
                              ops::scalar(c.graph(), c.input(0).dtype(), 2));
          },
      .traits = {.in_place_inputs = {0}},
  });
}

void add_squared_relu(KernelTable& kernels) {
  add_for<float, double>(kernels, "SquaredRelu", "cpu", []<typename T>(const KernelSpec& spec) {
    const int64_t n = spec.input_shape(0).elements();
    return PreparedKernel{.run = [n](const KernelArgs& args) {
      const T* const x = args.in<T>(0);
      T* const y = args.out<T>();
      for (int64_t i = 0; i < n; ++i) {
        const T positive = x[i] > 0 ? x[i] : T{0};
        y[i] = positive * positive;
      }
    }};
  });
}

}  // namespace own

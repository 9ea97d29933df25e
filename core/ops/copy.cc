// Copies between devices.
#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme {
namespace {

// The same value in memory of the node's own device; made by placement where a value crosses
// devices. Not a view: its output never shares memory with its input.
OpDef copy() {
  return {
      .name = "Copy",
      .min_inputs = 1,
      .max_inputs = 1,
      .infer = ops::same_as_input,
      .gradient =
          [](GradientContext& g) {
            // Back to where the input is: placement adds that copy when the graph is placed after
            // this.
            g.set_grad(0, g.grad_of_output());
          },
      .traits = {.is_copy = true},
  };
}

}  // namespace

void register_copy_ops(OpTable& table) { table.add(copy()); }

}  // namespace trireme

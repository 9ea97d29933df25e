// Elementwise functions that are composed of the elementwise ops, and so have their gradients and
// run wherever those do. In trireme::ops, like the builders of ops.h.
#pragma once

#include "core/graph/graph.h"
#include "core/ops/ops.h"

namespace trireme::ops {

// Within [low, high]; NaN stays NaN. On a bound the gradient is that of x.
Value clip(Value x, double low, double high);
Value squared_difference(Value a, Value b);
// log(e^a + e^b), without overflow.
Value log_add_exp(Value a, Value b);
Value exp2(Value x);

// --- what layers apply to their outputs, with the defaults of Keras 3
Value elu(Value x, double alpha = 1);   // x, and alpha·(e^x − 1) below 0
Value celu(Value x, double alpha = 1);  // x, and alpha·(e^(x/alpha) − 1) below 0
Value selu(Value x);                    // Klambauer et al. 2017
Value leaky_relu(Value x, double slope = 0.2);
Value relu6(Value x);                                // min(max(x, 0), 6)
Value hard_sigmoid(Value x);                         // relu6(x + 3) / 6
Value hard_silu(Value x);                            // x · hard_sigmoid(x)
Value hard_tanh(Value x);                            // within [−1, 1]
Value hard_shrink(Value x, double threshold = 0.5);  // 0 within ±threshold, else x
Value soft_shrink(Value x, double threshold = 0.5);  // the same, then threshold nearer to 0
Value tanh_shrink(Value x);                          // x − tanh(x)
Value threshold(Value x, double threshold, double otherwise);  // x above it, else `otherwise`
Value log_sigmoid(Value x);
Value softsign(Value x);                  // x / (1 + |x|)
Value mish(Value x);                      // x · tanh(softplus(x))
Value squareplus(Value x, double b = 4);  // (x + √(x² + b)) / 2
Value sparse_plus(Value x);               // 0 below −1, (x + 1)² / 4, x above 1
Value sparse_sigmoid(Value x);            // its derivative: 0, (x + 1) / 2, 1
// The first half of the last axis times the sigmoid of the second (Dauphin et al. 2017). The size
// of the axis is even.
Value glu(Value x);

}  // namespace trireme::ops

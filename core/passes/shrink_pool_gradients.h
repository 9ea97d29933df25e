// Work on the gradient of a pooling's input that can as well be done on that of its output, which
// is smaller, is done there:
//
//   ReluGrad(MaxPool2dGrad(g), y)   becomes  MaxPool2dGrad(ReluGrad(g, max_pool2d(y)))
//   Sum(MaxPool2dGrad or AvgPool2dGrad(g)) over rows and columns  becomes  Sum(g)
//
// The first because the pooled value is the very y at whose place its gradient ends up: the same
// bits. The second because each gradient is handed on whole: the same but for the order of
// additions. Together they spare a network of convolution, relu and pooling two passes over its
// largest gradients.
#pragma once

#include "core/passes/program.h"

namespace trireme {

Program shrink_pool_gradients(Program program);

}  // namespace trireme

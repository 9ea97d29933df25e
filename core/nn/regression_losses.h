// Losses of quantities: see losses.h for what each is given and gives. Predictions and labels are
// of one shape up to axes of size 1; the loss is the mean over the last axis where nothing else is
// said.
#pragma once

#include "core/nn/losses.h"

namespace trireme::nn {

Loss mean_absolute_error_loss();
Loss mean_absolute_percentage_error();  // 100·|output − label| / |label|
Loss mean_squared_logarithmic_error();  // (log(1 + output) − log(1 + label))²
// Half the square of the error up to `delta`, beyond that a straight line.
Loss huber(double delta = 1);
Loss log_cosh();  // log(cosh(output − label))
Loss poisson();   // output − label·log(output); outputs are rates, above 0
// −Σ output·label over the last axis, both of length 1: −1 where they point the same way.
Loss cosine_similarity();

void register_regression_losses(Catalog<LossOptions>& catalog);

}  // namespace trireme::nn

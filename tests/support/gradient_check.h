// Checks what gradients() builds against central differences, in f64 on the reference kernels.
#pragma once

#include <string>
#include <vector>

#include "tests/support/evaluate.h"

namespace trireme::testing {

struct GradientCheckOptions {
  double step = 1e-5;
  double tolerance = 1e-6;  // |analytic − numeric| ≤ tolerance · (1 + |numeric|)
  bool second = true;       // also the gradient of (the sum of each gradient times random numbers)
  int random_directions = 3;  // besides every single element, when there are at most 24
  uint64_t seed = 17;
  const KernelTable* kernels = &test_kernels();
  int* compared = nullptr;  // if given, increased for each derivative that was compared
};

// Differentiates the sum of `outputs` (each weighted with random constants; integer outputs are
// left out) with respect to `inputs`, at the values fed. `feeds` holds all placeholders and
// variables; every one of `inputs` must be f64 and among them. Returns an empty string, or what
// disagrees: which input, both numbers, first or second derivative.
std::string check_gradients(const std::vector<Value>& outputs, const std::vector<Value>& inputs,
                            const Feeds& feeds, const GradientCheckOptions& options = {});

}  // namespace trireme::testing

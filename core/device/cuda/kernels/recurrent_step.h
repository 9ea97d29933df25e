// A step of a recurrence, as the host tells kernels of it (recurrent.cu).
#pragma once

#include <stdint.h>

namespace trireme::cuda {

struct RecurrentStep {
  int64_t batch, time, units;
  int64_t at, before;  // times of this step and of the one before; before the first: -1
  int32_t is_first;    // of those that are computed: nothing came from another yet
  int32_t activation;  // of the simple recurrence: 0 none, 1 relu, 2 sigmoid, 3 tanh
};

}  // namespace trireme::cuda

#include "core/device/cuda/register.h"

namespace trireme::cuda {

void register_convolution(KernelTable&) {}

}  // namespace trireme::cuda

#include "core/device/cuda/register.h"

namespace trireme::cuda {

void register_linear(KernelTable&) {}

}  // namespace trireme::cuda

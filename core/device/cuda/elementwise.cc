#include "core/device/cuda/register.h"

namespace trireme::cuda {

void register_elementwise(KernelTable&) {}

}  // namespace trireme::cuda

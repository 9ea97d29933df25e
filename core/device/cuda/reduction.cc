#include "core/device/cuda/register.h"

namespace trireme::cuda {

void register_reduction(KernelTable&) {}

}  // namespace trireme::cuda

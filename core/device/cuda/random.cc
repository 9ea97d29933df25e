#include "core/device/cuda/register.h"

namespace trireme::cuda {

void register_random(KernelTable&) {}

}  // namespace trireme::cuda

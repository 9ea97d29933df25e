#include "core/device/cuda/register.h"

namespace trireme::cuda {

void register_copy(KernelTable&) {}

}  // namespace trireme::cuda

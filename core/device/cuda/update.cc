#include "core/device/cuda/register.h"

namespace trireme::cuda {

void register_update(KernelTable&) {}

}  // namespace trireme::cuda

#include "core/device/cuda/register.h"

namespace trireme::cuda {

void register_loss(KernelTable&) {}

}  // namespace trireme::cuda

#include "core/device/cuda/register.h"

namespace trireme::cuda {

void register_pooling(KernelTable&) {}

}  // namespace trireme::cuda

#include "core/device/cuda/register.h"

namespace trireme::cuda {

void register_normalization(KernelTable&) {}

}  // namespace trireme::cuda

#include "core/device/cuda/register.h"

namespace trireme::cuda {

void register_shaping(KernelTable&) {}

}  // namespace trireme::cuda

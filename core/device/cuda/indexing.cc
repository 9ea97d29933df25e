#include "core/device/cuda/register.h"

namespace trireme::cuda {

void register_indexing(KernelTable&) {}

}  // namespace trireme::cuda

#include "core/runtime/built_in_kernels.h"

#include "core/device/cpu/register.h"
#include "core/device/cuda/cuda.h"
#include "core/device/kernel.h"
#include "core/device/reference/register.h"

namespace trireme {

std::shared_ptr<const KernelTable> built_in_kernels() {
  static const std::shared_ptr<const KernelTable> table = [] {
    auto kernels = std::make_shared<KernelTable>();
    register_reference_kernels(*kernels);
    register_cpu_kernels(*kernels);
    register_cuda_kernels(*kernels);
    return kernels;
  }();
  return table;
}

void add_update_kernels(KernelTable& table, const UpdateRule& rule) {
  add_reference_update_kernels(table, rule);
  add_cpu_update_kernels(table, rule);
}

}  // namespace trireme

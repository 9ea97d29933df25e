// A build without the CUDA toolkit.
#include "core/base/error.h"
#include "core/device/cuda/cuda.h"
#include "core/device/elementwise_op.h"

namespace trireme {
namespace {

[[noreturn]] void not_built() { throw invalid_argument(cuda_problem()); }

}  // namespace

std::string cuda_problem() {
  return "this trireme was built without the CUDA toolkit: build it where nvcc, cuDNN and cuBLAS "
         "are "
         "installed (-DTRIREME_CUDA=ON says what is missing), or run with --device cpu";
}
std::vector<CudaCard> cuda_cards() { not_built(); }
std::vector<std::unique_ptr<Device>> make_cuda_devices(const CudaOptions&) { not_built(); }
void register_cuda_kernels(KernelTable&) {}
void add_cuda_elementwise(KernelTable&, const OpDef&) {}
int cuda_card_of(const Device&) { not_built(); }
void make_cuda_current(const Device&) { not_built(); }
std::string cuda_card_identity(const Device&) { not_built(); }
bool cuda_stream_idle(Stream&) { not_built(); }
void cuda_call_host(Stream&, void (*)(void*) noexcept, void*) { not_built(); }

}  // namespace trireme

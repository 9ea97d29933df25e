#include "core/device/cuda/libraries.h"

#include <array>
#include <string>

#include "core/base/error.h"
#include "core/device/cuda/shared_library.h"

namespace trireme::cuda {
namespace {

// "cuMemAlloc_v2" for cuMemAlloc: the vendor's headers rename by macros, which expand on the way.
#define TRIREME_CUDA_TEXT(x) #x
#define TRIREME_CUDA_SYMBOL(x) TRIREME_CUDA_TEXT(x)

Driver open_driver() {
  const SharedLibrary library({"libcuda.so.1", "the NVIDIA driver",
                               "install the driver of the card, or run with --device cpu"});
  Driver table;
  library.load(table.cuDriverGetVersion, TRIREME_CUDA_SYMBOL(cuDriverGetVersion));
  int version = 0;
  if (table.cuDriverGetVersion(&version) == CUDA_SUCCESS && version / 1000 < CUDA_VERSION / 1000) {
    throw invalid_argument("the NVIDIA driver is for CUDA ", version / 1000, ".",
                           version % 1000 / 10, ", this trireme was built with CUDA ",
                           CUDA_VERSION / 1000, ".", CUDA_VERSION % 1000 / 10,
                           ": install a newer driver, or run with --device cpu");
  }
#define TRIREME_LOAD(function) library.load(table.function, TRIREME_CUDA_SYMBOL(function));
  TRIREME_DRIVER_FUNCTIONS(TRIREME_LOAD)
  return table;
}

CublasLt open_cublas_lt() {
  const SharedLibrary library(
      {str_cat("libcublasLt.so.", CUBLAS_VER_MAJOR), str_cat("cuBLASLt ", CUBLAS_VER_MAJOR),
       "install the CUDA toolkit's cuBLAS, or unpack a bundle, which has it"});
  CublasLt table;
  TRIREME_CUBLAS_LT_FUNCTIONS(TRIREME_LOAD)
  return table;
}

Cudnn open_cudnn() {
  const SharedLibrary library({str_cat("libcudnn.so.", CUDNN_MAJOR), str_cat("cuDNN ", CUDNN_MAJOR),
                               "install cuDNN, or unpack a bundle, which has it"});
  Cudnn table;
  TRIREME_CUDNN_FUNCTIONS(TRIREME_LOAD)
  return table;
}

Nvrtc open_nvrtc() {
  const SharedLibrary library(
      {str_cat("libnvrtc.so.", CUDA_VERSION / 1000), str_cat("NVRTC ", CUDA_VERSION / 1000),
       "install the CUDA toolkit's NVRTC, or unpack a bundle, which has it"});
  Nvrtc table;
  TRIREME_NVRTC_FUNCTIONS(TRIREME_LOAD)
  return table;
}
#undef TRIREME_LOAD

[[noreturn]] void fail(bool out_of_memory, std::string_view what, std::string_view name,
                       std::string_view text) {
  throw Error(out_of_memory ? ErrorCode::kResourceExhausted : ErrorCode::kFailed,
              str_cat(what, ": ", name, text.empty() ? "" : ", ", text));
}

}  // namespace

const Driver& driver() {
  static const Driver table = open_driver();
  return table;
}
const CublasLt& cublas_lt() {
  static const CublasLt table = open_cublas_lt();
  return table;
}
const Cudnn& cudnn() {
  static const Cudnn table = open_cudnn();
  return table;
}
const Nvrtc& nvrtc() {
  static const Nvrtc table = open_nvrtc();
  return table;
}

void check(CUresult result, std::string_view what) {
  if (result == CUDA_SUCCESS) [[likely]]
    return;
  const char *name = nullptr, *text = nullptr;
  driver().cuGetErrorName(result, &name);
  driver().cuGetErrorString(result, &text);
  fail(result == CUDA_ERROR_OUT_OF_MEMORY, what,
       name != nullptr ? name : str_cat("CUDA error ", static_cast<int>(result)),
       text != nullptr ? text : "");
}

void check(cublasStatus_t status, std::string_view what) {
  if (status == CUBLAS_STATUS_SUCCESS) [[likely]]
    return;
  fail(status == CUBLAS_STATUS_ALLOC_FAILED, what, cublas_lt().cublasLtGetStatusString(status), "");
}

void check(cudnnStatus_t status, std::string_view what) {
  if (status == CUDNN_STATUS_SUCCESS) [[likely]]
    return;
  std::array<char, 512> last{};
  cudnn().cudnnGetLastErrorString(last.data(), last.size());
  fail(status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
           status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED,
       what, cudnn().cudnnGetErrorString(status), last.data());
}

void check(nvrtcResult result, std::string_view what) {
  if (result == NVRTC_SUCCESS) [[likely]]
    return;
  fail(result == NVRTC_ERROR_OUT_OF_MEMORY, what, nvrtc().nvrtcGetErrorString(result), "");
}

}  // namespace trireme::cuda

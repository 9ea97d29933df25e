// The CUDA libraries, opened when they are first used. Private to core/device/cuda.
//
// Looked for by soname: first in the folder lib/ beside the program's (a bundle), then where the
// loader looks (LD_LIBRARY_PATH, the system), then in the toolkit that Trireme was built with. A
// member of a table has the name of the library's function: driver().cuStreamCreate(…).
#pragma once

#include <cublasLt.h>
#include <cuda.h>
#include <cudnn.h>
#include <nvrtc.h>

#include <string_view>

#include "core/device/cuda/library_functions.h"

namespace trireme::cuda {

#define TRIREME_CUDA_MEMBER(function) decltype(&::function) function = nullptr;
struct Driver {
  TRIREME_DRIVER_FUNCTIONS(TRIREME_CUDA_MEMBER)
};
struct CublasLt {
  TRIREME_CUBLAS_LT_FUNCTIONS(TRIREME_CUDA_MEMBER)
};
struct Cudnn {
  TRIREME_CUDNN_FUNCTIONS(TRIREME_CUDA_MEMBER)
};
struct Nvrtc {
  TRIREME_NVRTC_FUNCTIONS(TRIREME_CUDA_MEMBER)
};
#undef TRIREME_CUDA_MEMBER

// Each opens its library at the first call, from any thread. Throws Error{kInvalidArgument}: the
// library, where it was looked for, what the loader said, what to install.
const Driver& driver();
const CublasLt& cublas_lt();
const Cudnn& cudnn();
const Nvrtc& nvrtc();

// Throw Error naming the call and what the library says of the result: kResourceExhausted when it
// is out of memory, else kFailed. `what`: the expression and for whom, e.g. "cuStreamCreate for
// /device:GPU:0".
void check(CUresult result, std::string_view what);
void check(cublasStatus_t status, std::string_view what);
void check(cudnnStatus_t status, std::string_view what);
void check(nvrtcResult result, std::string_view what);

}  // namespace trireme::cuda

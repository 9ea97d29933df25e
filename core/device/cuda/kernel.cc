#include "core/device/cuda/kernel.h"

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "core/base/error.h"
#include "core/base/thread_annotations.h"
#include "core/device/cuda/kernel_images.h"
#include "core/device/cuda/memory.h"

namespace trireme::cuda {
namespace {

// Every image and every kernel that this process has loaded. They belong to no card, and stay until
// the process ends.
class LoadedKernels {
 public:
  CUkernel find(std::string_view name) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (const auto it = kernels_.find(name); it != kernels_.end()) return it->second;
    load_images();
    for (const CUlibrary library : images_) {
      CUkernel kernel = nullptr;
      const CUresult result =
          driver().cuLibraryGetKernel(&kernel, library, std::string(name).c_str());
      if (result == CUDA_ERROR_NOT_FOUND) continue;
      check(result, str_cat("cuLibraryGetKernel for ", name));
      return kernels_.emplace(name, kernel).first->second;
    }
    throw_check_failure(__FILE__, __LINE__, "kernel", str_cat("no .cu file has a kernel ", name));
  }

 private:
  void load_images() REQUIRES(mutex_) {
    if (!images_.empty()) return;
    for (const KernelImage& image : kernel_images()) {
      CUlibrary library = nullptr;
      check(driver().cuLibraryLoadData(&library, image.data, nullptr, nullptr, 0, nullptr, nullptr,
                                       0),
            str_cat("cuLibraryLoadData of ", image.name, ".cu"));
      images_.push_back(library);
    }
  }

  Mutex mutex_;
  std::vector<CUlibrary> images_ GUARDED_BY(mutex_);
  std::map<std::string, CUkernel, std::less<>> kernels_ GUARDED_BY(mutex_);
};

class CompiledKernels {
 public:
  CUkernel find(int compute_capability, std::string_view name, const std::string& source)
      EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const auto [it, is_new] = libraries_.try_emplace({compute_capability, source}, nullptr);
    if (it->second == nullptr) {
      const std::string image = compile_source(compute_capability, name, source);
      check(driver().cuLibraryLoadData(&it->second, image.data(), nullptr, nullptr, 0, nullptr,
                                       nullptr, 0),
            str_cat("cuLibraryLoadData of generated kernel ", name));
    }
    CUkernel kernel = nullptr;
    check(driver().cuLibraryGetKernel(&kernel, it->second, std::string(name).c_str()),
          str_cat("cuLibraryGetKernel for ", name));
    return kernel;
  }

 private:
  Mutex mutex_;
  std::map<std::pair<int, std::string>, CUlibrary> libraries_ GUARDED_BY(mutex_);
};

constexpr uint32_t kSharedBytesWithoutAsking = 48 * 1024;

}  // namespace

LaunchShape spread(const CudaDevice& device, int64_t count, int per_thread) {
  constexpr int64_t kThreads = 256;
  // 8 such blocks fill a processor; a few waves even out what ends at different times.
  const int64_t most = int64_t{device.processors()} * 8 * 4;
  const int64_t needed = (count + kThreads * per_thread - 1) / (kThreads * per_thread);
  return {.grid_x = static_cast<uint32_t>(std::clamp<int64_t>(needed, 1, most)),
          .block_x = static_cast<uint32_t>(kThreads)};
}

Kernel::Kernel(std::string_view name) {
  static LoadedKernels loaded;
  kernel_ = loaded.find(name);
}

void Kernel::launch_raw(CudaStream& stream, const LaunchShape& shape, void** arguments) const {
  if (shape.shared_bytes > kSharedBytesWithoutAsking) {
    check(driver().cuKernelSetAttribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                        static_cast<int>(shape.shared_bytes), kernel_,
                                        stream.device().context().device()),
          "cuKernelSetAttribute");
  }
  check(driver().cuLaunchKernel(reinterpret_cast<CUfunction>(kernel_), shape.grid_x, shape.grid_y,
                                shape.grid_z, shape.block_x, shape.block_y, shape.block_z,
                                shape.shared_bytes, stream.raw(), arguments, nullptr),
        "cuLaunchKernel");
}

std::string compile_source(int compute_capability, std::string_view name,
                           const std::string& source) {
  nvrtcProgram program = nullptr;
  check(nvrtc().nvrtcCreateProgram(&program, source.c_str(), (std::string(name) + ".cu").c_str(), 0,
                                   nullptr, nullptr),
        "nvrtcCreateProgram");
  const auto destroy = [](nvrtcProgram p) { nvrtc().nvrtcDestroyProgram(&p); };
  const std::unique_ptr<std::remove_pointer_t<nvrtcProgram>, decltype(destroy)> owner(program,
                                                                                      destroy);
  const auto attempt = [&](const std::string& architecture) {
    const std::string target = "--gpu-architecture=" + architecture;
    const char* options[] = {"--std=c++20", "-default-device", target.c_str()};
    return nvrtc().nvrtcCompileProgram(program, 3, options);
  };
  nvrtcResult result = attempt(str_cat("sm_", compute_capability));
  // A card that is newer than the toolkit: the driver makes code of PTX.
  const bool is_ptx = result == NVRTC_ERROR_INVALID_OPTION;
  if (is_ptx) result = attempt("compute_90");
  if (result != NVRTC_SUCCESS) {
    size_t bytes = 0;
    nvrtc().nvrtcGetProgramLogSize(program, &bytes);
    std::string log(bytes, '\0');
    nvrtc().nvrtcGetProgramLog(program, log.data());
    throw Error(ErrorCode::kInternal,
                str_cat("kernel ", name, " does not compile: ", nvrtc().nvrtcGetErrorString(result),
                        "\n", log, "\n", source));
  }
  size_t bytes = 0;
  check(is_ptx ? nvrtc().nvrtcGetPTXSize(program, &bytes)
               : nvrtc().nvrtcGetCUBINSize(program, &bytes),
        "the size of what NVRTC made");
  std::string image(bytes, '\0');
  check(is_ptx ? nvrtc().nvrtcGetPTX(program, image.data())
               : nvrtc().nvrtcGetCUBIN(program, image.data()),
        "what NVRTC made");
  return image;
}

Kernel compile_kernel(const CudaDevice& device, std::string_view name, const std::string& source) {
  static CompiledKernels compiled;
  device.make_current();
  return Kernel(compiled.find(device.compute_capability(), name, source));
}

std::string kernel_name(std::string_view base, DType dtype) {
  return str_cat(base, "_", trireme::name(dtype));
}

}  // namespace trireme::cuda

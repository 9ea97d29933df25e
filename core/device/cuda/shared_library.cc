#include "core/device/cuda/shared_library.h"

#include <dlfcn.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "core/base/error.h"

namespace trireme::cuda {
namespace {

std::string folder_of_bundle() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "" : (program.parent_path().parent_path() / "lib").string();
}

}  // namespace

SharedLibrary::SharedLibrary(Names names) : names_(std::move(names)) {
  std::string said;
  const std::string bundle = folder_of_bundle() + "/" + names_.file;
  const std::string toolkit = std::string(TRIREME_CUDA_LIBRARY_DIR) + "/" + names_.file;
  for (const std::string& path : {bundle, names_.file, toolkit}) {
    // What is there and does not load is told; what is not there is plain.
    const bool named = path.find('/') != std::string::npos;
    if (named && !std::filesystem::exists(path)) continue;
    handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ != nullptr) return;
    if (said.empty() || named) said = dlerror();
  }
  throw invalid_argument(names_.what, " is not there: ", said, " (looked in ", folder_of_bundle(),
                         ", where the loader looks, and in ", TRIREME_CUDA_LIBRARY_DIR, "); ",
                         names_.install);
}

void* SharedLibrary::find(const char* symbol) const {
  void* function = dlsym(handle_, symbol);
  if (function == nullptr) {
    throw invalid_argument(names_.file, " has no ", symbol,
                           ": it is older than what this trireme was built with; ", names_.install);
  }
  return function;
}

}  // namespace trireme::cuda

// Exported: libraries of kernels, and launches; for the other fake libraries, enqueue().
#include <dlfcn.h>

#include <cstring>

#include "tests/support/fake_cuda/driver.h"
#include "tests/support/fake_cuda/enqueue.h"
#include "tests/support/fake_cuda/image.h"

using namespace trireme::fake_cuda;

namespace {

constexpr uint32_t kFatBinary = 0xba55ed50;  // how nvcc --fatbin begins

// The library that was made of kernels/*.cu for the host, beside this one.
std::string kernels_path() {
  Dl_info info{};
  dladdr(reinterpret_cast<void*>(&kernels_path), &info);
  const std::string own = info.dli_fname;
  return own.substr(0, own.rfind('/') + 1) + "libtrireme_fake_kernels.so";
}

std::unique_ptr<CUlib_st> load(const std::string& path) {
  auto library = std::make_unique<CUlib_st>();
  library->handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library->handle) refuse(CUDA_ERROR_INVALID_IMAGE, dlerror());
  auto* get = reinterpret_cast<Module* (*)()>(dlsym(library->handle, trireme_fake::kModuleSymbol));
  if (!get) refuse(CUDA_ERROR_INVALID_IMAGE, path + " was not compiled with emulation.h");
  Module* module = get();
  for (const KernelEntry* entry = module->kernels; entry; entry = entry->next) {
    auto kernel = std::make_unique<CUkern_st>();
    kernel->module = module;
    kernel->entry = entry;
    if (!library->kernels.emplace(entry->name, std::move(kernel)).second)
      refuse(CUDA_ERROR_INVALID_IMAGE, "two kernels are named '" + std::string(entry->name) + "'");
  }
  return library;
}

// What a launch passes, copied when it is enqueued.
class Arguments {
 public:
  Arguments(const KernelEntry& kernel, void** given) : kernel_(kernel) {
    size_t bytes = 0;
    for (int i = 0; i < kernel.parameter_count; ++i) {
      const trireme_fake::Parameter& p = kernel.parameters[i];
      bytes = (bytes + p.alignment - 1) / p.alignment * p.alignment;
      offsets_.push_back(bytes);
      bytes += p.bytes;
    }
    storage_.resize(bytes / sizeof(Unit) + 1);
    for (int i = 0; i < kernel.parameter_count; ++i) {
      if (!given || !given[i])
        refuse(CUDA_ERROR_INVALID_VALUE, "kernel '" + std::string(kernel.name) + "' takes " +
                                             std::to_string(kernel.parameter_count) +
                                             " parameters, parameter " + std::to_string(i) +
                                             " is missing");
      memcpy(at(i), given[i], kernel.parameters[i].bytes);
      addresses_.push_back(at(i));
    }
  }

  void** addresses() { return addresses_.data(); }

  // Why an address among them cannot be used by `card`, or nothing. Of structs, only what looks
  // like device memory can be known for an address.
  std::string problem(Driver& d, int card) {
    for (int i = 0; i < kernel_.parameter_count; ++i) {
      const trireme_fake::Parameter& p = kernel_.parameters[i];
      for (size_t byte = 0; byte + 8 <= p.bytes; byte += 8) {
        uintptr_t word;
        memcpy(&word, static_cast<char*>(at(i)) + byte, sizeof word);
        if (word == 0 || (!p.pointer && !d.memory.is_device_address(word))) continue;
        // One past the end: an empty range.
        const Allocation* found = d.memory.find(word);
        if (!found) found = d.memory.find(word - 1);
        if (found && (found->pinned || found->card == card ||
                      d.cards[static_cast<size_t>(card)].peers.contains(found->card)))
          continue;
        return "kernel '" + std::string(kernel_.name) + "', parameter " + std::to_string(i) +
               (p.pointer ? "" : ", byte " + std::to_string(byte)) + ": " +
               d.memory.describe(word) + (found ? ", without peer access" : "");
      }
    }
    return "";
  }

 private:
  struct alignas(16) Unit {
    char bytes[16];
  };
  void* at(int i) {
    return reinterpret_cast<char*>(storage_.data()) + offsets_[static_cast<size_t>(i)];
  }

  const KernelEntry& kernel_;
  std::vector<size_t> offsets_;
  std::vector<Unit> storage_;
  std::vector<void*> addresses_;
};

CUkern_st& known_kernel(Driver& d, const void* handle) {
  const auto at = d.kernels.find(handle);
  if (at == d.kernels.end()) refuse(CUDA_ERROR_INVALID_HANDLE, "no such kernel");
  return *at->second;
}

void require_geometry(const KernelEntry& kernel, Coordinates grid, Coordinates block) {
  const auto text = [](Coordinates c) {
    return "(" + std::to_string(c.x) + ", " + std::to_string(c.y) + ", " + std::to_string(c.z) +
           ")";
  };
  const bool grid_fits = grid.x >= 1 && grid.y >= 1 && grid.z >= 1 && grid.x <= 0x7fffffffu &&
                         grid.y <= 65535 && grid.z <= 65535;
  const bool block_fits = block.x >= 1 && block.y >= 1 && block.z >= 1 && block.x <= 1024 &&
                          block.y <= 1024 && block.z <= 64 && block.x * block.y * block.z <= 1024;
  if (!grid_fits || !block_fits)
    refuse(CUDA_ERROR_INVALID_VALUE, "kernel '" + std::string(kernel.name) + "': a grid of " +
                                         text(grid) + " blocks of " + text(block) +
                                         " threads is empty or too large");
}

}  // namespace

namespace trireme::fake_cuda {

CUresult enqueue(CUstream stream, std::string name, std::vector<MemoryRange> ranges,
                 std::function<void()> run) {
  return enqueue_when(stream, std::move(name), std::move(ranges), nullptr, std::move(run));
}

CUresult enqueue_when(CUstream stream, std::string name, std::vector<MemoryRange> ranges,
                      std::function<bool()> ready, std::function<void()> run) {
  return call(name.c_str(), kInContext, [&](Driver& d, Lock&) {
    CUstream_st& s = d.stream_of_current(stream);
    const auto check = [&d, ranges = std::move(ranges), name, card = s.context->card] {
      for (const MemoryRange& range : ranges)
        d.require_device_memory(reinterpret_cast<uintptr_t>(range.address), range.bytes, card,
                                name + ", " + range.what);
    };
    check();
    auto work = std::make_shared<Work>();
    work->kind = OperationKind::kKernel;
    work->name = name;
    work->ready = std::move(ready);
    work->run = [&d, check, name, run = std::move(run)]() -> std::optional<DeviceFault> {
      try {
        check();
      } catch (const Refusal& refusal) {
        return DeviceFault{DeviceFault::kIllegalAddress, refusal.why};
      }
      auto fault = d.runner.run_guarded(run);
      if (fault) fault->what = name + ": " + fault->what;
      return fault;
    };
    d.enqueue(s, std::move(work));
  });
}

int current_card() { return current_context ? current_context->card : -1; }

void complain(const std::string& text) {
  Lock lock(driver().mutex);
  driver().complain(text);
}

}  // namespace trireme::fake_cuda

extern "C" {
#pragma GCC visibility push(default)

CUresult cuLibraryLoadData(CUlibrary* library, const void* code, CUjit_option*, void**, unsigned,
                           CUlibraryOption*, void**, unsigned) {
  return call("cuLibraryLoadData", kInitialized, [&](Driver& d, Lock&) {
    d.forbid_in_capture();
    uint32_t magic;
    memcpy(&magic, code, sizeof magic);
    std::string path;
    if (magic == kFatBinary)
      path = kernels_path();
    else if (memcmp(code, kImageMagic, sizeof kImageMagic) == 0)
      path = static_cast<const char*>(code) + sizeof kImageMagic;
    else
      refuse(CUDA_ERROR_INVALID_IMAGE, "neither a fat binary nor what the fake NVRTC made");
    auto made = load(path);
    for (const auto& [name, kernel] : made->kernels) d.kernels[kernel.get()] = kernel.get();
    *library = made.get();
    d.libraries[*library] = std::move(made);
  });
}

CUresult cuLibraryUnload(CUlibrary library) {
  return call("cuLibraryUnload", kInitialized, [&](Driver& d, Lock&) {
    d.forbid_in_capture();
    const auto at = d.libraries.find(library);
    if (at == d.libraries.end()) refuse(CUDA_ERROR_INVALID_HANDLE, "no such library");
    for (const auto& [name, kernel] : at->second->kernels) d.kernels.erase(kernel.get());
    // Its code stays: work that is pending, and graphs, may still refer to it.
    d.libraries.erase(library);
  });
}

CUresult cuLibraryGetKernel(CUkernel* kernel, CUlibrary library, const char* name) {
  return call("cuLibraryGetKernel", kInitialized, [&](Driver& d, Lock&) {
    const auto at = d.libraries.find(library);
    if (at == d.libraries.end()) refuse(CUDA_ERROR_INVALID_HANDLE, "no such library");
    const auto found = at->second->kernels.find(name);
    if (found == at->second->kernels.end())
      refuse(CUDA_ERROR_NOT_FOUND, "no kernel '" + std::string(name) + "'");
    *kernel = found->second.get();
  });
}

CUresult cuKernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel kernel,
                              CUdevice) {
  return call("cuKernelGetAttribute", kInitialized, [&](Driver& d, Lock&) {
    const CUkern_st& k = known_kernel(d, kernel);
    switch (attribute) {
      case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
        *value = 1024;
        break;
      case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
      case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
      case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
        *value = 0;
        break;
      case CU_FUNC_ATTRIBUTE_NUM_REGS:
        *value = 32;
        break;
      case CU_FUNC_ATTRIBUTE_PTX_VERSION:
      case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
        *value = 90;
        break;
      case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        *value = k.max_dynamic_shared;
        break;
      default:
        refuse(CUDA_ERROR_INVALID_VALUE,
               "the fake has no kernel attribute " + std::to_string(attribute));
    }
  });
}

CUresult cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel,
                              CUdevice) {
  return call("cuKernelSetAttribute", kInitialized, [&](Driver& d, Lock&) {
    CUkern_st& k = known_kernel(d, kernel);
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 ||
        value > 227 << 10)
      refuse(CUDA_ERROR_INVALID_VALUE, "an attribute or value that a kernel cannot have");
    k.max_dynamic_shared = value;
  });
}

CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                        unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                        CUstream stream, void** parameters, void** extra) {
  return call("cuLaunchKernel", kInContext, [&](Driver& d, Lock&) {
    const CUkern_st& kernel = known_kernel(d, function);
    const KernelEntry& entry = *kernel.entry;
    CUstream_st& s = d.stream_of_current(stream);
    const Coordinates grid{grid_x, grid_y, grid_z}, block{block_x, block_y, block_z};
    require_geometry(entry, grid, block);
    if (extra) refuse(CUDA_ERROR_INVALID_VALUE, "parameters come as kernelParams, not extra");
    if (shared_bytes > static_cast<unsigned>(kernel.max_dynamic_shared))
      refuse(CUDA_ERROR_INVALID_VALUE, "more dynamic shared memory than the kernel allows");
    auto arguments = std::make_shared<Arguments>(entry, parameters);
    const int card = s.context->card;
    if (const std::string problem = arguments->problem(d, card); !problem.empty())
      refuse(CUDA_ERROR_INVALID_VALUE, problem);
    auto work = std::make_shared<Work>();
    work->kind = OperationKind::kKernel;
    work->name = entry.name;
    work->run = [&d, module = kernel.module, &entry, grid, block, arguments,
                 card]() -> std::optional<DeviceFault> {
      if (const std::string problem = arguments->problem(d, card); !problem.empty())
        return DeviceFault{DeviceFault::kIllegalAddress, problem};
      return d.runner.run(*module, entry, grid, block, arguments->addresses());
    };
    d.enqueue(s, std::move(work));
  });
}

#pragma GCC visibility pop
}  // extern "C"

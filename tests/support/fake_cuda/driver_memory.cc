// Exported: memory, copies, fills.
#include <cstring>

#include "tests/support/fake_cuda/driver.h"

using namespace trireme::fake_cuda;

namespace {

size_t round_up(size_t bytes) { return (bytes + 511) / 512 * 512; }

// Copies and fills are checked when they are enqueued, and again when they run: the memory may have
// been freed by then.
struct Range {
  uintptr_t address = 0;
  size_t bytes = 0;
  int card = 0;
  bool of_host = false;
};

bool still_there(Driver& d, const Range& range) {
  if (range.of_host) return true;
  const Allocation* found = d.memory.find(range.address);
  return found && range.address + range.bytes <= found->end();
}

std::shared_ptr<Work> make_work(Driver& d, OperationKind kind, std::string name,
                                std::vector<Range> ranges, std::function<void()> run) {
  auto work = std::make_shared<Work>();
  work->kind = kind;
  work->name = name;
  work->bytes = ranges[0].bytes;
  work->run = [&d, name = std::move(name), ranges = std::move(ranges),
               run = std::move(run)]() -> std::optional<DeviceFault> {
    for (const Range& range : ranges)
      if (!still_there(d, range))
        return DeviceFault{DeviceFault::kIllegalAddress,
                           name + " of " + d.memory.describe(range.address)};
    return d.runner.run_guarded(run);
  };
  return work;
}

uintptr_t number(const void* address) { return reinterpret_cast<uintptr_t>(address); }

void require_host(Driver& d, uintptr_t address, const char* what) {
  if (d.memory.is_device_address(address))
    refuse(CUDA_ERROR_INVALID_VALUE,
           std::string(what) + " must be host memory: " + d.memory.describe(address));
}

// Whether the host address is in page-locked memory, all of it.
bool is_pinned(Driver& d, uintptr_t address, size_t bytes) {
  const Allocation* found = d.memory.find(address);
  if (!found || !found->pinned) return false;
  if (address + bytes > found->end())
    refuse(CUDA_ERROR_INVALID_VALUE,
           "the copy runs over the end: " + d.memory.describe(address + bytes));
  return true;
}

void fill(CUdeviceptr to, size_t count, size_t element_bytes, CUstream stream,
          std::function<void()> run) {
  Driver& d = driver();
  CUstream_st& s = d.stream_of_current(stream);
  if (to % element_bytes != 0) refuse(CUDA_ERROR_INVALID_VALUE, "the address is not aligned");
  const size_t bytes = count * element_bytes;
  d.require_device_memory(to, bytes, s.context->card, "what is filled");
  if (bytes == 0) return;
  d.enqueue(s, make_work(d, OperationKind::kMemset, "memset", {{to, bytes, s.context->card}},
                         std::move(run)));
}

}  // namespace

extern "C" {
#pragma GCC visibility push(default)

CUresult cuMemGetInfo(size_t* free, size_t* total) {
  return call("cuMemGetInfo", kInContext, [&](Driver& d, Lock&) {
    *total = d.memory_bytes;
    *free = d.memory_bytes - d.memory.used(require_context().card);
  });
}

CUresult cuMemAlloc(CUdeviceptr* address, size_t bytes) {
  return call("cuMemAlloc", kNotCapturing, [&](Driver& d, Lock&) {
    const int card = require_context().card;
    if (bytes == 0) refuse(CUDA_ERROR_INVALID_VALUE, "no bytes were asked for");
    const size_t used = d.memory.used(card);
    const Allocation* made = bytes > d.memory_bytes || used + round_up(bytes) > d.memory_bytes
                                 ? nullptr
                                 : d.memory.allocate(card, bytes);
    if (!made)
      refuse(CUDA_ERROR_OUT_OF_MEMORY, std::to_string(bytes) + " bytes on a card that has " +
                                           std::to_string(d.memory_bytes) + ", " +
                                           std::to_string(used) + " of them taken");
    ++d.scheduler.statistics.allocations;
    *address = made->address;
  });
}

CUresult cuMemFree(CUdeviceptr address) {
  return call("cuMemFree", kNotCapturing, [&](Driver& d, Lock& lock) {
    if (address == 0) return;
    const Allocation* found = d.memory.find(address);
    if (!found || found->address != address || found->pinned)
      refuse(CUDA_ERROR_INVALID_VALUE, "not what cuMemAlloc gave: " + d.memory.describe(address));
    const int card = found->card;
    d.scheduler.run_all(card, lock);  // as real drivers do
    ++d.scheduler.statistics.frees;
    if (const auto problem = d.memory.free(address))
      d.fail(card, {DeviceFault::kIllegalAddress, *problem});
  });
}

CUresult cuMemHostAlloc(void** address, size_t bytes, unsigned flags) {
  return call("cuMemHostAlloc", kNotCapturing, [&](Driver& d, Lock&) {
    if (flags & ~7u) refuse(CUDA_ERROR_INVALID_VALUE, "unknown flags");
    if (bytes == 0) refuse(CUDA_ERROR_INVALID_VALUE, "no bytes were asked for");
    const Allocation* made = d.memory.allocate_pinned(require_context().card, bytes);
    if (!made) refuse(CUDA_ERROR_OUT_OF_MEMORY, "of the host");
    ++d.scheduler.statistics.pinned_allocations;
    *address = reinterpret_cast<void*>(made->address);
  });
}

CUresult cuMemFreeHost(void* address) {
  return call("cuMemFreeHost", kNotCapturing, [&](Driver& d, Lock&) {
    const Allocation* found = d.memory.find(number(address));
    if (!found || found->address != number(address) || !found->pinned)
      refuse(CUDA_ERROR_INVALID_VALUE, "not what cuMemHostAlloc gave");
    // Nothing is promised to have been waited for: a copy that still needs it will fail.
    ++d.scheduler.statistics.pinned_frees;
    d.memory.free(number(address));
  });
}

CUresult cuMemHostGetDevicePointer(CUdeviceptr* address, void* host, unsigned flags) {
  return call("cuMemHostGetDevicePointer", kInContext, [&](Driver& d, Lock&) {
    if (flags != 0 || !is_pinned(d, number(host), 0))
      refuse(CUDA_ERROR_INVALID_VALUE, "not in what cuMemHostAlloc gave, or flags are not 0");
    *address = number(host);
  });
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
  return call("cuMemcpyHtoDAsync", kInContext, [&](Driver& d, Lock&) {
    CUstream_st& s = d.stream_of_current(stream);
    const int card = s.context->card;
    d.require_device_memory(to, bytes, card, "the destination");
    if (bytes == 0) return;
    require_host(d, number(from), "the source");
    std::vector<Range> ranges = {{to, bytes, card}};
    std::function<void()> run;
    if (is_pinned(d, number(from), bytes)) {
      ranges.push_back({number(from), bytes, card});
      run = [=] { memcpy(reinterpret_cast<void*>(to), from, bytes); };
    } else {
      if (s.capture) {
        s.capture->invalid = "a copy of pageable host memory";
        refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
               "the source is pageable: a graph would read it at each launch");
      }
      // A real driver reads pageable memory before it returns, too.
      const auto* bytes_of = static_cast<const char*>(from);
      run = [to, staged = std::make_shared<std::vector<char>>(bytes_of, bytes_of + bytes)] {
        memcpy(reinterpret_cast<void*>(to), staged->data(), staged->size());
      };
    }
    d.enqueue(s, make_work(d, OperationKind::kHostToDevice, "copy from host to device",
                           std::move(ranges), std::move(run)));
  });
}

CUresult cuMemcpyDtoHAsync(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return call("cuMemcpyDtoHAsync", kInContext, [&](Driver& d, Lock& lock) {
    CUstream_st& s = d.stream_of_current(stream);
    const int card = s.context->card;
    d.require_device_memory(from, bytes, card, "the source");
    if (bytes == 0) return;
    require_host(d, number(to), "the destination");
    const bool pinned = is_pinned(d, number(to), bytes);
    if (!pinned && s.capture) {
      s.capture->invalid = "a copy to pageable host memory";
      refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the destination is pageable");
    }
    std::vector<Range> ranges = {{from, bytes, card}};
    if (pinned) ranges.push_back({number(to), bytes, card});
    d.enqueue(
        s, make_work(d, OperationKind::kDeviceToHost, "copy from device to host", std::move(ranges),
                     [=] { memcpy(to, reinterpret_cast<const void*>(from), bytes); }));
    // To pageable memory it returns when the copy is done.
    if (!pinned) {
      d.scheduler.run_until(s.last, lock);
      d.require_sound(card);
    }
  });
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  return call("cuMemcpyDtoDAsync", kInContext, [&](Driver& d, Lock&) {
    CUstream_st& s = d.stream_of_current(stream);
    const int card = s.context->card;
    d.require_device_memory(to, bytes, card, "the destination");
    d.require_device_memory(from, bytes, card, "the source");
    if (bytes == 0) return;
    if (to < from + bytes && from < to + bytes)
      refuse(CUDA_ERROR_INVALID_VALUE, "source and destination overlap");
    d.enqueue(s, make_work(d, OperationKind::kDeviceToDevice, "copy on the device",
                           {{to, bytes, card}, {from, bytes, card}}, [=] {
                             memcpy(reinterpret_cast<void*>(to),
                                    reinterpret_cast<const void*>(from), bytes);
                           }));
  });
}

CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from,
                           CUcontext from_context, size_t bytes, CUstream stream) {
  return call("cuMemcpyPeerAsync", kInContext, [&](Driver& d, Lock&) {
    CUstream_st& s = d.stream_of_current(stream);
    if (!to_context || !from_context) refuse(CUDA_ERROR_INVALID_CONTEXT, "a context is missing");
    if (s.context != to_context && s.context != from_context)
      refuse(CUDA_ERROR_INVALID_HANDLE, "the stream is of neither card");
    d.require_device_memory(to, bytes, to_context->card, "the destination");
    d.require_device_memory(from, bytes, from_context->card, "the source");
    if (bytes == 0) return;
    d.enqueue(s, make_work(d, OperationKind::kPeerCopy, "copy between cards",
                           {{to, bytes, to_context->card}, {from, bytes, from_context->card}}, [=] {
                             memcpy(reinterpret_cast<void*>(to),
                                    reinterpret_cast<const void*>(from), bytes);
                           }));
  });
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
  return call("cuMemsetD8Async", kInContext, [&](Driver&, Lock&) {
    fill(to, count, 1, stream, [=] { memset(reinterpret_cast<void*>(to), value, count); });
  });
}

CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count, CUstream stream) {
  return call("cuMemsetD32Async", kInContext, [&](Driver&, Lock&) {
    fill(to, count, 4, stream, [=] { std::fill_n(reinterpret_cast<unsigned*>(to), count, value); });
  });
}

#pragma GCC visibility pop
}  // extern "C"

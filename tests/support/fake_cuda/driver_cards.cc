// Exported: cards, contexts, errors.
#include <cstring>

#include "core/device/cuda/library_functions.h"
#include "tests/support/fake_cuda/driver.h"
#include "tests/support/fake_cuda/fault_handler.h"

using namespace trireme::fake_cuda;

namespace {

struct ErrorText {
  CUresult result;
  const char* name;
  const char* text;
};
#define TRIREME_ERROR(name, text) \
  { name, #name, text }
constexpr ErrorText kErrors[] = {
    TRIREME_ERROR(CUDA_SUCCESS, "no error"),
    TRIREME_ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    TRIREME_ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    TRIREME_ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    TRIREME_ERROR(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    TRIREME_ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    TRIREME_ERROR(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
    TRIREME_ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    TRIREME_ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    TRIREME_ERROR(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    TRIREME_ERROR(CUDA_ERROR_NOT_READY, "device not ready"),
    TRIREME_ERROR(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
    TRIREME_ERROR(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, "peer access is already enabled"),
    TRIREME_ERROR(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED,
                  "peer access is not supported between these two devices"),
    TRIREME_ERROR(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address"),
    TRIREME_ERROR(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
    TRIREME_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                  "operation not permitted when stream is capturing"),
    TRIREME_ERROR(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED,
                  "operation failed due to a previous error during capture"),
    TRIREME_ERROR(CUDA_ERROR_STREAM_CAPTURE_MERGE,
                  "operation would result in a merge of separate capture sequences"),
    TRIREME_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "capture was not ended in the same stream"),
    TRIREME_ERROR(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "capturing stream has unjoined work"),
    TRIREME_ERROR(CUDA_ERROR_STREAM_CAPTURE_ISOLATION,
                  "dependency created on uncaptured work in another stream"),
    TRIREME_ERROR(CUDA_ERROR_CAPTURED_EVENT,
                  "operation not permitted on an event last recorded in a capturing stream"),
    TRIREME_ERROR(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD,
                  "attempt to terminate a thread-local capture sequence from another thread"),
    TRIREME_ERROR(CUDA_ERROR_UNKNOWN, "unknown error"),
};
#undef TRIREME_ERROR

const ErrorText* find_error(CUresult result) {
  for (const ErrorText& error : kErrors)
    if (error.result == result) return &error;
  return nullptr;
}

int require_card(const Driver& d, CUdevice card) {
  if (card < 0 || static_cast<size_t>(card) >= d.cards.size())
    refuse(CUDA_ERROR_INVALID_DEVICE, "no card " + std::to_string(card));
  return card;
}

}  // namespace

extern "C" {
#pragma GCC visibility push(default)

CUresult cuInit(unsigned flags) {
  return call("cuInit", kAnyTime, [&](Driver& d, Lock&) {
    if (flags != 0) refuse(CUDA_ERROR_INVALID_VALUE, "flags must be 0");
    if (d.cards.empty()) refuse(CUDA_ERROR_NO_DEVICE, "TRIREME_FAKE_GPUS=0");
    FaultHandler::set_device_memory_test(
        [](uintptr_t address) { return driver().memory.is_device_address(address); });
    FaultHandler::install();
    d.initialized = true;
  });
}

CUresult cuDriverGetVersion(int* version) {
  *version = CUDA_VERSION;
  return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char** text) {
  const ErrorText* found = find_error(error);
  *text = found ? found->name : nullptr;
  return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, const char** text) {
  const ErrorText* found = find_error(error);
  *text = found ? found->text : nullptr;
  LastError& last = last_error();
  if (found && last.result == error && !last.why.empty()) {
    last.text = std::string(found->text) + " (" + last.why + ")";
    *text = last.text.c_str();
  }
  return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuDeviceGetCount(int* count) {
  return call("cuDeviceGetCount", kInitialized,
              [&](Driver& d, Lock&) { *count = static_cast<int>(d.cards.size()); });
}

CUresult cuDeviceGet(CUdevice* card, int ordinal) {
  return call("cuDeviceGet", kInitialized,
              [&](Driver& d, Lock&) { *card = require_card(d, ordinal); });
}

CUresult cuDeviceGetName(char* name, int bytes, CUdevice card) {
  return call("cuDeviceGetName", kInitialized, [&](Driver& d, Lock&) {
    require_card(d, card);
    snprintf(name, static_cast<size_t>(bytes), "Fake GPU");
  });
}

CUresult cuDeviceGetUuid(CUuuid* uuid, CUdevice card) {
  return call("cuDeviceGetUuid", kInitialized, [&](Driver& d, Lock&) {
    memset(uuid->bytes, 0, sizeof uuid->bytes);
    memcpy(uuid->bytes, "fake", 4);
    uuid->bytes[15] = static_cast<char>(require_card(d, card));
  });
}

CUresult cuDeviceTotalMem(size_t* bytes, CUdevice card) {
  return call("cuDeviceTotalMem", kInitialized, [&](Driver& d, Lock&) {
    require_card(d, card);
    *bytes = d.memory_bytes;
  });
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice card) {
  return call("cuDeviceGetAttribute", kInitialized, [&](Driver& d, Lock&) {
    require_card(d, card);
    switch (attribute) {
      case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
        *value = 9;
        break;
      case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
        *value = 0;
        break;
      case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
        *value = 132;
        break;
      case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR:
        *value = 2048;
        break;
      case CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR:
        *value = 32;
        break;
      case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
        *value = 1024;
        break;
      case CU_DEVICE_ATTRIBUTE_WARP_SIZE:
        *value = 32;
        break;
      case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK:
        *value = 48 << 10;
        break;
      case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
        *value = 227 << 10;
        break;
      case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
        *value = 228 << 10;
        break;
      case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
        *value = 65536;
        break;
      case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
        *value = 50 << 20;
        break;
      case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
      case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
      case CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED:
      case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS:
        *value = 1;
        break;
      case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT:
        *value = 3;
        break;
      case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
        *value = 1980000;
        break;
      case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:
        *value = 3201000;
        break;
      case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:
        *value = 6144;
        break;
      case CU_DEVICE_ATTRIBUTE_INTEGRATED:
      case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED:
        *value = 0;
        break;
      default:
        refuse(CUDA_ERROR_INVALID_VALUE,
               "the fake has no device attribute " + std::to_string(attribute));
    }
  });
}

CUresult cuDeviceCanAccessPeer(int* yes, CUdevice card, CUdevice peer) {
  return call("cuDeviceCanAccessPeer", kInitialized, [&](Driver& d, Lock&) {
    *yes = require_card(d, card) != require_card(d, peer) && !getenv("TRIREME_FAKE_NO_PEERS");
  });
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice card) {
  return call("cuDevicePrimaryCtxRetain", kInitialized, [&](Driver& d, Lock&) {
    const auto index = static_cast<size_t>(require_card(d, card));
    ++d.cards[index].retained;
    *context = d.contexts[index].get();
  });
}

CUresult cuDevicePrimaryCtxRelease(CUdevice card) {
  return call("cuDevicePrimaryCtxRelease", kInitialized, [&](Driver& d, Lock&) {
    Card& c = d.cards[static_cast<size_t>(require_card(d, card))];
    if (c.retained == 0) refuse(CUDA_ERROR_INVALID_CONTEXT, "it was not retained");
    --c.retained;
  });
}

CUresult cuCtxSetCurrent(CUcontext context) {
  return call("cuCtxSetCurrent", kInitialized, [&](Driver& d, Lock&) {
    if (context) {
      if (context->card < 0 || static_cast<size_t>(context->card) >= d.cards.size() ||
          d.contexts[static_cast<size_t>(context->card)].get() != context)
        refuse(CUDA_ERROR_INVALID_CONTEXT, "no such context");
      if (d.cards[static_cast<size_t>(context->card)].retained == 0)
        refuse(CUDA_ERROR_INVALID_CONTEXT, "the context was released");
    }
    current_context = context;
  });
}

CUresult cuCtxEnablePeerAccess(CUcontext peer, unsigned flags) {
  return call("cuCtxEnablePeerAccess", kInContext, [&](Driver& d, Lock&) {
    const int card = require_context().card;
    if (!peer || peer->card == card || flags != 0)
      refuse(CUDA_ERROR_INVALID_VALUE, "the peer must be another card, flags 0");
    if (getenv("TRIREME_FAKE_NO_PEERS"))
      refuse(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED, "TRIREME_FAKE_NO_PEERS is set");
    if (!d.cards[static_cast<size_t>(card)].peers.insert(peer->card).second)
      refuse(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, "peer access is enabled already");
  });
}

// All functions that the program asks for: one that is missing is told when this is linked.
#define TRIREME_ADDRESS(function) reinterpret_cast<void (*)()>(&function),
extern void (*const trireme_fake_functions[])();
void (*const trireme_fake_functions[])() = {TRIREME_DRIVER_FUNCTIONS(TRIREME_ADDRESS)};
#undef TRIREME_ADDRESS

#pragma GCC visibility pop
}  // extern "C"

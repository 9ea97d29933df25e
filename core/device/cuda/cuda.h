// NVIDIA GPUs as devices: what the rest of Trireme sees of them. No vendor header is needed here.
//
// Trireme is not linked with any CUDA library: the driver, cuBLASLt, cuDNN and NVRTC are opened
// when a GPU is first asked for, so that one program runs with and without GPUs. A build without
// the toolkit (-DTRIREME_CUDA=OFF, or none found) has these functions too; they say so.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/device/device.h"

namespace trireme {

class KernelTable;

// A card as the driver lists it, in the order of CUDA_VISIBLE_DEVICES.
struct CudaCard {
  int index = 0;
  std::string name;  // "NVIDIA H200"
  int64_t memory_bytes = 0, free_bytes = 0;
  int compute_capability = 0;  // 90 for 9.0
  int processors = 0;          // streaming multiprocessors
};

struct CudaOptions {
  int count = 0;  // cards to use; 0: all from the first on
  // The first of them, round about: process i of a host takes one card by {.count = 1, .first = i}.
  int first = 0;
  // Virtual GPUs on each card: /device:GPU:0 … share its memory and its processors.
  int virtual_per_card = 1;
  int64_t memory_limit_mib = 0;  // of each GPU; 0: what is free
  // True: memory is taken as it is needed. False: all of the limit at the start, as one block.
  bool memory_growth = true;
};

// Why there is no usable GPU, as one line that names the driver, the card or the build and what to
// do; empty when there is one. Does not throw.
std::string cuda_problem();
// All cards. Throws Error{kInvalidArgument} with cuda_problem() when that is not empty.
std::vector<CudaCard> cuda_cards();

// "/device:GPU:0" … with kernels of kind "cuda". Throws Error{kInvalidArgument} with
// cuda_problem(); when fewer cards are there than asked for; when a card is older than what the
// build has kernels for.
std::vector<std::unique_ptr<Device>> make_cuda_devices(const CudaOptions& options);

// Adds the kernels of kind "cuda"; nothing in a build without CUDA. Opens no library.
void register_cuda_kernels(KernelTable& table);

// For what follows. REQUIRES: the device, or the stream's device, came from make_cuda_devices().
// The card that a device is on.
int cuda_card_of(const Device& device);
// Makes the card of `device` the calling thread's current one.
void make_cuda_current(const Device& device);
// The same for one card however the process numbers its cards: its UUID.
std::string cuda_card_identity(const Device& device);
// True when everything that was enqueued on the stream is done. Throws what the work died of.
bool cuda_stream_idle(Stream& stream);
// Enqueues a call of function(argument) on a thread of the driver. It must not throw, nor call
// CUDA.
void cuda_call_host(Stream& stream, void (*function)(void*) noexcept, void* argument);

}  // namespace trireme

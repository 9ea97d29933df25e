// The device, streams and events of one GPU. Private to core/device/cuda; kernels get at what they
// need through cuda_stream(args).
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <string>

#include "core/device/cuda/libraries.h"
#include "core/device/device.h"
#include "core/device/kernel_spec.h"

namespace trireme::cuda {

class CudaDevice;
class PrimaryContext;

class CudaEvent : public Event {
 public:
  explicit CudaEvent(CudaDevice& device);
  ~CudaEvent() override;
  void wait_on_host() override;
  CUevent raw() const { return event_; }

 private:
  friend class CudaStream;
  CudaDevice& device_;
  CUevent event_ = nullptr;
  std::exception_ptr error_;  // that the recording stream had
};

// launch() calls the kernel's run(), which enqueues; nothing here waits for the GPU except
// synchronize(). Of an error that a kernel found in its data (Fault), synchronize() tells.
// Copies from and to pageable host memory make the issuer wait; those of allocate_staging() do not.
class CudaStream : public Stream {
 public:
  CudaStream(CudaDevice& device, std::string name, int priority);
  ~CudaStream() override;

  void launch(const PreparedKernel& kernel, const KernelArgs& args) override;
  void copy(void* to, const void* from, size_t bytes, CopyKind kind) override;
  void record(Event& event) override;
  void wait(Event& event) override;  // an event of a host stream blocks the issuing thread
  void synchronize() override;
  void begin_recording() override;
  std::unique_ptr<Recording> end_recording() override;
  void replay(const Recording& recording) override;

  CUstream raw() const { return stream_; }
  CudaDevice& device() const { return device_; }
  // Handles for work on this stream, made at the first call. cuDNN's is bound to the stream.
  cublasLtHandle_t cublas_lt();
  cudnnHandle_t cudnn();

 private:
  template <typename Work>
  void guarded(Work work);

  CudaDevice& device_;
  std::string name_;
  CUstream stream_ = nullptr;
  cublasLtHandle_t cublas_lt_ = nullptr;
  cudnnHandle_t cudnn_ = nullptr;
  std::exception_ptr error_;
};

// What a kernel tells of an input that it must not use, such as a row number out of range: written
// by the first thread that meets one, in host memory that the card sees, and turned into an Error
// by the stream's next synchronize(). Layout is shared with kernels/portable.cuh.
struct Fault {
  uint32_t site = 0;  // 0: none; else as CudaDevice::fault_site() gave it
  uint32_t reserved = 0;
  int64_t position = 0, value = 0, limit = 0;
};

class CudaDevice : public Device {
 public:
  CudaDevice(std::string name, int card, int64_t memory_limit_bytes, bool memory_growth);
  ~CudaDevice() override;

  bool can_record() const override { return true; }
  bool fuses_elementwise() const override { return true; }
  // Device memory. Throws Error{kResourceExhausted}: who asked for how much, what is in use, the
  // limit, what to do.
  std::shared_ptr<Buffer> allocate(size_t bytes) override;
  std::shared_ptr<Buffer> allocate_staging(size_t bytes) override;  // page-locked
  MemoryUse memory_use() const override;
  Stream& stream(int index) override;
  Stream* transfer_stream() override;
  std::unique_ptr<Event> make_event() override;

  int card() const { return card_; }
  int compute_capability() const { return compute_capability_; }
  int processors() const { return processors_; }
  void make_current() const;  // for the calling thread
  const PrimaryContext& context() const;

  // A number for `message` ("Gather 'embedding/rows': index {value} at position {position} is not
  // in [0, {limit})"), for a kernel to put into its Fault. Called when a kernel is prepared.
  uint32_t fault_site(std::string message);
  Fault* fault() const { return fault_; }  // as the card addresses it
  // Throws the Error of a fault that has happened, once.
  void check_fault();

 private:
  struct State;  // streams, memory, messages
  int card_, compute_capability_ = 0, processors_ = 0;
  Fault* fault_ = nullptr;
  std::unique_ptr<State> state_;
};

// The stream that a kernel of kind "cuda" was launched on, and where a kernel is being prepared.
inline CudaStream& cuda_stream(const KernelArgs& args) {
  return static_cast<CudaStream&>(*args.stream);
}
inline CudaDevice& cuda_device(const KernelSpec& spec) {
  return static_cast<CudaDevice&>(*spec.device);
}

}  // namespace trireme::cuda

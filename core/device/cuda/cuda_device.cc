#include "core/device/cuda/cuda_device.h"

#include <utility>

#include "core/base/error.h"
#include "core/device/cuda/memory.h"

namespace trireme::cuda {
namespace {

CUdeviceptr pointer(const void* address) { return reinterpret_cast<CUdeviceptr>(address); }

class CudaRecording : public Recording {
 public:
  CudaRecording(CudaDevice& device, CUgraphExec graph) : device_(device), graph_(graph) {}
  ~CudaRecording() override {
    if (driver().cuCtxSetCurrent(device_.context().raw()) == CUDA_SUCCESS) {
      driver().cuGraphExecDestroy(graph_);
    }
  }
  CUgraphExec raw() const { return graph_; }

 private:
  CudaDevice& device_;
  CUgraphExec graph_;
};

}  // namespace

CudaEvent::CudaEvent(CudaDevice& device) : device_(device) {
  device_.make_current();
  check(driver().cuEventCreate(&event_, CU_EVENT_DISABLE_TIMING), "cuEventCreate");
}

CudaEvent::~CudaEvent() {
  if (driver().cuCtxSetCurrent(device_.context().raw()) == CUDA_SUCCESS) {
    driver().cuEventDestroy(event_);
  }
}

void CudaEvent::wait_on_host() {
  device_.make_current();
  check(driver().cuEventSynchronize(event_), "waiting for work on " + device_.name());
  if (error_) std::rethrow_exception(error_);
}

CudaStream::CudaStream(CudaDevice& device, std::string name, int priority)
    : device_(device), name_(std::move(name)) {
  device_.make_current();
  check(driver().cuStreamCreateWithPriority(&stream_, CU_STREAM_NON_BLOCKING, priority),
        "cuStreamCreateWithPriority for " + name_);
}

CudaStream::~CudaStream() {
  if (driver().cuCtxSetCurrent(device_.context().raw()) != CUDA_SUCCESS) return;
  driver().cuStreamSynchronize(stream_);
  if (cudnn_ != nullptr) trireme::cuda::cudnn().cudnnDestroy(cudnn_);
  if (cublas_lt_ != nullptr) trireme::cuda::cublas_lt().cublasLtDestroy(cublas_lt_);
  driver().cuStreamDestroy(stream_);
}

// Runs `work` unless this stream has failed; keeps what it throws.
template <typename Work>
void CudaStream::guarded(Work work) {
  if (error_) return;
  try {
    device_.make_current();
    work();
  } catch (...) {
    error_ = std::current_exception();
  }
}

void CudaStream::launch(const PreparedKernel& kernel, const KernelArgs& args) {
  guarded([&] {
    KernelArgs here = args;
    here.stream = this;
    kernel.run(here);
  });
}

void CudaStream::copy(void* to, const void* from, size_t bytes, CopyKind kind) {
  if (bytes == 0) return;
  guarded([&] {
    switch (kind) {
      case CopyKind::kHostToDevice:
        return check(driver().cuMemcpyHtoDAsync(pointer(to), from, bytes, stream_), "copy to card");
      case CopyKind::kDeviceToHost:
        return check(driver().cuMemcpyDtoHAsync(to, pointer(from), bytes, stream_),
                     "copy from card");
      case CopyKind::kDeviceToDevice:
        const CUcontext target = context_of(to), source = context_of(from);
        if (target == source || target == nullptr || source == nullptr) {
          check(driver().cuMemcpyDtoDAsync(pointer(to), pointer(from), bytes, stream_),
                "copy on card");
        } else {
          check(driver().cuMemcpyPeerAsync(pointer(to), target, pointer(from), source, bytes,
                                           stream_),
                "copy between cards");
        }
    }
  });
}

// An event of a stream that failed is recorded too: whoever waits for it learns the error and does
// not hang.
void CudaStream::record(Event& event) {
  auto& cuda_event = dynamic_cast<CudaEvent&>(event);
  cuda_event.error_ = error_;
  if (error_) return;
  guarded([&] { check(driver().cuEventRecord(cuda_event.raw(), stream_), "cuEventRecord"); });
  cuda_event.error_ = error_;
}

void CudaStream::wait(Event& event) {
  guarded([&] {
    auto* cuda_event = dynamic_cast<CudaEvent*>(&event);
    if (cuda_event == nullptr) return event.wait_on_host();
    if (cuda_event->error_) std::rethrow_exception(cuda_event->error_);
    check(driver().cuStreamWaitEvent(stream_, cuda_event->raw(), CU_EVENT_WAIT_DEFAULT),
          "cuStreamWaitEvent");
  });
}

void CudaStream::synchronize() {
  device_.make_current();
  const CUresult result = driver().cuStreamSynchronize(stream_);
  const std::exception_ptr first = std::exchange(error_, nullptr);
  if (first) std::rethrow_exception(first);
  check(result, str_cat("work on ", name_, " failed"));
  device_.check_fault();
}

void CudaStream::begin_recording() {
  guarded([&] {
    // Other threads may allocate meanwhile: the data pipeline does.
    check(driver().cuStreamBeginCapture(stream_, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
          "cuStreamBeginCapture for " + name_);
  });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

std::unique_ptr<Recording> CudaStream::end_recording() {
  device_.make_current();
  CUgraph graph = nullptr;
  const CUresult result = driver().cuStreamEndCapture(stream_, &graph);
  const std::exception_ptr first = std::exchange(error_, nullptr);
  const auto destroy = [](CUgraph g) { driver().cuGraphDestroy(g); };
  const std::unique_ptr<std::remove_pointer_t<CUgraph>, decltype(destroy)> owner(graph, destroy);
  if (first) std::rethrow_exception(first);
  check(result, "cuStreamEndCapture for " + name_);
  CUgraphExec executable = nullptr;
  check(driver().cuGraphInstantiate(&executable, graph, 0), "cuGraphInstantiate for " + name_);
  auto recording = std::make_unique<CudaRecording>(device_, executable);
  check(driver().cuGraphUpload(executable, stream_), "cuGraphUpload for " + name_);
  return recording;
}

void CudaStream::replay(const Recording& recording) {
  guarded([&] {
    check(driver().cuGraphLaunch(dynamic_cast<const CudaRecording&>(recording).raw(), stream_),
          "cuGraphLaunch");
  });
}

cublasLtHandle_t CudaStream::cublas_lt() {
  if (cublas_lt_ == nullptr) {
    check(trireme::cuda::cublas_lt().cublasLtCreate(&cublas_lt_), "cublasLtCreate for " + name_);
  }
  return cublas_lt_;
}

cudnnHandle_t CudaStream::cudnn() {
  if (cudnn_ == nullptr) {
    check(trireme::cuda::cudnn().cudnnCreate(&cudnn_), "cudnnCreate for " + name_);
    check(trireme::cuda::cudnn().cudnnSetStream(cudnn_, stream_), "cudnnSetStream for " + name_);
  }
  return cudnn_;
}

struct CudaDevice::State {
  State(CudaDevice& device, int card, size_t limit_bytes, bool growing)
      : context(std::make_shared<PrimaryContext>(card)),
        pool(std::make_shared<MemoryPool>(context, device.name(), limit_bytes, growing)) {}
  ~State() {
    if (host_fault == nullptr) return;
    if (driver().cuCtxSetCurrent(context->raw()) == CUDA_SUCCESS) {
      driver().cuMemFreeHost(host_fault);
    }
  }

  std::shared_ptr<PrimaryContext> context;
  std::shared_ptr<MemoryPool> pool;
  Fault* host_fault = nullptr;
  Mutex mutex;
  std::vector<std::string> messages GUARDED_BY(mutex);  // of fault site i + 1
  std::unique_ptr<CudaStream> compute, communication, transfer;
};

CudaDevice::CudaDevice(std::string name, int card, int64_t memory_limit_bytes, bool memory_growth)
    : Device(std::move(name), "cuda", false), card_(card) {
  state_ =
      std::make_unique<State>(*this, card, static_cast<size_t>(memory_limit_bytes), memory_growth);
  const CUdevice device = state_->context->device();
  int major = 0, minor = 0;
  const auto attribute = [&](int* value, CUdevice_attribute which) {
    check(driver().cuDeviceGetAttribute(value, which, device), "cuDeviceGetAttribute");
  };
  attribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  attribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  attribute(&processors_, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  compute_capability_ = 10 * major + minor;
  make_current();
  void* fault = nullptr;
  check(driver().cuMemHostAlloc(&fault, sizeof(Fault),
                                CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP),
        "cuMemHostAlloc for " + this->name());
  state_->host_fault = new (fault) Fault;
  CUdeviceptr mapped = 0;
  check(driver().cuMemHostGetDevicePointer(&mapped, fault, 0), "cuMemHostGetDevicePointer");
  fault_ = reinterpret_cast<Fault*>(mapped);
  state_->compute = std::make_unique<CudaStream>(*this, this->name() + " (compute)", 0);
  // A collective that starts early ends the wait of the other ranks.
  state_->communication =
      std::make_unique<CudaStream>(*this, this->name() + " (communication)", -1);
  state_->transfer = std::make_unique<CudaStream>(*this, this->name() + " (transfer)", 0);
}

CudaDevice::~CudaDevice() {
  state_->transfer.reset();
  state_->communication.reset();
  state_->compute.reset();
}

std::shared_ptr<Buffer> CudaDevice::allocate(size_t bytes) {
  return allocate_from(state_->pool, bytes);
}
std::shared_ptr<Buffer> CudaDevice::allocate_staging(size_t bytes) {
  return allocate_pinned(state_->context, bytes);
}
MemoryUse CudaDevice::memory_use() const { return state_->pool->use(); }

Stream& CudaDevice::stream(int index) {
  return index == kComputeStream ? *state_->compute : *state_->communication;
}
Stream* CudaDevice::transfer_stream() { return state_->transfer.get(); }
std::unique_ptr<Event> CudaDevice::make_event() { return std::make_unique<CudaEvent>(*this); }

void CudaDevice::make_current() const { state_->context->make_current(); }
const PrimaryContext& CudaDevice::context() const { return *state_->context; }

uint32_t CudaDevice::fault_site(std::string message) {
  MutexLock lock(state_->mutex);
  auto& messages = state_->messages;
  for (size_t i = 0; i < messages.size(); ++i) {  // plans of other shapes say the same
    if (messages[i] == message) return static_cast<uint32_t>(i + 1);
  }
  messages.push_back(std::move(message));
  return static_cast<uint32_t>(messages.size());
}

void CudaDevice::check_fault() {
  volatile Fault& shared = *state_->host_fault;
  const uint32_t site = shared.site;
  if (site == 0) return;
  const int64_t position = shared.position, value = shared.value, limit = shared.limit;
  shared.site = 0;
  std::string message;
  {
    MutexLock lock(state_->mutex);
    message = state_->messages.at(site - 1);
  }
  const auto fill_in = [&](std::string_view key, int64_t number) {
    if (const size_t at = message.find(key); at != std::string::npos) {
      message.replace(at, key.size(), std::to_string(number));
    }
  };
  fill_in("{position}", position);
  fill_in("{value}", value);
  fill_in("{limit}", limit);
  throw invalid_argument(message);
}

}  // namespace trireme::cuda

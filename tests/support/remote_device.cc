#include "tests/support/remote_device.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <map>

#include "core/base/error.h"
#include "core/device/task_stream.h"

namespace trireme::testing {
namespace {

// One stretch of memory, mapped twice: without access for the host, and readable and writable for
// the streams.
class RemoteMemory {
 public:
  RemoteMemory() {
    const int fd = memfd_create("remote-device", MFD_CLOEXEC);
    TRIREME_CHECK(fd >= 0 && ftruncate(fd, kBytes) == 0);
    guarded_ = map(fd, PROT_NONE);
    real_ = map(fd, PROT_READ | PROT_WRITE);
    close(fd);
    free_[0] = kBytes;
  }
  ~RemoteMemory() {
    munmap(guarded_, kBytes);
    munmap(real_, kBytes);
  }

  char* allocate(size_t bytes) {
    const size_t rounded = (bytes / kAlignment + 1) * kAlignment;
    MutexLock lock(mutex_);
    for (auto it = free_.begin(); it != free_.end(); ++it) {
      const auto [offset, size] = *it;
      if (size < rounded) continue;
      free_.erase(it);
      if (size > rounded) free_[offset + rounded] = size - rounded;
      used_[offset] = rounded;
      return guarded_ + offset;
    }
    throw Error(ErrorCode::kResourceExhausted,
                str_cat("remote device: no room for ", bytes, " bytes"));
  }
  void release(void* address) {
    MutexLock lock(mutex_);
    const auto offset = static_cast<size_t>(static_cast<char*>(address) - guarded_);
    free_[offset] = used_.at(offset);
    used_.erase(offset);
    for (auto it = free_.begin(); std::next(it) != free_.end();) {
      auto next = std::next(it);
      if (it->first + it->second == next->first) {
        it->second += next->second;
        free_.erase(next);
      } else {
        it = next;
      }
    }
  }

  // REQUIRES: a device address. Called on the streams' threads only.
  void* to_real(const void* address) const {
    if (address == nullptr) return nullptr;
    const auto offset = static_cast<const char*>(address) - guarded_;
    TRIREME_CHECK(offset >= 0 && offset < static_cast<int64_t>(kBytes),
                  "a kernel of the remote device was given an address of the host");
    return real_ + offset;
  }

 private:
  static constexpr size_t kBytes = size_t{1} << 30;
  static char* map(int fd, int protection) {
    void* address = mmap(nullptr, kBytes, protection, MAP_SHARED | MAP_NORESERVE, fd, 0);
    TRIREME_CHECK(address != MAP_FAILED);
    return static_cast<char*>(address);
  }

  char* guarded_ = nullptr;
  char* real_ = nullptr;
  Mutex mutex_;
  std::map<size_t, size_t> free_ GUARDED_BY(mutex_), used_ GUARDED_BY(mutex_);  // offset → bytes
};

class RemoteBuffer : public Buffer {
 public:
  RemoteBuffer(std::shared_ptr<RemoteMemory> memory, size_t bytes)
      : Buffer(memory->allocate(bytes), bytes, false), memory_(std::move(memory)) {}
  ~RemoteBuffer() override { memory_->release(data()); }

 private:
  std::shared_ptr<RemoteMemory> memory_;
};

class RemoteStream : public TaskStream {
 public:
  RemoteStream(std::string name, std::shared_ptr<RemoteMemory> memory)
      : TaskStream(name), memory_(std::move(memory)) {}
  ~RemoteStream() override { stop(); }

 protected:
  void run_kernel(const PreparedKernel& kernel, const KernelArgs& args) override {
    kernel.run(translate(args));
  }
  void run_copy(void* to, const void* from, size_t bytes, CopyKind kind) override {
    if (bytes == 0) return;  // addresses of nothing may be null
    std::memcpy(kind == CopyKind::kDeviceToHost ? to : memory_->to_real(to),
                kind == CopyKind::kHostToDevice ? from : memory_->to_real(from), bytes);
  }

 private:
  KernelArgs translate(const KernelArgs& args) {
    for (int i = 0; i < args.input_count; ++i)
      inputs_.at(static_cast<size_t>(i)) = memory_->to_real(args.inputs[i]);
    for (int i = 0; i < args.output_count; ++i)
      outputs_.at(static_cast<size_t>(i)) = memory_->to_real(args.outputs[i]);
    KernelArgs translated = args;
    translated.inputs = inputs_.data();
    translated.outputs = outputs_.data();
    translated.scratch = memory_->to_real(args.scratch);
    return translated;
  }

  std::shared_ptr<RemoteMemory> memory_;
  std::array<void*, 1024> inputs_{}, outputs_{};
};

class RemoteDevice : public Device {
 public:
  explicit RemoteDevice(int index)
      : Device(str_cat("/device:REMOTE:", index), "remote", false),
        memory_(std::make_shared<RemoteMemory>()),
        compute_("remote compute", memory_),
        communication_("remote network", memory_) {}

  std::shared_ptr<Buffer> allocate(size_t bytes) override {
    return std::make_shared<RemoteBuffer>(memory_, bytes);
  }
  Stream& stream(int index) override { return index == kComputeStream ? compute_ : communication_; }
  std::unique_ptr<Event> make_event() override { return std::make_unique<HostEvent>(); }

 private:
  std::shared_ptr<RemoteMemory> memory_;
  RemoteStream compute_, communication_;
};

}  // namespace

std::unique_ptr<Device> make_remote_device(int index) {
  return std::make_unique<RemoteDevice>(index);
}

}  // namespace trireme::testing

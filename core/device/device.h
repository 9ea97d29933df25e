// Devices, their streams and events.
//
// A Device owns its memory and two streams. Work on one stream runs in the order in which it was
// issued; streams run side by side and are ordered only by events. This is the model of a GPU, and
// everything in the runtime is written to it: on the CPU, stream 0 simply runs on the thread that
// issues.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor/tensor.h"

namespace trireme {

struct KernelArgs;
struct PreparedKernel;

inline constexpr int kComputeStream = 0;
inline constexpr int kCommunicationStream = 1;
inline constexpr int kStreamsPerDevice = 2;

// Of a device with its own memory, in bytes: for tests and benchmarks. All 0 on the host.
struct MemoryUse {
  size_t in_use = 0, peak = 0;     // what was handed out
  size_t reserved = 0, limit = 0;  // what is held of the card, and how much may be
  int64_t allocations = 0;         // how often somebody asked
};

// A point in a stream that others can wait for. It can be recorded again and again.
class Event {
 public:
  virtual ~Event() = default;
  // Blocks the calling thread until the latest record() has been reached. Throws the error that the
  // recording stream had by then.
  virtual void wait_on_host() = 0;
};

enum class CopyKind { kHostToDevice, kDeviceToHost, kDeviceToDevice };

// Work that was issued once while a stream recorded, to be issued again by one call. Addresses are
// those of the recording. Outlives no device that takes part.
class Recording {
 public:
  virtual ~Recording() = default;
};

// One thread at a time issues work. Nothing here allocates, except around a recording.
// The first error of a stream is kept, what follows it is skipped, and synchronize() rethrows it
// once. A stream that waits for an event of a failed stream fails with the same error: nothing is
// computed from what was never made.
class Stream {
 public:
  virtual ~Stream() = default;
  // `kernel` and `args`, with the arrays it points to, must live until the work is done.
  virtual void launch(const PreparedKernel& kernel, const KernelArgs& args) = 0;
  virtual void copy(void* to, const void* from, size_t bytes, CopyKind kind) = 0;
  virtual void record(Event& event) = 0;
  virtual void wait(Event& event) = 0;
  virtual void synchronize() = 0;

  // A device whose can_record() is true keeps what is issued between begin_recording() and
  // end_recording() instead of running it: on this stream, and on each stream that has waited for
  // an event of this recording and whose work this stream has waited for before the end. Only
  // kernels that enqueue and copies between devices may be issued meanwhile, and nothing may be
  // synchronised.
  virtual void begin_recording();
  virtual std::unique_ptr<Recording> end_recording();
  virtual void replay(const Recording& recording);
};

class Device {
 public:
  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const std::string& name() const { return name_; }  // as TensorFlow names it: "/device:CPU:0"
  const std::string& kernel_kind() const { return kernel_kind_; }  // whose kernels it runs: "cpu"
  // True when kernels and the host use the same addresses, so that fed tensors need no copy.
  bool host_memory() const { return host_memory_; }

  virtual bool can_record() const { return false; }
  // Several elementwise ops can be one kernel there (core/passes/fuse_elementwise.h).
  virtual bool fuses_elementwise() const { return false; }

  virtual std::shared_ptr<Buffer> allocate(size_t bytes) = 0;
  // Host memory from and to which this device's streams copy without making the issuer wait.
  virtual std::shared_ptr<Buffer> allocate_staging(size_t bytes) { return allocate_host(bytes); }
  virtual MemoryUse memory_use() const { return {}; }
  // A third stream, for what is copied beside the work of a plan; null where there is none.
  virtual Stream* transfer_stream() { return nullptr; }
  virtual Stream& stream(int index) = 0;  // kComputeStream or kCommunicationStream
  virtual std::unique_ptr<Event> make_event() = 0;

  // Blocking copies, for what is not part of a plan: variables in and out. Sizes and dtypes must be
  // equal.
  void copy_from_host(Tensor& to, const Tensor& from);
  Tensor copy_to_host(const Tensor& from);

 protected:
  Device(std::string name, std::string kernel_kind, bool host_memory)
      : name_(std::move(name)), kernel_kind_(std::move(kernel_kind)), host_memory_(host_memory) {}

 private:
  std::string name_, kernel_kind_;
  bool host_memory_;
};

// Memory of `device`. An Error{kResourceExhausted} begins with `what` it was for.
std::shared_ptr<Buffer> allocate_for(Device& device, size_t bytes, std::string_view what);

// Devices on which the host computes: kernels of kind "cpu", or of kind "reference". Several CPU
// devices are virtual ones: separate memory and streams, the same pool of compute threads.
std::unique_ptr<Device> make_host_device(std::string name, std::string kernel_kind);

// The devices of one process, in the order in which they are listed. Owned by the session that uses
// them.
class DeviceSet {
 public:
  void add(std::unique_ptr<Device> device);
  // Throws Error{kNotFound} listing what exists.
  Device& find(std::string_view name) const;
  const std::vector<std::unique_ptr<Device>>& all() const { return devices_; }
  std::vector<std::string> names() const;

 private:
  std::vector<std::unique_ptr<Device>> devices_;
};

// "/device:CPU:0" … for `count` CPU devices; kind "reference" gives devices named
// "/device:REFERENCE:i".
std::shared_ptr<DeviceSet> make_device_set(std::string_view kind = "cpu", int count = 1);

}  // namespace trireme

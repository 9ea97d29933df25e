#include "core/device/device.h"

#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/device/kernel_spec.h"
#include "core/device/task_stream.h"

namespace trireme {
namespace {

// Stream 0 of a host device: work runs at once, on the thread that issues it.
class InlineStream : public Stream {
 public:
  void launch(const PreparedKernel& kernel, const KernelArgs& args) override {
    if (error_) return;
    try {
      kernel.run(args);
    } catch (...) {
      error_ = std::current_exception();
    }
  }
  void copy(void* to, const void* from, size_t bytes, CopyKind) override {
    if (!error_ && bytes > 0) std::memcpy(to, from, bytes);
  }
  void record(Event& event) override {
    auto& host_event = dynamic_cast<HostEvent&>(event);
    host_event.complete(host_event.mark_recorded(), error_);
  }
  void wait(Event& event) override {
    try {
      event.wait_on_host();
    } catch (...) {
      if (!error_) error_ = std::current_exception();
    }
  }
  void synchronize() override {
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  std::exception_ptr error_;
};

class HostDevice : public Device {
 public:
  HostDevice(std::string name, std::string kernel_kind)
      : Device(std::move(name), std::move(kernel_kind), true) {}

  std::shared_ptr<Buffer> allocate(size_t bytes) override { return allocate_host(bytes); }
  Stream& stream(int index) override {
    if (index == kComputeStream) return compute_;
    // Its thread is started by the first plan that communicates.
    if (!communication_) communication_ = std::make_unique<TaskStream>("communication");
    return *communication_;
  }
  std::unique_ptr<Event> make_event() override { return std::make_unique<HostEvent>(); }

 private:
  InlineStream compute_;
  std::unique_ptr<TaskStream> communication_;
};

void check_copy(const Tensor& to, const Tensor& from) {
  TRIREME_CHECK(to.type() == from.type(), "copy of ", from.type(), " to ", to.type());
}

}  // namespace

void Stream::begin_recording() { TRIREME_CHECK(false, "this kind of device does not record"); }
std::unique_ptr<Recording> Stream::end_recording() {
  TRIREME_CHECK(false, "this kind of device does not record");
}
void Stream::replay(const Recording&) { TRIREME_CHECK(false, "nothing was recorded"); }

void Device::copy_from_host(Tensor& to, const Tensor& from) {
  check_copy(to, from);
  stream(kComputeStream).copy(to.raw(), from.raw(), from.bytes(), CopyKind::kHostToDevice);
  stream(kComputeStream).synchronize();
}

Tensor Device::copy_to_host(const Tensor& from) {
  Tensor to(from.dtype(), from.shape());
  stream(kComputeStream).copy(to.raw(), from.raw(), from.bytes(), CopyKind::kDeviceToHost);
  stream(kComputeStream).synchronize();
  return to;
}

std::shared_ptr<Buffer> allocate_for(Device& device, size_t bytes, std::string_view what) {
  try {
    return device.allocate(bytes);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kResourceExhausted) throw;
    throw Error(error.code(), str_cat(what, ": ", error.what()));
  }
}

std::unique_ptr<Device> make_host_device(std::string name, std::string kernel_kind) {
  return std::make_unique<HostDevice>(std::move(name), std::move(kernel_kind));
}

void DeviceSet::add(std::unique_ptr<Device> device) { devices_.push_back(std::move(device)); }

Device& DeviceSet::find(std::string_view name) const {
  for (const auto& device : devices_) {
    if (device->name() == name) return *device;
  }
  std::string known;
  for (const auto& device : devices_) known += (known.empty() ? "" : ", ") + device->name();
  throw not_found("there is no device '", name, "'; this process has ", known);
}

std::vector<std::string> DeviceSet::names() const {
  std::vector<std::string> names;
  for (const auto& device : devices_) names.push_back(device->name());
  return names;
}

std::shared_ptr<DeviceSet> make_device_set(std::string_view kind, int count) {
  std::string upper(kind);
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  auto devices = std::make_shared<DeviceSet>();
  for (int i = 0; i < count; ++i) {
    devices->add(make_host_device(str_cat("/device:", upper, ":", i), std::string(kind)));
  }
  return devices;
}

}  // namespace trireme

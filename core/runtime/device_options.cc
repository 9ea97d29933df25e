#include "core/runtime/device_options.h"

#include <algorithm>

#include "core/base/error.h"

namespace trireme {

std::shared_ptr<DeviceSet> make_devices(const DeviceOptions& options) {
  if (options.kind == "cpu" || options.kind == "reference") {
    return make_device_set(options.kind, options.cpu_devices);
  }
  if (options.kind != "gpu") {
    throw invalid_argument("device '", options.kind, "': expected cpu, gpu or reference");
  }
  auto devices = std::make_shared<DeviceSet>();
  try {
    for (auto& device : make_cuda_devices(options.gpu)) devices->add(std::move(device));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    throw invalid_argument("--device gpu: ", error.what());
  }
  devices->add(make_host_device("/device:CPU:0", "cpu"));
  return devices;
}

std::vector<std::string> computing_devices(const DeviceSet& devices) {
  const auto is_card = [](const auto& device) { return !device->host_memory(); };
  const bool has_cards = std::ranges::any_of(devices.all(), is_card);
  std::vector<std::string> names;
  for (const auto& device : devices.all()) {
    if (!has_cards || is_card(device)) names.push_back(device->name());
  }
  return names;
}

}  // namespace trireme

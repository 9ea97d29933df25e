#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "core/base/parallel.h"
#include "core/device/device.h"
#include "launcher/commands.h"

namespace trireme {

void add_devices_command(CLI::App& app) {
  auto count = std::make_shared<int>(1);
  CLI::App* command = app.add_subcommand("devices", "List the devices of this machine");
  command->footer("Example:\n  trireme devices --cpu-devices 2");
  command->add_option("--cpu-devices", *count, "Virtual CPU devices")->check(CLI::Range(1, 64));
  command->callback([count] {
    for (const std::string& name : make_device_set("cpu", *count)->names()) {
      std::cout << name << "\t" << compute_threads() << " threads\n";
    }
  });
}

}  // namespace trireme

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "core/base/parallel.h"
#include "core/device/cuda/cuda.h"
#include "launcher/commands.h"

namespace trireme {
namespace {

void list_gpus() {
  if (const std::string problem = cuda_problem(); !problem.empty()) {
    std::cout << "no GPU: " << problem << "\n";
    return;
  }
  for (const CudaCard& card : cuda_cards()) {
    std::cout << "/device:GPU:" << card.index << "\t" << card.name << ", "
              << (card.memory_bytes >> 20) << " MiB (" << (card.free_bytes >> 20)
              << " MiB free), compute capability " << card.compute_capability / 10 << "."
              << card.compute_capability % 10 << ", " << card.processors << " processors\n";
  }
}

}  // namespace

void add_devices_command(CLI::App& app) {
  auto count = std::make_shared<int>(1);
  CLI::App* command =
      app.add_subcommand("devices", "List the devices of this machine, or why there is no GPU");
  command->footer("Example:\n  trireme devices --cpu-devices 2");
  command->add_option("--cpu-devices", *count, "Virtual CPU devices")->check(CLI::Range(1, 64));
  command->callback([count] {
    for (const std::string& name : make_device_set("cpu", *count)->names()) {
      std::cout << name << "\t" << compute_threads() << " threads\n";
    }
    list_gpus();
  });
}

}  // namespace trireme

// The subcommands of `trireme`, one file each. Each adds itself to the program and runs when it was
// asked for.
#pragma once

namespace CLI {
class App;
}

namespace trireme {

void add_train_command(CLI::App& app);
void add_evaluate_command(CLI::App& app);
void add_predict_command(CLI::App& app);
void add_inspect_command(CLI::App& app);
void add_devices_command(CLI::App& app);
void add_bench_command(CLI::App& app);

}  // namespace trireme

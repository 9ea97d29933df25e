// The whole command line of a program that trains with Trireme: `trireme` itself, or one that adds
// ops, layers, data sources … of its own, which job files then name.
//
//   int main(int argc, char** argv) {
//     return trireme::run_command_line(argc, argv, {.ops = add_my_ops,
//                                                   .kernels = add_my_kernels,
//                                                   .components = add_my_components});
//   }
//
// The tasks that `launch` starts, parameter servers too, are this program again.
#pragma once

#include "worker/program_tables.h"

namespace trireme {

// Runs the command that the arguments name, and returns the exit code of the process: 0 done, 1
// failed, 2 bad input or usage, 75 stopped or a peer lost, 130 interrupted by Ctrl-C. Errors are a
// line on standard error. REQUIRES: the main thread, no other yet; called once.
int run_command_line(int argc, char** argv, const ProgramExtension& extension = {});

}  // namespace trireme

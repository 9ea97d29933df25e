// What a program can do by name: ops, kernels, and the components that job files name. Trireme's
// own, and what a program adds to them.
#pragma once

#include <functional>
#include <memory>

namespace trireme {

class JobSchema;
class KernelTable;
class OpTable;
namespace nn {
struct Catalogs;
}

// Read-only once they are made; any thread.
struct ProgramTables {
  std::shared_ptr<const OpTable> ops;  // those of collectives and of parameter servers too
  // Without those that are bound to one task: of collectives, and of rows on parameter servers.
  std::shared_ptr<const KernelTable> kernels;
  std::shared_ptr<const JobSchema> schema;
};

// What a program adds; a function that is null adds nothing. Called once each, after Trireme's own
// are there.
struct ProgramExtension {
  std::function<void(OpTable&)> ops = {};
  std::function<void(KernelTable&)> kernels = {};
  std::function<void(nn::Catalogs&)> components = {};  // layers, losses, data sources, …
};

// Throws Error when two things have one name.
ProgramTables make_program_tables(const ProgramExtension& extension);

// Those of Trireme alone.
const ProgramTables& core_tables();

}  // namespace trireme

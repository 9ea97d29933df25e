#include "worker/program_tables.h"

#include "core/device/kernel.h"
#include "core/nn/catalogs.h"
#include "core/ops/ops.h"
#include "core/runtime/built_in_kernels.h"
#include "distributed/strategy/collective_ops.h"
#include "ps/ops/ps_ops.h"
#include "worker/all_catalogs.h"
#include "worker/job_schema.h"

namespace trireme {

ProgramTables make_program_tables(const ProgramExtension& extension) {
  ProgramTables tables;
  auto ops = std::make_shared<OpTable>();
  register_core_ops(*ops);
  register_collective_ops(*ops);
  ps::register_ps_ops(*ops);
  if (extension.ops) extension.ops(*ops);
  tables.ops = std::move(ops);

  tables.kernels = built_in_kernels();
  if (extension.kernels) {
    auto kernels = std::make_shared<KernelTable>(*tables.kernels);
    extension.kernels(*kernels);
    tables.kernels = std::move(kernels);
  }

  tables.schema = core_job_schema();
  if (extension.components) {
    auto catalogs = std::make_shared<nn::Catalogs>();
    register_all(*catalogs);
    extension.components(*catalogs);
    tables.schema = std::make_shared<const JobSchema>(std::move(catalogs));
  }
  return tables;
}

const ProgramTables& core_tables() {
  static const ProgramTables tables = make_program_tables({});
  return tables;
}

}  // namespace trireme

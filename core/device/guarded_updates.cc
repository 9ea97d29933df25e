#include "core/device/guarded_updates.h"

#include <string>

#include "core/device/kernel.h"
#include "core/device/update_inputs.h"

namespace trireme {
namespace {

PreparedKernel guarded(const KernelSpec& spec, const KernelFactory& update) {
  KernelSpec inner = spec;
  inner.inputs.pop_back();
  PreparedKernel kernel = update(inner);
  kernel.run = [run = std::move(kernel.run),
                guard = static_cast<int>(inner.inputs.size())](const KernelArgs& args) {
    if (*args.in<bool>(guard)) run(args);
  };
  return kernel;
}

void add_guarded(KernelTable& table, std::string_view kind, const std::string& op) {
  for (DType dtype : table.dtypes(op, kind)) {
    table.add(op + "If", kind, dtype, [update = *table.find(op, kind, dtype)](const KernelSpec& s) {
      return guarded(s, update);
    });
  }
}

}  // namespace

void add_guarded_updates(KernelTable& table, std::string_view kind) {
  for_each_dense_update([&]<typename Rule>(const std::string& op, const UpdateLayout&) {
    add_guarded(table, kind, op);
  });
  for_each_optimizer([&]<typename Rule>(const std::string& op, const UpdateLayout&) {
    add_guarded(table, kind, op);
    add_guarded(table, kind, op + "Sparse");
  });
}

}  // namespace trireme

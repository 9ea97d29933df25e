#include "worker/rows_checkpoint.h"

#include <filesystem>

#include "core/base/error.h"
#include "core/io/tensor_bundle.h"
#include "ps/server/snapshot_file.h"

namespace trireme {

namespace fs = std::filesystem;

std::string rows_prefix(const std::string& checkpoint) {
  const fs::path path(checkpoint);
  return (path.parent_path() / "rows" / path.filename()).string();
}

bool has_rows(const std::string& checkpoint) { return fs::exists(rows_prefix(checkpoint) + ".ps"); }

void load_rows(const std::string& checkpoint, ps::LocalStore& store) {
  for (const std::string& part : ps::snapshot_parts(rows_prefix(checkpoint))) {
    const io::BundleReader reader(part);
    for (size_t i = 0; i < store.tables().size(); ++i) {
      const ps::TableSpec& table = store.tables()[i];
      const std::string name = "ps/" + table.name + "/";
      if (!reader.contains(name + "keys")) continue;
      const Tensor keys = reader.read(name + "keys"), weights = reader.read(name + "weights");
      if (weights.type() != TensorType{DType::kFloat32, {keys.elements(), table.dim}}) {
        throw invalid_argument(part, ": \"", table.name, "\": expected rows of ", table.dim,
                               " elements, found ", weights.type(),
                               "; use the job that wrote the checkpoint");
      }
      const auto dim = static_cast<size_t>(table.dim);
      const auto values = weights.flat<float>();
      for (size_t row = 0; row < keys.flat<int64_t>().size(); ++row) {
        store.table(static_cast<int>(i))
            .assign({.key = keys.flat<int64_t>()[row],
                     .weight = values.subspan(row * dim, dim),
                     .slots = {}});
      }
    }
  }
}

}  // namespace trireme

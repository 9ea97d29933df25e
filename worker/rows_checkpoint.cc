#include "worker/rows_checkpoint.h"

#include <filesystem>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/io/tensor_bundle.h"
#include "ps/server/snapshot_file.h"

namespace trireme {

namespace fs = std::filesystem;

namespace {

const std::string kMark = "callback/rows";

}  // namespace

std::string rows_prefix(const std::string& checkpoint) {
  const fs::path path(checkpoint);
  return (path.parent_path() / "rows" / path.filename()).string();
}

bool rows_belong_to(const std::string& checkpoint, const nn::StateMap& variables) {
  if (variables.contains(kMark)) return true;
  const std::string path = ps::snapshot_manifest(rows_prefix(checkpoint));
  if (!fs::exists(path)) return false;
  const io::PartsManifest manifest = io::read_manifest(path);
  log_warning(str_cat(checkpoint, " was saved without parameter servers: the rows in ", path,
                      " are of another training (step ", manifest.step, " of job ", manifest.job,
                      ") and are left alone"));
  return false;
}

void verify_rows(const std::string& checkpoint, const nn::StateMap& variables) {
  if (!rows_belong_to(checkpoint, variables)) return;
  const std::string prefix = rows_prefix(checkpoint);
  const std::string path = ps::snapshot_manifest(prefix);
  const auto save = variables.at(kMark).item<std::string>();
  const int64_t step = nn::load_progress(variables).step;
  if (!fs::exists(path)) {
    throw not_found(
        path, ": expected the rows of step ", step, " that were saved with ", checkpoint, " (save ",
        save,
        "), the file is not there; copy the folder \"rows\" with the checkpoint, or use "
        "another checkpoint");
  }
  const io::PartsManifest manifest = io::read_manifest(path);
  if (manifest.save != save || manifest.step != step) {
    throw data_loss(path, ": expected the rows of step ", step, " that were saved with ",
                    checkpoint, " (save ", save, "), found those of step ", manifest.step,
                    " of job ", manifest.job, " (save ", manifest.save,
                    "); use another checkpoint");
  }
  ps::verify_checkpoint(prefix, step, true);
}

bool is_saved_as(const std::string& prefix, const io::PartsManifest& manifest) {
  try {
    return io::read_manifest(ps::snapshot_manifest(prefix)) == manifest;
  } catch (const Error&) {
    return false;
  }
}

void RowsMark::save(nn::StateMap& state) const {
  const int64_t step = nn::load_progress(state).step;
  const io::PartsManifest saved = saved_();
  if (saved.step == step) {
    state[kMark] = Tensor::scalar<std::string>(saved.save);
  } else if (restored_step_ == step) {
    state[kMark] = Tensor::scalar<std::string>(restored_);
  }
}

void RowsMark::restore(const nn::StateMap& state) {
  const auto found = state.find(kMark);
  if (found == state.end()) return;
  restored_step_ = nn::load_progress(state).step;
  restored_ = found->second.item<std::string>();
}

void load_rows(const std::string& checkpoint, ps::LocalStore& store) {
  const std::string prefix = rows_prefix(checkpoint);
  for (const auto& found : io::read_manifest(ps::snapshot_manifest(prefix)).parts) {
    const std::string part = (fs::path(prefix).parent_path() / found.name).string();
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

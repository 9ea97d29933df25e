// The rows of tables beside a checkpoint: CHECKPOINTS/rows/ckpt-STEP, which parameter servers
// write. The checkpoint's variables say which save of them is theirs, so that rows of another
// checkpoint that lie in their place are not taken for theirs. Private to worker/.
#pragma once

#include <string>

#include "core/io/checkpoint_parts.h"
#include "core/nn/callbacks.h"
#include "ps/ops/local_store.h"

namespace trireme {

// Where the rows of the checkpoint PREFIX lie.
std::string rows_prefix(const std::string& checkpoint);

// Whether rows were saved with a checkpoint whose variables these are. Rows that lie there and were
// not are left alone, with a warning. Throws Error{kDataLoss} for rows of a version of Trireme that
// did not say whose they are.
bool rows_belong_to(const std::string& checkpoint, const nn::StateMap& variables);
// Returns when the checkpoint has no rows, or all of them as they were saved with these variables:
// reads them all. Throws Error{kNotFound} or Error{kDataLoss} that names the part that is missing,
// damaged, or of another step, job or save, and says what was expected and found.
void verify_rows(const std::string& checkpoint, const nn::StateMap& variables);
// Whether the manifest of the rows in `prefix` is this one.
bool is_saved_as(const std::string& prefix, const io::PartsManifest& manifest);

// The weights of all tables of `store`, as they were in the checkpoint. REQUIRES: verify_rows().
// Throws Error{kInvalidArgument} for a table of another length.
void load_rows(const std::string& checkpoint, ps::LocalStore& store);

// Says in a checkpoint's variables which rows are theirs.
class RowsMark : public nn::Callback {
 public:
  // `saved`: what the rows were written with last.
  explicit RowsMark(std::function<io::PartsManifest()> saved) : saved_(std::move(saved)) {}
  void save(nn::StateMap& state) const override;
  // The step that a training goes on from may be saved again, with the rows that are there.
  void restore(const nn::StateMap& state) override;

 private:
  std::function<io::PartsManifest()> saved_;
  int64_t restored_step_ = -1;
  std::string restored_;
};

}  // namespace trireme

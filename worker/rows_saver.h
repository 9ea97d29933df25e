// Saves the rows and slots of all tables beside the checkpoints of a training, and removes them
// with these. Owned by the task; used by its main thread between steps. Private to worker/.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/base/error.h"
#include "core/io/checkpoint.h"
#include "core/io/checkpoint_parts.h"
#include "ps/client/ps_client.h"

namespace trireme {

class RowsSaver {
 public:
  // `folder`: of the checkpoints. `interrupted`: see ServerTrainingOptions; may be null.
  RowsSaver(std::shared_ptr<ps::PsClient> client, std::string folder,
            std::function<std::optional<Error>()> interrupted)
      : client_(std::move(client)),
        folder_(std::move(folder)),
        interrupted_(std::move(interrupted)) {}

  // Those after `step`: in SYNC consistency exactly these, which it waits for. Throws what
  // PsClient::save_checkpoint throws, and what `interrupted` says.
  void save(int64_t step);
  // Removes those of steps that are not among `kept`.
  void forget(std::span<const io::CheckpointInfo> kept) const;
  // Of what save() wrote last; see RowsMark.
  const io::PartsManifest& saved() const { return saved_; }
  // The servers' error that ended a save(); nothing: there was none.
  const std::optional<Error>& fault() const { return fault_; }

 private:
  bool is_sync() const;  // all tables are

  std::shared_ptr<ps::PsClient> client_;
  std::string folder_;
  std::function<std::optional<Error>()> interrupted_;
  io::PartsManifest saved_{.step = -1};  // last
  std::optional<Error> fault_;
};

}  // namespace trireme

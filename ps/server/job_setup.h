// What a job told its servers: a proto::Setup, checked and made handy.
//
// Immutable; any thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ps/table/shard_map.h"
#include "ps/table/table_spec.h"

namespace trireme::ps {

enum class Mode { kSync, kBounded, kAsync };

struct JobSetup {
  // `ops`: as UpdateSpec::ops. Throws Error{kInvalidArgument} saying what cannot be.
  explicit JobSetup(std::string_view serialized_setup,
                    const std::shared_ptr<const OpTable>& ops = nullptr);

  // Throws Error{kInvalidArgument} that says what another worker's setup has otherwise.
  void require_same(std::string_view serialized_setup) const;

  std::string bytes;  // the message
  std::vector<TableSpec> tables;
  ShardMap shards;
  int workers = 1, staleness = 0, backup_workers = 0;
  Mode dense = Mode::kSync, sparse = Mode::kSync;
  std::chrono::milliseconds timeout{0};
  bool any_sync = false;                              // of the tables that there are
  int64_t save_every_steps = 0, steps_per_epoch = 0;  // after which worker 0 saves; 0: never

  Mode mode(int table) const {
    return tables[static_cast<size_t>(table)].is_dense() ? dense : sparse;
  }
  int64_t dim(int table) const { return tables[static_cast<size_t>(table)].dim; }
  // Workers whose pushes a synchronous step needs.
  int required() const { return workers - backup_workers; }
  // Whether a checkpoint of this step is saved.
  bool is_saved(int64_t step) const {
    const auto ends = [step](int64_t steps) { return steps > 0 && step > 0 && step % steps == 0; };
    return ends(save_every_steps) || ends(steps_per_epoch);
  }
};

}  // namespace trireme::ps

// What pulls and pushes do on the shards.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "ps/protocol/buffer_pool.h"
#include "ps/server/gate.h"
#include "ps/server/job_setup.h"
#include "ps/server/push.h"
#include "ps/server/slot_shards.h"

namespace trireme::ps {

// A pull as it came; it may wait for its rows to be new enough.
struct Pull {
  RequestHeader header;
  std::vector<std::shared_ptr<const ResolvedList>> lists;  // of its sections, in order
  std::unique_ptr<Responder> responder;
  ShardSet shards;
};

// Writes the rows straight into the answer. `header`: of the answer.
std::shared_ptr<ShardJob> pull_job(SlotShards& slot, std::shared_ptr<const JobSetup> setup,
                                   std::unique_ptr<Pull> pull, const AnswerHeader& header,
                                   BufferPool& buffers);

// Applies the sections of tables whose mode is not SYNC, in `shards`. Null: there are none.
std::shared_ptr<ShardJob> push_job(SlotShards& slot, std::shared_ptr<const JobSetup> setup,
                                   std::shared_ptr<const Push> push, ShardSet shards, int64_t index,
                                   std::function<void()> finish);

// Adds the contributions to a part of a SYNC step, in their order, and applies the sums.
std::shared_ptr<ShardJob> merge_job(SlotShards& slot, std::shared_ptr<const JobSetup> setup,
                                    std::vector<Contribution> contributions, int64_t index,
                                    std::function<void()> finish);

// What the tables would grow by; `finish` gets the sum.
std::shared_ptr<ShardJob> growth_job(SlotShards& slot, std::shared_ptr<const Push> push,
                                     std::function<void(int64_t)> finish);

}  // namespace trireme::ps

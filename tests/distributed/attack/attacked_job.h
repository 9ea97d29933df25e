// What the attacked server and its rightful clients know of each other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "distributed/cluster/peer.h"
#include "distributed/collective/communicator.h"

namespace trireme::testing {

inline constexpr char kAttackedSecret[] = "only this job's tasks know it";
inline constexpr char kAttackedJob[] = "job";

// Of two; rank 1 dials rank 0 at `address`.
inline Group attacked_group(int64_t generation, int rank, const std::string& address) {
  Group group;
  group.generation = generation;
  group.rank = rank;
  group.job_id = kAttackedJob;
  for (int i = 0; i < 2; ++i) {
    group.peers.push_back({.rank = i,
                           .host = "host" + std::to_string(i),
                           .host_id = "host" + std::to_string(i),
                           .pid = i + 1,
                           .address = i == 0 ? address : "127.0.0.1:1"});
  }
  return group;
}

// Throws Error{kFailed} when the sum is wrong.
inline void add_together(Communicator& communicator) {
  std::vector<int32_t> values(100'000, communicator.rank() + 1);
  communicator.all_reduce({values.data(), static_cast<int64_t>(values.size()), DType::kInt32},
                          ReduceOp::kSum);
  for (const int32_t value : values) {
    if (value != 3) throw failed("expected 3, found ", value);
  }
}

}  // namespace trireme::testing

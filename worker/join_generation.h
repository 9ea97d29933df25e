// How a worker becomes a member of a group's next generation. Private to worker/.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "core/nn/train_state.h"
#include "worker/cluster_runtime.h"
#include "worker/server_training.h"

namespace trireme {

// Returns when all members of the group call it: whether any of them says `yes`. `what` lives on:
// it is in messages about who is late.
bool vote(ClusterRuntime& runtime, int64_t step, const std::string& what, bool yes = false);

struct GenerationJoin {
  ClusterRuntime& runtime;
  ServerTraining* servers;  // null where the job has none
  const std::map<std::string, std::string>& handshake;
  const std::string& resumed;  // the checkpoint that the training goes on from; empty: none
  int64_t step;                // of votes
  int64_t progress;            // steps that this worker has finished
  bool begins;                 // it is its first generation
  // This worker's state, for the others; takes that of the most advanced one.
  std::function<nn::StateMap()> give;
  std::function<void(nn::StateMap)> take;
};

// Becomes a member and has the state of the most advanced one; tries again when a peer is lost
// meanwhile. Throws what ClusterRuntime::join() throws.
void join_generation(const GenerationJoin& join);

}  // namespace trireme

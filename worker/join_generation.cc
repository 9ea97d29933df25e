#include "worker/join_generation.h"

#include <utility>

#include "core/base/error.h"
#include "core/nn/model.h"
#include "worker/lost_peer.h"
#include "worker/share_state.h"

namespace trireme {
namespace {

// All have looked before one changes what they look at. Whoever has survived has not: where there
// is one, nothing is ahead.
void settle_rows(const GenerationJoin& join, const Membership& membership, bool ahead) {
  static const std::string kLook = "the step of the rows", kWhat = "the rows of the checkpoint";
  if (!vote(join.runtime, join.step, kLook, ahead)) return;
  const int restores = membership.progress > 0 ? membership.state_source : 0;
  if (join.runtime.rank() == restores) join.servers->take_back(membership.progress, join.resumed);
  vote(join.runtime, join.step, kWhat);
}

}  // namespace

bool vote(ClusterRuntime& runtime, int64_t step, const std::string& what, bool yes) {
  float said = yes ? 1 : 0;
  runtime.communicator().set_label(what, step);
  runtime.communicator().all_reduce({&said, 1, DType::kFloat32}, ReduceOp::kSum);
  return said > 0;
}

void join_generation(const GenerationJoin& join) {
  ClusterRuntime& runtime = join.runtime;
  while (true) {
    const Membership& membership = runtime.join(join.handshake, join.progress);
    const bool shares = membership.progress > 0;  // else all start from the same seed
    const bool gives = shares && membership.state_source == runtime.rank();
    nn::StateMap state;
    if (gives) state = join.give();
    const bool ahead =
        join.begins && join.servers != nullptr && join.servers->is_ahead_of(membership.progress);
    try {
      if (shares) share_state(runtime.communicator(), membership.state_source, state);
      if (join.servers != nullptr) settle_rows(join, membership, ahead);
    } catch (const Error& error) {
      if (!is_lost_peer(error)) throw;
      runtime.report(error);
      continue;
    }
    if (shares && !gives) join.take(std::move(state));
    return;
  }
}

}  // namespace trireme

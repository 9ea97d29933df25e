#include "worker/server_group.h"

#include "core/base/error.h"
#include "worker/lost_peer.h"

namespace trireme {

Error servers_not_whole(const Error& error) {
  return {error.code(), str_cat(error.what(),
                                "; what the servers have is not whole, so nothing is "
                                "saved: go on from the last checkpoint with --resume")};
}

data::Dataset ServerGroup::validation_batches() const {
  return servers_.noting_progress(TaskGroup::validation_batches());
}

bool ServerGroup::leave_epoch(nn::Training& training, bool stopping, nn::RunningMeans& sums) {
  epoch_ = training.epoch();
  const bool any = servers_.add_up(str_cat("training of epoch ", epoch_ + 1), sums, stopping);
  training.changed();
  return any;
}

bool ServerGroup::reduce_validation(nn::RunningMeans& means, bool interrupted) {
  return servers_.add_up(str_cat("validation of epoch ", epoch_ + 1), means, interrupted);
}

// Who is started again goes on behind its last push. Else the step that the others wait for is on
// no server, and half of it is no state to save.
bool ServerGroup::can_recover_from(const Error& error) const {
  return !restarts_ && is_lost_peer(error);
}

nn::FitData ServerGroup::recover(nn::Training& /*training*/, const Error& error) {
  throw servers_not_whole(error);
}

}  // namespace trireme

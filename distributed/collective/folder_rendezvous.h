// Forms a group through files in a folder that all its ranks see: for benches and tests, which have
// no coordinator.
#pragma once

#include <chrono>
#include <string>

#include "distributed/cluster/peer.h"
#include "distributed/collective/make_communicator.h"

namespace trireme {

// Leaves word of this rank in `folder`, which is new and named alike on every rank, and returns
// when all `size` ranks have. The group is generation 1 of the job named by the folder. `host_id`:
// in place of the endpoint's, when not empty. Throws Error{kDeadlineExceeded} naming the ranks that
// did not come.
Group meet_in_folder(const std::string& folder, int rank, int size,
                     const CollectiveEndpoint& endpoint, std::chrono::milliseconds timeout,
                     const std::string& host_id = "");

}  // namespace trireme

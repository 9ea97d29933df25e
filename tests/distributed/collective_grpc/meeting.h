// Groups over the grpc backend for tests: endpoints in one process, one thread a rank.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "distributed/collective/grpc_endpoint.h"

namespace trireme::testing {

struct Endpoints {
  explicit Endpoints(int n, const std::string& secret = "open sesame");
  // The group that these endpoints form, as its member `rank` sees it.
  Group group(int64_t generation, int rank) const;
  std::vector<std::unique_ptr<CollectiveEndpoint>> all;
  std::string secret;
};

using GroupChange = std::function<void(Group&)>;
using RankBody = std::function<void(Communicator&)>;

// Connects all and runs `body` in a thread for each; what each ended with. `change` is applied to
// each member's view of the group first.
std::vector<std::optional<Error>> run(Endpoints& endpoints, int64_t generation,
                                      const CommunicatorOptions& options, const RankBody& body,
                                      const GroupChange& change = nullptr);

// All-reduces a few numbers and checks the sum; throws Error{kFailed}.
void check_sum(Communicator& communicator);

}  // namespace trireme::testing

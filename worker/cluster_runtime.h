// A task's part in a cluster: the coordinator when it is ours to host, the connection to it, the
// collective endpoint, and the communicators of the generation that is under way.
//
// Owned by the task; used by its main thread. The connection's reading thread ends the
// communicators' waits when the coordinator tells of a loss.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "distributed/cluster/cluster_spec.h"
#include "distributed/coordination/coordinator_client.h"
#include "distributed/strategy/collective_ops.h"

namespace trireme {

class CollectiveEndpoint;
class Device;
class Coordinator;

struct ClusterOptions {
  std::string backend = "auto";
  Device* gpu = nullptr;  // whose memory is reduced; null: the host's
  std::chrono::milliseconds stall_warning{10'000};
  std::chrono::milliseconds collective_timeout{60'000};
  std::chrono::milliseconds join_timeout{120'000};
  int min_workers = 0;
  uint64_t incarnation = 0;
  std::string run = {};  // of a coordinator that is ours to host: the id of this launch
  const std::atomic<bool>* stop = nullptr;  // ends waits for the others with Error{kCancelled}
  std::function<int()> stop_signal = {};    // which signal set it, or stopped the job; 0: none yet
  // Of the task that hosts the coordinator: another task of the job was told to stop.
  std::function<void(int signal)> ask_to_stop = {};
};

// The coordinator of a job, in this task.
std::unique_ptr<Coordinator> host_coordinator(const ClusterSpec& spec,
                                              const ClusterOptions& options);

class ClusterRuntime {
 public:
  // Opens what peers connect to and finds the coordinator; hosts it when the spec says so. Throws
  // Error{kUnavailable} when nobody answers.
  // `slots` gets the communicators of each generation.
  ClusterRuntime(const ClusterSpec& spec, const ClusterOptions& options,
                 std::shared_ptr<CommunicatorSlots> slots);
  ~ClusterRuntime();
  ClusterRuntime(const ClusterRuntime&) = delete;

  // Becomes a member of the next generation; returns when its communicator is connected. Throws
  // what CoordinatorClient::join throws.
  const Membership& join(const std::map<std::string, std::string>& handshake, int64_t progress);
  // Leaves the generation because of `error`, which a collective threw here.
  void report(const Error& error);
  // This task ends because of `error`: tells the others, who get it from what they wait for, and
  // waits a moment until they know. When another task's error ended the generation it waits until
  // that task has gone, so that the cause is seen to be the first. Does not throw.
  void fail(const Error& error) noexcept;
  // Returns when all members have called it. Throws what ended the generation.
  void finish();

  bool was_member() const { return watcher_ != nullptr; }
  const ClusterSpec& spec() const { return spec_; }
  // What the coordinator says now. Throws Error{kUnavailable} when it is gone.
  Greeting greeting() { return client_->hello(); }
  int rank() const { return membership_.group.rank; }
  int workers() const { return membership_.group.size(); }
  const Membership& membership() const { return membership_; }
  // What has ended the generation, while this task has not heard of it from a collective; nothing:
  // it is under way.
  std::optional<Error> fault() const;
  // False while no generation is connected.
  bool connected() const { return !slots_->empty(); }
  // REQUIRES: connected().
  Communicator& communicator() { return slots_->at(0); }
  // What connects the ranks, for people. REQUIRES: connected().
  std::string collectives() const;

  // Says goodbye. Whoever hosts the coordinator waits a moment for the others to do so too.
  void leave();

 private:
  struct Watcher;
  bool connect();

  ClusterSpec spec_;
  ClusterOptions options_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<CollectiveEndpoint> endpoint_;
  std::shared_ptr<CommunicatorSlots> slots_;
  std::shared_ptr<Watcher> watcher_;  // of this generation
  std::unique_ptr<CoordinatorClient> client_;
  Membership membership_;
  std::string gave_up_;  // what was reported last; said when joining again
};

}  // namespace trireme

// A Crowd: thousands of members of one job that speak the coordinator's protocol, in one process.
//
// Each has the two connections of a real member, one for its line and one for other calls, and does
// what a real member does: it says hello, joins, confirms its place, beats, and joins again when
// its generation ends. All share gRPC's few threads and one that beats.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/base/thread_annotations.h"
#include "distributed/cluster/peer.h"

namespace trireme::testing {

class CrowdMember;

class Crowd {
 public:
  using Clock = std::chrono::steady_clock;

  // Members for the ranks 0 to `size` - 1, `per_host` of them on each host. They connect now, and
  // join when start() says so.
  Crowd(std::string address, std::string secret, int size, int per_host);
  ~Crowd();
  Crowd(const Crowd&) = delete;

  void start();
  // The member that wants this rank vanishes with its connections, as a killed process does.
  void kill(int home) EXCLUDES(mutex_);
  // Another task in its place, at another address.
  void replace(int home) EXCLUDES(mutex_);

  // Waits until all that live are members of one generation after `after`. Returns its number; 0
  // when that does not happen in time.
  int64_t wait_for_generation(int64_t after, std::chrono::milliseconds timeout) EXCLUDES(mutex_);

  // What each member was told last, by home; `rank` -1 for one that is dead.
  struct Place {
    int64_t generation = 0;
    int rank = -1;
    int size = 0;
    std::string address;          // its own
    std::vector<int> hosts;       // by rank, as the member was told
    size_t membership_bytes = 0;  // of the message
  };
  Place place(int home) const EXCLUDES(mutex_);
  // As one member asks the coordinator.
  std::vector<Peer> look_up(int home, int64_t generation, const std::vector<int>& ranks);
  // All that live come to a barrier; false when it does not complete for all of them in time.
  bool barrier(const std::string& name, std::chrono::milliseconds timeout);
  std::string first_fault() const EXCLUDES(mutex_);  // what the last generation ended with
  uint64_t bytes_received() const EXCLUDES(mutex_);  // of all orders

 private:
  friend class CrowdMember;
  void beat_all();  // thread
  std::shared_ptr<CrowdMember> make_member(int home, uint64_t incarnation);
  // A member was told its place, or that its generation is over.
  void note_place(int64_t generation) EXCLUDES(mutex_);
  void note_fault(const std::string& message) EXCLUDES(mutex_);
  void note_bytes(size_t bytes) EXCLUDES(mutex_);

  const std::string address_, secret_;
  const int size_, per_host_;
  mutable Mutex mutex_;
  ConditionVariable changed_;
  std::vector<std::shared_ptr<CrowdMember>> members_ GUARDED_BY(mutex_);  // by home; null: dead
  std::vector<std::shared_ptr<CrowdMember>> ended_ GUARDED_BY(mutex_);
  int alive_ GUARDED_BY(mutex_) = 0;
  int64_t newest_ GUARDED_BY(mutex_) = 0;  // generation
  int in_newest_ GUARDED_BY(mutex_) = 0;
  uint64_t next_task_ GUARDED_BY(mutex_) = 1;
  uint64_t bytes_ GUARDED_BY(mutex_) = 0;
  std::string fault_ GUARDED_BY(mutex_);
  bool closing_ GUARDED_BY(mutex_) = false;
  std::thread beating_;
};

}  // namespace trireme::testing

// A Transport over gRPC streams: one peer, kChannels streams.
//
// Messages are cut into segments that go round the streams of a pair, so that the receiver knows
// where the next one comes from. After a fault the other members are told its cause, so that all
// of them name the same rank; then the connections are broken, because only that makes gRPC let go
// of the caller's memory. Its destruction says goodbye: that is no fault at the others.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/thread_annotations.h"
#include "distributed/cluster/peer.h"
#include "distributed/collective/grpc_progress.h"
#include "distributed/collective/grpc_stream.h"
#include "distributed/collective/transport.h"

namespace trireme {

class GrpcTransport final : public Transport {
 public:
  // For each member of the group its connected streams; none for the member itself. `progress`
  // runs their events; what it belongs to is kept by `keep`.
  GrpcTransport(Group group, std::vector<std::vector<std::shared_ptr<GrpcStream>>> streams,
                GrpcProgress* progress, std::shared_ptr<void> keep);
  ~GrpcTransport() override;

  std::string description() const override { return "grpc"; }
  void start_send(int to, const void* data, size_t bytes) override;
  void finish_sends(TimePoint deadline) override;
  void receive(int from, void* data, size_t bytes, TimePoint deadline) override;
  void abort(const Error& cause) override;

 private:
  // The first cause. Shared with the streams, which may outlive the transport.
  struct Fault {
    void set(const Error& cause) EXCLUDES(mutex);
    std::atomic<bool> is_set{false};
    Mutex mutex;
    std::optional<Error> cause GUARDED_BY(mutex);
  };
  struct Link {
    std::vector<std::shared_ptr<GrpcStream>> streams;
    uint64_t sent = 0, received = 0;  // messages
    uint64_t segments_sent = 0, segments_received = 0;
  };

  const Peer& peer(int index) const { return group_.peers[static_cast<size_t>(index)]; }
  GrpcStream& stream(Link& link, uint64_t segment) const {
    return *link.streams[segment % link.streams.size()];
  }
  SegmentHeader header(SegmentKind kind) const;
  // Throws the fault, after the other members know it and gRPC has let go of all memory.
  [[noreturn]] void give_up();
  // Sets the fault to a deadline that passed while waiting for `from`, or for whom it waits.
  void blame(int from);
  // Sends `last` on each stream, waits for the answers until then, and ends the streams.
  void close(const SegmentHeader& last, const std::string& text, TimePoint until);

  const Group group_;
  const std::shared_ptr<void> keep_;
  GrpcProgress* const progress_;
  const std::shared_ptr<Fault> fault_ = std::make_shared<Fault>();
  const GrpcBorrowed borrowed_ = std::make_shared<std::atomic<int>>(0);
  const std::shared_ptr<std::atomic<int>> waiting_for_ = std::make_shared<std::atomic<int>>(-1);
  std::vector<Link> links_;  // by member
  int silent_ = -1;          // the member that did not answer at the deadline
  bool closed_ = false;
};

}  // namespace trireme

// A Transport over gRPC streams: to each peer that is needed, kChannels streams.
//
// A peer is met when something is first sent to it or expected of it; what is sent before that
// waits here. Messages are cut into segments that go round the streams of a pair, so that the
// receiver knows where the next one comes from. After a fault the other members are told its cause,
// each by those that it knows, so that all of them name the same rank; then the connections are
// broken, because only that makes gRPC let go of the caller's memory. Its destruction says goodbye:
// that is no fault at the others.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/thread_annotations.h"
#include "distributed/collective/communicator.h"
#include "distributed/collective/grpc_progress.h"
#include "distributed/collective/grpc_rendezvous.h"
#include "distributed/collective/segment_stream.h"
#include "distributed/collective/transport.h"

namespace trireme {

class GrpcTransport final : public Transport {
 public:
  // `progress` runs the events of the streams that `meeting` makes.
  GrpcTransport(std::unique_ptr<GrpcRendezvous> meeting, GrpcProgress* progress);
  ~GrpcTransport() override;

  // Meets all members now. Throws Error{kDeadlineExceeded} naming those that did not come, what
  // GrpcRendezvous::connect() throws, and what interrupts it.
  void meet_all(const CommunicatorOptions& options, TimePoint deadline);

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
  struct Message {
    const std::byte* data = nullptr;
    size_t bytes = 0;
  };
  struct Link {
    std::vector<std::shared_ptr<SegmentStream>> streams;  // empty: not met
    bool wanted = false, invited = false;
    TimePoint invite_at = TimePoint::max();  // when a member that is to dial is late with it
    std::deque<Message> unsent;              // until it is met
    uint64_t sent = 0, received = 0;         // messages
    uint64_t segments_sent = 0, segments_received = 0;
  };

  const Peer& peer(int index) const {
    return rendezvous_->group().peers[static_cast<size_t>(index)];
  }
  Link& link(int member) { return links_[static_cast<size_t>(member)]; }
  SegmentStream& stream(Link& link, uint64_t segment) const {
    return *link.streams[segment % link.streams.size()];
  }
  bool is_met(int member) const { return !links_[static_cast<size_t>(member)].streams.empty(); }
  bool failed() const { return fault_->is_set.load(std::memory_order_acquire); }
  void want(int member, TimePoint deadline);
  void invite_late(TimePoint now);
  // Meets those that are wanted and can be met now.
  void meet_wanted(TimePoint deadline, const std::function<void()>& check);
  void open(int member, std::vector<std::shared_ptr<SegmentStream>> streams);
  // Runs events until done() or a fault; meets who is wanted, which may take until `deadline`.
  // False at `until`.
  template <typename Done>
  bool wait(Done done, TimePoint until, TimePoint deadline);
  void send(Link& link, Message message);
  SegmentHeader header(SegmentKind kind) const;
  // Throws the fault, after the other members know it and gRPC has let go of all memory.
  [[noreturn]] void give_up();
  // Sets the fault to a deadline that passed while waiting for `from`, or for whom it waits.
  void blame(int from);
  // Whom finish_sends() waits for.
  int slow_receiver() const;
  Error not_met(const std::vector<int>& members) const;
  // Sends `last` on each stream, waits for the answers until then, and ends the streams.
  void close(const SegmentHeader& last, const std::string& text, TimePoint until);

  const std::unique_ptr<GrpcRendezvous> rendezvous_;
  const int me_;
  GrpcProgress* const progress_;
  const std::shared_ptr<Fault> fault_ = std::make_shared<Fault>();
  const GrpcBorrowed borrowed_ = std::make_shared<std::atomic<int>>(0);
  const std::shared_ptr<GrpcInquiry> inquiry_;
  std::vector<Link> links_;  // by member
  std::vector<int> wanted_;  // members that are needed and not met
  int silent_ = -1;          // the member that did not answer at the deadline
  bool closed_ = false;
};

}  // namespace trireme

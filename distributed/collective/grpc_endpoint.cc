#include "distributed/collective/grpc_endpoint.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "core/base/error.h"
#include "core/base/heap.h"
#include "core/base/local_process.h"
#include "core/base/logging.h"
#include "distributed/collective/doubling.h"
#include "distributed/collective/grpc_rendezvous.h"
#include "distributed/collective/grpc_transport.h"
#include "distributed/collective/transport_communicator.h"
#include "distributed/connection/dial.h"
#include "distributed/rpc/refusal.h"
#include "distributed/rpc/stream_server.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kMostWaiting = 4096;  // streams whose generation has not begun here
// How long streams that were cancelled may take to end.
constexpr std::chrono::seconds kEndPatience{5};
// How long the connection for an invitation may take.
constexpr milliseconds kInvitationPatience{250};
// Whoever breaks off is dialled again after a moment.
constexpr milliseconds kRedialPause{50};

// Part of a group has the job's id with a suffix.
bool same_job(const std::string& a, const std::string& b) {
  return a.starts_with(b) || b.starts_with(a);
}

// The server and what has dialled it.
class GrpcPort {
 public:
  explicit GrpcPort(const EndpointOptions& options)
      : security_{.secret = options.secret, .encryption = options.encryption},
        server_({.port = {.host = options.listen,
                          .security = security_,
                          .what = "a port for collectives",
                          .keeps_connections = true},
                 .settings = segment_settings(),
                 .method = kMethod},
                [this](std::unique_ptr<IncomingCall> call) { admit(std::move(call)); }),
        progress_(queue()) {
    server_.start();
  }

  ~GrpcPort() {
    {
      MutexLock lock(mutex_);
      closing_ = true;
      waiting_.clear();
    }
    server_.stop();
    // A stream that has been cancelled still reports its end, and for that may use the queue.
    const auto until = steady_clock::now() + kEndPatience;
    while (queue().is_used() && steady_clock::now() < until) {
      progress_.wait([this] { return !queue().is_used(); },
                     std::min(until, steady_clock::now() + milliseconds(20)));
    }
    progress_.stop();
  }
  GrpcPort(const GrpcPort&) = delete;

  const std::string& address() const { return server_.address(); }
  const Security& security() const { return security_; }
  GrpcProgress& progress() { return progress_; }
  EventQueue& queue() { return *server_.queues().front(); }

  // From now on older generations are refused.
  void begin(const Group& group) {
    MutexLock lock(mutex_);
    generation_ = std::max(generation_, group.generation);
    job_id_ = group.job_id;
    ended_.erase({group.job_id, group.generation});
    const auto is_old = [&](const auto& one) { return one.first.second < generation_; };
    std::erase_if(ended_, is_old);
    std::erase_if(invitations_, is_old);
    count_invitations();
    std::erase_if(waiting_, [&](const auto& one) {
      if (std::get<1>(one.first) >= generation_) return false;
      one.second->refuse(stale(std::get<1>(one.first)));
      return true;
    });
  }

  // The calls of a member that has dialled; empty: not all yet.
  std::vector<std::unique_ptr<IncomingCall>> take_all(const Group& group, int member) {
    std::vector<std::unique_ptr<IncomingCall>> taken;
    MutexLock lock(mutex_);
    if (!all_wait(group, member)) return taken;
    for (int channel = 0; channel < kChannels; ++channel) {
      taken.push_back(std::move(waiting_.extract(key(group, member, channel)).mapped()));
    }
    return taken;
  }
  bool has_all(const Group& group, int member) {
    MutexLock lock(mutex_);
    return all_wait(group, member);
  }

  // Members that wait to be met.
  std::vector<uint32_t> take_invitations(const Group& group) {
    MutexLock lock(mutex_);
    std::vector<uint32_t> members;
    const auto node = invitations_.extract({group.job_id, group.generation});
    if (!node.empty()) members.assign(node.mapped().begin(), node.mapped().end());
    count_invitations();
    return members;
  }
  bool is_invited(const Group& group) {
    if (invitations_count_.load(std::memory_order_relaxed) == 0) return false;
    MutexLock lock(mutex_);
    return invitations_.contains({group.job_id, group.generation});
  }

  // Who dials for this group from now on, or has and was not taken, is told why it is over.
  void end(const Group& group, const Error& why) {
    MutexLock lock(mutex_);
    const auto [ended, added] = ended_.emplace(std::pair(group.job_id, group.generation), why);
    if (!added) return;
    std::erase_if(waiting_, [&](const auto& one) {
      if (std::get<0>(one.first) != group.job_id || std::get<1>(one.first) != group.generation) {
        return false;
      }
      one.second->refuse(failed(why.what()));
      return true;
    });
  }

 private:
  using Key = std::tuple<std::string, int64_t, uint32_t, int>;  // job, generation, member, channel

  static Key key(const Group& group, int member, int channel) {
    return {group.job_id, group.generation, static_cast<uint32_t>(member), channel};
  }
  bool all_wait(const Group& group, int member) const REQUIRES(mutex_) {
    for (int channel = 0; channel < kChannels; ++channel) {
      if (!waiting_.contains(key(group, member, channel))) return false;
    }
    return true;
  }

  // The member that dialled waits for this one.
  void invite(const GrpcHello& hello) REQUIRES(mutex_) {
    if (invitations_count_.load(std::memory_order_relaxed) >= kMostWaiting) return;
    invitations_[{hello.job_id, hello.generation}].insert(hello.member);
    count_invitations();
  }
  void count_invitations() REQUIRES(mutex_) {
    size_t count = 0;
    for (const auto& [group, members] : invitations_) count += members.size();
    invitations_count_.store(count, std::memory_order_relaxed);
  }

  Error stale(int64_t generation) const REQUIRES(mutex_) {
    return failed("generation ", generation, " is over, this rank is in generation ", generation_);
  }

  void admit(std::unique_ptr<IncomingCall> call) EXCLUDES(mutex_) {
    if (call->connection() == nullptr) return;  // it is over already
    const GrpcHello hello = hello_of(*call);
    std::optional<Error> why;
    bool is_news = true;  // not the end of a group, which this rank has said already
    std::unique_ptr<IncomingCall> replaced;  // its process has started again
    {
      MutexLock lock(mutex_);
      if (closing_) return;
      if (hello.version != SegmentHeader::kVersion) {
        why = failed("the peer speaks version ", hello.version, " of the wire format, this rank ",
                     SegmentHeader::kVersion);
      } else if (!job_id_.empty() && !same_job(job_id_, hello.job_id)) {
        why = failed("expected a member of job \"", job_id_, "\", found one of \"",
                     printable(hello.job_id, 64), "\"");
      } else if (hello.generation < generation_) {
        why = stale(hello.generation);
      } else if (const auto ended = ended_.find({hello.job_id, hello.generation});
                 ended != ended_.end()) {
        is_news = false;
        why = failed(ended->second.what());
      } else if (hello.channel == kInvitationChannel) {
        is_news = false;
        why = Error(ErrorCode::kResourceExhausted, "this member will dial");
        invite(hello);
      } else if (waiting_.size() >= kMostWaiting) {
        why = Error(ErrorCode::kResourceExhausted, "too many peers wait for later generations");
      } else {
        auto& place = waiting_[{hello.job_id, hello.generation, hello.member, hello.channel}];
        replaced = std::exchange(place, std::move(call));
        invite(hello);
      }
    }
    if (!why) return;
    if (is_news) {
      log_warning(str_cat("refused a collective connection to ", address(), ": ", why->what()));
    }
    call->refuse(*why);
  }

  const Security security_;
  Mutex mutex_;
  bool closing_ GUARDED_BY(mutex_) = false;
  int64_t generation_ GUARDED_BY(mutex_) = INT64_MIN;
  std::string job_id_ GUARDED_BY(mutex_);
  std::map<Key, std::unique_ptr<IncomingCall>> waiting_ GUARDED_BY(mutex_);
  // Groups that are over here while others may still be in them, by job and generation; and why.
  std::map<std::pair<std::string, int64_t>, Error> ended_ GUARDED_BY(mutex_);
  // By job and generation, who has dialled, if only to be dialled. The count is of all.
  std::map<std::pair<std::string, int64_t>, std::set<uint32_t>> invitations_ GUARDED_BY(mutex_);
  std::atomic<size_t> invitations_count_{0};
  StreamServer server_;
  GrpcProgress progress_;
};

class Meeting final : public GrpcRendezvous {
 public:
  Meeting(std::shared_ptr<GrpcPort> port, Group group)
      : port_(std::move(port)), group_(std::move(group)) {}
  ~Meeting() override {
    for (auto& [member, one] : dialled_) {
      for (const auto& stream : one.streams) {
        if (stream != nullptr) stream->cancel();
      }
    }
    for (const auto& stream : invitations_) stream->cancel();
  }

  const Group& group() const override { return group_; }
  const std::string& problem() const override { return problem_; }

  std::vector<std::shared_ptr<SegmentStream>> connect(int member, TimePoint deadline,
                                                      const std::function<void()>& check) override {
    std::vector<std::shared_ptr<SegmentStream>> met;
    if (member > group_.rank) {
      const auto calls = port_->take_all(group_, member);
      if (!calls.empty() && group_.look_up != nullptr) look_up(member);  // its name, for messages
      for (const auto& call : calls) met.push_back(SegmentStream::accept(*call));
      return met;
    }
    Dialled& mine = dialled_[member];
    if (!dial(member, mine, deadline, check)) return met;
    met.assign(mine.streams.begin(), mine.streams.end());
    dialled_.erase(member);
    return met;
  }

  bool is_ready(int member) override {
    if (member > group_.rank) return port_->has_all(group_, member);
    const auto found = dialled_.find(member);
    if (found == dialled_.end() || steady_clock::now() < found->second.next_try) return false;
    return std::ranges::any_of(found->second.streams, [](const auto& stream) {
      return stream != nullptr && stream->state() != SegmentStream::State::kWaiting;
    });
  }

  void invite(int member) override {
    const auto until = steady_clock::now() + kInvitationPatience;
    try {
      invitations_.push_back(dial_channel(member, kInvitationChannel, until, nullptr));
    } catch (const Error& error) {
      problem_ = error.what();
    }
  }
  std::vector<int> take_invitations() override {
    std::vector<int> members;
    for (const uint32_t member : port_->take_invitations(group_)) {
      if (member < group_.peers.size() && static_cast<int>(member) != group_.rank) {
        members.push_back(static_cast<int>(member));
      }
    }
    return members;
  }
  bool is_invited() const override { return port_->is_invited(group_); }

  void end(const Error& why) override { port_->end(group_, why); }

 private:
  struct Dialled {
    std::vector<std::shared_ptr<SegmentStream>> streams =
        std::vector<std::shared_ptr<SegmentStream>>(kChannels);
    steady_clock::time_point next_try;
  };

  const Peer& peer(int member) const { return group_.peers[static_cast<size_t>(member)]; }

  // Whether all streams to the member are welcome.
  bool dial(int member, Dialled& mine, TimePoint deadline, const std::function<void()>& check) {
    if (steady_clock::now() < mine.next_try) return false;
    bool welcome = true;
    for (int channel = 0; channel < kChannels; ++channel) {
      auto& stream = mine.streams[static_cast<size_t>(channel)];
      if (stream != nullptr && stream->state() == SegmentStream::State::kRefused) {
        const Error why = stream->refusal();
        problem_ = str_cat(peer(member).to_string(), " at ", peer(member).address,
                           " refused: ", why.what());
        stream = nullptr;
        if (why.code() == ErrorCode::kInvalidArgument || why.code() == ErrorCode::kFailed) {
          log_warning(problem_);
          throw Error(why.code() == ErrorCode::kFailed ? ErrorCode::kUnavailable : why.code(),
                      problem_);
        }
        mine.next_try = steady_clock::now() + kRedialPause;
        return false;
      }
      if (stream == nullptr) {
        stream = dial_channel(member, channel, deadline, check);
      }
      welcome = welcome && stream->state() == SegmentStream::State::kWelcome;
    }
    return welcome;
  }

  std::shared_ptr<SegmentStream> dial_channel(int member, int channel, TimePoint deadline,
                                              const std::function<void()>& check) {
    look_up(member);
    Security security = port_->security();
    if (!group_.secret.empty()) security.secret = group_.secret;
    const int socket =
        trireme::dial({.address = peer(member).address,
                       .security = security,
                       .name = str_cat(peer(member).to_string(), " at ", peer(member).address),
                       .deadline = deadline,
                       .check = check});
    return SegmentStream::dial(socket,
                               {.job_id = group_.job_id,
                                .generation = group_.generation,
                                .member = static_cast<uint32_t>(group_.rank),
                                .channel = channel},
                               peer(member).address, port_->queue());
  }

  // Learns the address of the member, and those of all that will be needed like it.
  void look_up(int member) {
    if (!peer(member).address.empty()) return;
    if (group_.look_up != nullptr) {
      std::vector<int> unknown{member};
      for (const int other : partners_of(group_.rank, group_.size())) {
        if (other != member && peer(other).address.empty()) unknown.push_back(other);
      }
      const std::vector<Peer> found = group_.look_up(unknown);
      TRIREME_CHECK(found.size() == unknown.size());
      for (size_t i = 0; i < found.size(); ++i) {
        Peer& known = group_.peers[static_cast<size_t>(unknown[i])];
        known.host = found[i].host;
        known.pid = found[i].pid;
        known.address = found[i].address;
      }
    }
    if (peer(member).address.empty()) {
      throw invalid_argument(peer(member).to_string(), " has no address for the grpc backend");
    }
  }

  const std::shared_ptr<GrpcPort> port_;
  Group group_;
  std::map<int, Dialled> dialled_;  // not welcome yet
  std::vector<std::shared_ptr<SegmentStream>> invitations_;
  std::string problem_;
};

class GrpcEndpoint final : public CollectiveEndpoint {
 public:
  explicit GrpcEndpoint(const EndpointOptions& options)
      : port_(std::make_shared<GrpcPort>(options)) {}

  std::string address() const override { return port_->address(); }
  std::string host_id() const override { return shared_memory_host_id(); }

  std::unique_ptr<Communicator> connect(const Group& group,
                                        const CommunicatorOptions& options) override {
    for (const Peer& peer : group.peers) {
      if (peer.address.empty() && group.size() > 1 && group.look_up == nullptr) {
        throw invalid_argument(peer.to_string(), " has no address for the grpc backend");
      }
    }
    port_->begin(group);
    auto transport = std::make_unique<GrpcTransport>(std::make_unique<Meeting>(port_, group),
                                                     &port_->progress());
    if (group.size() <= kMeshRanks) {
      transport->meet_all(options, steady_clock::now() + options.timeout);
    }
    return std::make_unique<TransportCommunicator>(group, options, std::move(transport));
  }

 private:
  const std::shared_ptr<GrpcPort> port_;
};

}  // namespace

std::unique_ptr<CollectiveEndpoint> make_grpc_endpoint(const EndpointOptions& options) {
  keep_freed_memory();  // gRPC allocates what it reads into
  return std::make_unique<GrpcEndpoint>(options);
}

}  // namespace trireme

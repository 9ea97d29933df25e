#include "distributed/collective/grpc_endpoint.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "core/base/error.h"
#include "core/base/heap.h"
#include "core/base/local_process.h"
#include "core/base/logging.h"
#include "distributed/collective/grpc_streams.h"
#include "distributed/collective/grpc_transport.h"
#include "distributed/collective/transport_communicator.h"
#include "distributed/connection/acceptor.h"
#include "distributed/connection/dial.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kMostWaiting = 4096;  // streams whose generation has not begun here
// How long streams that were cancelled may take to end.
constexpr std::chrono::seconds kEndPatience{5};

// Part of a group has the job's id with a suffix.
bool same_job(const std::string& a, const std::string& b) {
  return a.starts_with(b) || b.starts_with(a);
}

// The server and what has dialled it.
class GrpcPort {
 public:
  explicit GrpcPort(const EndpointOptions& options)
      : security_{.secret = options.secret, .encryption = options.encryption},
        queue_([&] {
          configure(builder_);
          builder_.RegisterAsyncGenericService(&service_);
          return builder_.AddCompletionQueue();
        }()),
        server_(builder_.BuildAndStart()),
        progress_(queue_.get()),
        acceptor_({.host = options.listen,
                   .security = security_,
                   .what = "a port for collectives",
                   .keeps_connections = true}) {
    request();
    acceptor_.start([this](int fd) { grpc::AddInsecureChannelFromFd(server_.get(), fd); });
  }

  ~GrpcPort() {
    {
      MutexLock lock(mutex_);
      closing_ = true;
      waiting_.clear();
    }
    acceptor_.stop();
    server_->Shutdown(std::chrono::system_clock::now());
    // A stream that has been cancelled still reports its end, and for that may use the queue.
    const auto until = steady_clock::now() + kEndPatience;
    while (streams_alive_.use_count() > 1 && steady_clock::now() < until) {
      progress_.wait([&] { return streams_alive_.use_count() == 1; },
                     std::min(until, steady_clock::now() + milliseconds(20)));
    }
    progress_.stop();
  }
  GrpcPort(const GrpcPort&) = delete;

  const std::string& address() const { return acceptor_.address(); }
  const Security& security() const { return security_; }
  GrpcProgress& progress() { return progress_; }
  grpc::CompletionQueue* queue() { return queue_.get(); }
  // Held by each stream.
  const std::shared_ptr<void>& streams_alive() const { return streams_alive_; }

  // From now on older generations are refused.
  void begin(const Group& group) {
    MutexLock lock(mutex_);
    generation_ = std::max(generation_, group.generation);
    job_id_ = group.job_id;
    std::erase_if(waiting_, [&](const auto& one) {
      if (std::get<1>(one.first) >= generation_) return false;
      one.second->refuse(stale(std::get<1>(one.first)));
      return true;
    });
  }

  // The stream of a member that has dialled; null: not yet.
  std::shared_ptr<GrpcAcceptedStream> take(const Group& group, int member, int channel) {
    MutexLock lock(mutex_);
    const auto node = waiting_.extract(
        Key{group.job_id, group.generation, static_cast<uint32_t>(member), channel});
    return node.empty() ? nullptr : node.mapped();
  }

 private:
  using Key = std::tuple<std::string, int64_t, uint32_t, int>;  // job, generation, member, channel

  void request() {
    request_call(service_, *queue_, acceptor_, [this](auto stream) {
      if (stream != nullptr) {
        stream->hold(streams_alive_);
        admit(std::move(stream));
      }
      MutexLock lock(mutex_);
      if (!closing_) request();
    });
  }

  Error stale(int64_t generation) const REQUIRES(mutex_) {
    return failed("generation ", generation, " is over, this rank is in generation ", generation_);
  }

  void admit(std::shared_ptr<GrpcAcceptedStream> stream) EXCLUDES(mutex_) {
    const GrpcHello& hello = stream->hello();
    std::optional<Error> why;
    std::shared_ptr<GrpcAcceptedStream> replaced;
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
      } else if (waiting_.size() >= kMostWaiting) {
        why = Error(ErrorCode::kResourceExhausted, "too many peers wait for later generations");
      } else {
        auto& place = waiting_[{hello.job_id, hello.generation, hello.member, hello.channel}];
        replaced = std::exchange(place, stream);
      }
    }
    if (replaced != nullptr) replaced->cancel();  // its process has started again
    if (!why) return;
    log_warning(str_cat("refused a collective connection to ", address(), ": ", why->what()));
    stream->refuse(*why);
  }

  const Security security_;
  const std::shared_ptr<void> streams_alive_ = std::make_shared<char>();
  grpc::AsyncGenericService service_;
  grpc::ServerBuilder builder_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  Mutex mutex_;
  bool closing_ GUARDED_BY(mutex_) = false;
  int64_t generation_ GUARDED_BY(mutex_) = INT64_MIN;
  std::string job_id_ GUARDED_BY(mutex_);
  std::map<Key, std::shared_ptr<GrpcAcceptedStream>> waiting_ GUARDED_BY(mutex_);
  GrpcProgress progress_;
  Acceptor acceptor_;
};

// The streams of a group while they are being made.
class Meeting {
 public:
  Meeting(GrpcPort& port, const Group& group, const CommunicatorOptions& options)
      : port_(port),
        group_(group),
        options_(options),
        deadline_(steady_clock::now() + options.timeout),
        streams_(static_cast<size_t>(group.size())),
        dialled_(static_cast<size_t>(group.size())) {
    for (auto& one : streams_) one.resize(kChannels);
    for (auto& one : dialled_) one.resize(kChannels);
    streams_[static_cast<size_t>(group.rank)].clear();
  }

  // Throws after it has ended all that was begun.
  std::vector<std::vector<std::shared_ptr<GrpcStream>>> run() {
    try {
      while (!all_met()) {
        options_.throw_if_interrupted();
        for (int member = 0; member < group_.rank; ++member) dial(member);
        // Whoever breaks off is dialled again after a moment.
        const auto pause = std::min(deadline_, steady_clock::now() + milliseconds(50));
        port_.progress().wait([&] { return all_met() || some_refused(); }, pause);
        if (!all_met() && steady_clock::now() >= deadline_) throw late();
        if (some_refused()) port_.progress().wait([] { return false; }, pause);
      }
    } catch (...) {
      for (auto& one : streams_) {
        for (auto& stream : one) {
          if (stream != nullptr) stream->cancel();
        }
      }
      throw;
    }
    return std::move(streams_);
  }

 private:
  const Peer& peer(int member) const { return group_.peers[static_cast<size_t>(member)]; }

  void dial(int member) {
    for (int channel = 0; channel < kChannels; ++channel) {
      auto& stream = dialled_[static_cast<size_t>(member)][static_cast<size_t>(channel)];
      if (stream != nullptr) {
        if (stream->state() != GrpcDialledStream::State::kRefused) continue;
        const Error why = stream->refusal();
        problem_ = str_cat(peer(member).to_string(), " at ", peer(member).address,
                           " refused: ", why.what());
        stream = nullptr;
        if (why.code() == ErrorCode::kInvalidArgument || why.code() == ErrorCode::kFailed) {
          log_warning(problem_);
          throw Error(why.code() == ErrorCode::kFailed ? ErrorCode::kUnavailable : why.code(),
                      problem_);
        }
      }
      Security security = port_.security();
      if (!group_.secret.empty()) security.secret = group_.secret;
      const int socket =
          trireme::dial({.address = peer(member).address,
                         .security = security,
                         .name = str_cat(peer(member).to_string(), " at ", peer(member).address),
                         .deadline = deadline_,
                         .check = [&] { options_.throw_if_interrupted(); }});
      stream = GrpcDialledStream::dial(socket,
                                       {.job_id = group_.job_id,
                                        .generation = group_.generation,
                                        .member = static_cast<uint32_t>(group_.rank),
                                        .channel = channel},
                                       peer(member).address, port_.queue());
      stream->hold(port_.streams_alive());
      streams_[static_cast<size_t>(member)][static_cast<size_t>(channel)] = stream;
    }
  }

  bool some_refused() const {
    for (const auto& one : dialled_) {
      for (const auto& stream : one) {
        if (stream && stream->state() == GrpcDialledStream::State::kRefused) return true;
      }
    }
    return false;
  }

  bool met(int member) {
    for (int channel = 0; channel < kChannels; ++channel) {
      if (member < group_.rank) {
        const auto& stream = dialled_[static_cast<size_t>(member)][static_cast<size_t>(channel)];
        if (stream == nullptr || stream->state() != GrpcDialledStream::State::kWelcome) {
          return false;
        }
      } else if (member > group_.rank) {
        auto& place = streams_[static_cast<size_t>(member)][static_cast<size_t>(channel)];
        if (place == nullptr) {
          auto stream = port_.take(group_, member, channel);
          if (stream == nullptr) return false;
          stream->welcome();
          place = std::move(stream);
        }
      }
    }
    return true;
  }

  bool all_met() {
    bool all = true;
    for (int member = 0; member < group_.size(); ++member) all = met(member) && all;
    return all;
  }

  Error late() {
    std::string who;
    for (int member = 0; member < group_.size(); ++member) {
      if (!met(member)) who += (who.empty() ? "" : ", ") + peer(member).to_string();
    }
    return {ErrorCode::kDeadlineExceeded, str_cat("no connection by the deadline with ", who,
                                                  problem_.empty() ? "" : " (" + problem_ + ")")};
  }

  GrpcPort& port_;
  const Group& group_;
  const CommunicatorOptions& options_;
  const steady_clock::time_point deadline_;
  std::vector<std::vector<std::shared_ptr<GrpcStream>>> streams_;         // by member, by channel
  std::vector<std::vector<std::shared_ptr<GrpcDialledStream>>> dialled_;  // those that I dialled
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
      if (peer.address.empty() && group.size() > 1) {
        throw invalid_argument(peer.to_string(), " has no address for the grpc backend");
      }
    }
    port_->begin(group);
    auto streams = Meeting(*port_, group, options).run();
    return std::make_unique<TransportCommunicator>(
        group, options,
        std::make_unique<GrpcTransport>(group, std::move(streams), &port_->progress(), port_));
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

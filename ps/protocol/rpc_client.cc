#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/heap.h"
#include "core/base/logging.h"
#include "distributed/connection/dial.h"
#include "distributed/connection/draw_id.h"
#include "ps/protocol/frame_stream.h"
#include "ps/protocol/pending_calls.h"
#include "ps/protocol/rpc.h"
#include "ps/protocol/shm_stream.h"

namespace trireme::ps {
namespace {

using std::chrono::steady_clock;

// How often late calls are looked for when none is expected to be late earlier.
constexpr std::chrono::milliseconds kLook{500};

// What a stream of the connection reports.
class Listener final : public StreamListener {
 public:
  using OnBytes = std::function<void(std::span<const std::byte>)>;
  // With the server's host for shared memory; empty: it offers none.
  using OnWelcome = std::function<void(const std::string& shared_memory_host)>;
  using OnLost = std::function<void(const Error& why)>;

  Listener(std::string peer, OnWelcome on_welcome, OnBytes on_bytes, OnLost on_lost)
      : peer_(std::move(peer)),
        on_welcome_(std::move(on_welcome)),
        on_bytes_(std::move(on_bytes)),
        on_lost_(std::move(on_lost)) {}

  void on_open(const StreamMetadata& answer) override {
    const auto host = answer.find(kHostKey);
    on_welcome_(host == answer.end() ? "" : host->second);
  }
  void on_message(ReceivedMessage message) override {
    while (message.left() > 0) on_bytes_(message.read_piece());
  }
  void on_end(const Error& why, bool by_this_end) override {
    on_lost_(by_this_end ? why : in_words(why));
  }

 private:
  Error in_words(const Error& why) const {
    const std::string says = why.what();
    switch (why.code()) {
      case ErrorCode::kInvalidArgument:
      case ErrorCode::kFailed:
        return invalid_argument(peer_, " refused this task: ", says);
      case ErrorCode::kNotFound:
        return invalid_argument(peer_, " is no parameter server of this version: ", says);
      default:
        return {ErrorCode::kUnavailable, str_cat(peer_, " is gone: its connection broke",
                                                 says.empty() ? "" : " (" + says + ")")};
    }
  }

  const std::string peer_;
  const OnWelcome on_welcome_;
  const OnBytes on_bytes_;
  const OnLost on_lost_;
};

void close_socket(int socket) { ::close(socket); }

// What the connection and its thread share: the last of the two that goes takes it along, so that
// a callback on the thread may drop the connection.
class Core : public std::enable_shared_from_this<Core> {
 public:
  explicit Core(const ConnectOptions& options)
      : options_(options),
        peer_(str_cat(options.name, " (", options.address, ")")),
        pending_(peer_),
        buffers_(std::make_shared<BufferPool>(kKeptBytes)) {}

  void connect() EXCLUDES(mutex_) {
    const auto deadline = steady_clock::now() + options_.connect_timeout;
    const int count = std::max(1, options_.connections);
    for (int i = 0; i < count; ++i) {
      streams_.push_back(std::make_shared<MessageStream>());
      sinks_.push_back(std::make_shared<FrameStream>(streams_.back()));
    }
    const int first = dial(deadline);
    thread_ = std::thread([self = shared_from_this()] { self->run(); });
    pthread_setname_np(thread_.native_handle(), "ps client");
    try {
      start(*streams_[0], first);
      wait_for([this]() REQUIRES(mutex_) { return welcome_ == 1; }, deadline);
      if (options_.shared_memory && server_host() == host_for_rings()) share_memory(deadline);
      if (ring_ != nullptr) return;
      for (int i = 1; i < count; ++i) start(*streams_[static_cast<size_t>(i)], dial(deadline));
      wait_for([this, count]() REQUIRES(mutex_) { return welcome_ == count; }, deadline);
    } catch (const Error& error) {
      close(error);
      throw;
    }
  }

  // Ends everything; returns when nothing more will be called, unless called by a callback.
  void close(const Error& why) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (!over_) over_ = why;
    }
    pending_.fail(why);
    for (const auto& stream : streams_) stream->end(why);
    if (ring_ != nullptr) {
      ring_->stop();
      ring_->join();
    }
    if (thread_.get_id() == std::this_thread::get_id()) {
      thread_.detach();
    } else {
      thread_.join();
    }
  }

  void call(OutMessage request, std::chrono::milliseconds timeout, PendingCalls::Done done) {
    const size_t bytes = request.bytes();
    if (bytes > options_.max_message_bytes) {
      const auto error =
          invalid_argument("a request of ", bytes, " bytes to ", peer_, ": at most ",
                           options_.max_message_bytes, " are allowed; send fewer rows at a time");
      return done(failed_call(error));
    }
    const auto added = pending_.add(timeout, std::move(done));
    if (added.id == 0) return;
    FrameSink& sink = ring_ != nullptr ? static_cast<FrameSink&>(*ring_)
                                       : static_cast<FrameSink&>(*sinks_[added.id % sinks_.size()]);
    sink.send({.kind = FrameKind::kRequest, .call = added.id}, std::move(request));
    if (!added.is_urgent) return;
    MutexLock lock(mutex_);
    if (live_ > 0) queue_.wake();
  }

  std::string peer() const {
    return ring_ == nullptr ? peer_
                            : str_cat(options_.name, " (", options_.address, ", shared memory)");
  }

 private:
  // Waits on changed_. Throws what ended the connection, or that the deadline passed.
  template <typename Done>
  void wait_for(const Done& done, steady_clock::time_point deadline) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (!over_ && !done()) {
      if (!changed_.wait_until(mutex_, deadline)) break;
    }
    if (over_) throw Error(*over_);
    if (done()) return;
    throw nobody();
  }

  Error nobody() const {
    const double seconds = std::chrono::duration<double>(options_.connect_timeout).count();
    return {ErrorCode::kUnavailable, str_cat("nobody answers as ", peer_, " within ", seconds,
                                             " s: it has not started, or cannot be reached")};
  }

  // A TCP connection to the server, which has proved the job's secret.
  int dial(steady_clock::time_point deadline) EXCLUDES(mutex_) {
    try {
      return trireme::dial(
          {.address = options_.address,
           .security = {.secret = options_.secret, .encryption = options_.encryption},
           .job_id = options_.job_id,
           .name = peer_,
           .deadline = deadline,
           .user_timeout = kUnacknowledged,
           .check = [this] { throw_if_over(); }});
    } catch (const Error& error) {
      throw_if_over();
      if (error.code() == ErrorCode::kUnavailable) throw nobody();
      throw;
    }
  }

  void throw_if_over() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (over_) throw Error(*over_);
  }

  std::string server_host() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return server_host_;
  }

  // Goes on through shared memory, if that is possible.
  void share_memory(steady_clock::time_point deadline) EXCLUDES(mutex_) {
    std::unique_ptr<ShmRing> ring;
    std::optional<Error> problem;
    try {
      ring = ShmRing::make();
      const auto offer = std::as_bytes(std::span(&ring->offer(), 1));
      sinks_[0]->send({.kind = FrameKind::kRing}, {{own({offer.begin(), offer.end()})}});
      wait_for([this]() REQUIRES(mutex_) { return ring_answered_; }, deadline);
      MutexLock lock(mutex_);
      problem = ring_refusal_;
    } catch (const Error& error) {
      if (ring != nullptr) throw;  // the connection is over
      problem = error;
    }
    if (problem) {
      log_warning(str_cat("not through shared memory with ", peer_, ": ", problem->what()));
      return;
    }
    ring->close_file();
    const auto stream = std::make_shared<ShmStream>(std::move(ring));
    auto reader = make_reader();
    stream->start(
        "ps client shm",
        // Until the stream stops it keeps all this: a callback may drop the connection.
        [self = shared_from_this(), reader](std::span<const std::byte> bytes) {
          reader->feed(bytes);
        },
        [self = weak_from_this()](const Error& why) {
          if (const auto core = self.lock()) core->streams_[0]->end(why);
        });
    ring_ = stream;
    bool over = false;
    {
      MutexLock lock(mutex_);
      ring_to_stop_ = stream;
      over = over_.has_value();
    }
    if (over) stream->stop();
  }

  void run() EXCLUDES(mutex_) {
    do {
      pending_.expire();
    } while (queue_.run_one(pending_.wait_until(steady_clock::now() + kLook)));
  }

  void start(MessageStream& stream, int socket) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (over_) {
        close_socket(socket);
        throw Error(*over_);
      }
      ++live_;
    }
    const auto on_welcome = [this](const std::string& shared_memory_host) {
      MutexLock lock(mutex_);
      ++welcome_;
      server_host_ = shared_memory_host;
      changed_.notify_all();
    };
    stream.dial(
        socket,
        {.address = options_.address,
         .method = kMethod,
         .metadata = {{kVersionKey, kFrameVersion}, {kSessionKey, session_}},
         .settings = kFrameStreamSettings},
        queue_,
        std::make_shared<Listener>(
            peer_, on_welcome, [reader = make_reader()](auto bytes) { reader->feed(bytes); },
            [this](const Error& why) { lose(why); }));
  }

  // Lives no longer than this.
  std::shared_ptr<FrameReader> make_reader() {
    const auto on_frame = [this](const FrameHeader& header, Message message) {
      on_frame_(header, std::move(message));
    };
    const auto on_too_long = [this](const FrameHeader& header) {
      pending_.end(header.call, failed_call(invalid_argument(
                                    "an answer of ", header.bytes, " bytes from ", peer_,
                                    ": at most ", options_.max_message_bytes, " are allowed")));
    };
    return std::make_shared<FrameReader>(buffers_, options_.max_message_bytes, on_frame,
                                         on_too_long);
  }

  void on_frame_(const FrameHeader& header, Message message) {
    switch (header.kind) {
      case FrameKind::kAnswer:
        return pending_.end(header.call, {std::move(message), nullptr});
      case FrameKind::kRefusal:
        return pending_.end(header.call, failed_call(refusal_in(header, message)));
      case FrameKind::kRingAnswer: {
        MutexLock lock(mutex_);
        ring_answered_ = true;
        if (!message.bytes.empty()) ring_refusal_ = refusal_in(header, message);
        changed_.notify_all();
        return;
      }
      default:
        throw data_loss("expected an answer from ", peer_, ", found a frame of kind ",
                        static_cast<int>(header.kind));
    }
  }

  // One stream is over: so is the connection.
  void lose(const Error& why) EXCLUDES(mutex_) {
    Error first = why;
    bool last = false;
    std::shared_ptr<ShmStream> ring;
    {
      MutexLock lock(mutex_);
      if (!over_) over_ = why;
      first = *over_;
      last = --live_ == 0;
      ring = ring_to_stop_;
      changed_.notify_all();
    }
    if (ring != nullptr) ring->stop();
    pending_.fail(first);
    for (const auto& stream : streams_) stream->end(first);
    if (last) queue_.shut_down();
  }

  const ConnectOptions options_;
  const std::string peer_;
  PendingCalls pending_;
  const std::shared_ptr<BufferPool> buffers_;
  const std::string session_ = draw_id();  // by which its streams find each other at the server
  EventQueue queue_;
  // Do not change once they are dialled.
  std::vector<std::shared_ptr<MessageStream>> streams_;
  std::vector<std::shared_ptr<FrameStream>> sinks_;
  std::shared_ptr<ShmStream> ring_;  // does not change once connected; null: not used
  std::thread thread_;

  Mutex mutex_;
  ConditionVariable changed_;
  int welcome_ GUARDED_BY(mutex_) = 0;
  int live_ GUARDED_BY(mutex_) = 0;  // streams that were dialled and are not over
  std::string server_host_ GUARDED_BY(mutex_);
  bool ring_answered_ GUARDED_BY(mutex_) = false;
  std::optional<Error> ring_refusal_ GUARDED_BY(mutex_);
  std::shared_ptr<ShmStream> ring_to_stop_ GUARDED_BY(mutex_);
  std::optional<Error> over_ GUARDED_BY(mutex_);
};

class Connection final : public RpcConnection {
 public:
  explicit Connection(const ConnectOptions& options) : core_(std::make_shared<Core>(options)) {
    core_->connect();
  }
  ~Connection() override {
    core_->close({ErrorCode::kUnavailable, "this task closed its connection to " + core_->peer()});
  }

  void call(OutMessage request, std::chrono::milliseconds timeout,
            std::function<void(RpcResult)> done) override {
    core_->call(std::move(request), timeout, std::move(done));
  }
  std::string peer() const override { return core_->peer(); }

 private:
  const std::shared_ptr<Core> core_;
};

}  // namespace

std::shared_ptr<RpcConnection> connect_rpc(const ConnectOptions& options) {
  keep_freed_memory();  // gRPC allocates what it reads into
  return std::make_shared<Connection>(options);
}

}  // namespace trireme::ps

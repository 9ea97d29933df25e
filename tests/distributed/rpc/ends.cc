#include "tests/distributed/rpc/ends.h"

#include <gtest/gtest.h>

#include <utility>

#include "distributed/connection/dial.h"

namespace trireme::testing {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{60};
constexpr char kSecret[] = "0123456789abcdef0123456789abcdef";

}  // namespace

void Recorder::on_open(const StreamMetadata& answer) {
  MutexLock lock(mutex_);
  answer_ = answer;
  changed_.notify_all();
}

void Recorder::on_message(ReceivedMessage message) {
  MutexLock lock(mutex_);
  sizes_.push_back(message.size());
  while (message.left() > 0) {
    const auto piece = message.read_piece();
    bytes_.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  changed_.notify_all();
}

void Recorder::on_end(const Error& why, bool by_this_end) {
  MutexLock lock(mutex_);
  ends_.push_back({why, by_this_end});
  changed_.notify_all();
}

template <typename Done>
void Recorder::wait_until(const Done& done) {
  const auto deadline = steady_clock::now() + kPatience;
  while (!done()) {
    if (!changed_.wait_until(mutex_, deadline)) break;
  }
  ASSERT_TRUE(done()) << "nothing came within a minute";
}

StreamMetadata Recorder::wait_for_answer() {
  MutexLock lock(mutex_);
  wait_until([this]() REQUIRES(mutex_) { return answer_.has_value(); });
  return answer_.value_or(StreamMetadata());
}

std::string Recorder::wait_for_bytes(size_t count) {
  MutexLock lock(mutex_);
  wait_until([this, count]() REQUIRES(mutex_) { return bytes_.size() >= count; });
  return bytes_;
}

Recorder::End Recorder::wait_for_end() {
  MutexLock lock(mutex_);
  wait_until([this]() REQUIRES(mutex_) { return !ends_.empty(); });
  return ends_.empty() ? End{{ErrorCode::kInternal, "no end"}, false} : ends_.front();
}

std::vector<size_t> Recorder::message_sizes() const {
  MutexLock lock(mutex_);
  return sizes_;
}

int Recorder::ends() const {
  MutexLock lock(mutex_);
  return static_cast<int>(ends_.size());
}

QueueThread::QueueThread(EventQueue& queue)
    : queue_(queue), thread_([&queue] {
        while (queue.run_one(EventQueue::TimePoint::max())) {
        }
      }) {}

QueueThread::~QueueThread() {
  queue_.wait_until_unused();
  queue_.shut_down();
  thread_.join();
}

Accepting::Accepting(StreamSettings settings, StreamServer::OnCall on_call, bool starts_paused)
    : server_(
          {.port = {.security = {.secret = kSecret}, .keeps_connections = true},
           .settings = settings,
           .method = kMethod},
          on_call ? std::move(on_call) : [this, starts_paused](std::unique_ptr<IncomingCall> call) {
            take(*call, starts_paused);
          }) {
  thread_.emplace(*server_.queues().front());
  server_.start();
}

Accepting::~Accepting() {
  server_.stop();
  thread_.reset();
}

void Accepting::take(IncomingCall& call, bool starts_paused) {
  Taken taken{.connection = call.connection()};
  call.accept(*taken.stream, {{"x-name", "server for " + call.metadata("x-name")}}, taken.recorder,
              starts_paused);
  MutexLock lock(mutex_);
  taken_.push_back(std::move(taken));
  changed_.notify_all();
}

Accepting::Taken Accepting::wait_for_call() {
  const auto deadline = steady_clock::now() + kPatience;
  MutexLock lock(mutex_);
  while (taken_.empty()) {
    if (!changed_.wait_until(mutex_, deadline)) {
      ADD_FAILURE() << "no call came within a minute";
      return {};
    }
  }
  Taken first = std::move(taken_.front());
  taken_.erase(taken_.begin());
  return first;
}

Dialling::Dialling() : thread_(queue_) {}

Dialling::~Dialling() { stream->end({ErrorCode::kCancelled, "the test is over"}); }

void Dialling::dial(const std::string& address, StreamSettings settings,
                    const std::string& method) {
  const int socket = trireme::dial({.address = address,
                                    .security = {.secret = kSecret},
                                    .deadline = steady_clock::now() + kPatience});
  stream->dial(socket,
               {.address = address,
                .method = method,
                .metadata = {{"x-name", "client"}},
                .settings = settings},
               queue_, recorder);
}

OwnedBytes CountedBytes::piece() const { return {memory_, bytes_of(*memory_)}; }

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

}  // namespace trireme::testing

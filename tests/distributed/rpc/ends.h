// The two ends of streams in one process, over the loopback, as their owners see them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/base/thread_annotations.h"
#include "distributed/rpc/message_stream.h"
#include "distributed/rpc/stream_server.h"

namespace trireme::testing {

inline constexpr char kMethod[] = "/trireme.test.Streams/Exchange";

// Keeps what a stream reports. Any thread.
class Recorder : public StreamListener {
 public:
  void on_open(const StreamMetadata& answer) override EXCLUDES(mutex_);
  void on_message(ReceivedMessage message) override EXCLUDES(mutex_);
  void on_end(const Error& why, bool by_this_end) override EXCLUDES(mutex_);

  // Each waits, and fails the test when it takes a minute.
  StreamMetadata wait_for_answer() EXCLUDES(mutex_);
  std::string wait_for_bytes(size_t count) EXCLUDES(mutex_);  // all that came
  struct End {
    Error why;
    bool by_this_end;
  };
  End wait_for_end() EXCLUDES(mutex_);

  std::vector<size_t> message_sizes() const EXCLUDES(mutex_);
  int ends() const EXCLUDES(mutex_);

 private:
  template <typename Done>
  void wait_until(const Done& done) REQUIRES(mutex_);

  mutable Mutex mutex_;
  ConditionVariable changed_;
  std::optional<StreamMetadata> answer_ GUARDED_BY(mutex_);
  std::string bytes_ GUARDED_BY(mutex_);
  std::vector<size_t> sizes_ GUARDED_BY(mutex_);
  std::vector<End> ends_ GUARDED_BY(mutex_);
};

// Runs the events of a queue until nothing uses it any more.
class QueueThread {
 public:
  explicit QueueThread(EventQueue& queue);
  ~QueueThread();

 private:
  EventQueue& queue_;
  std::thread thread_;
};

class Accepting {
 public:
  // `on_call` null: takes every call with a Recorder.
  explicit Accepting(StreamSettings settings = {}, StreamServer::OnCall on_call = nullptr,
                     bool starts_paused = false);
  ~Accepting();

  const std::string& address() const { return server_.address(); }
  StreamServer& server() { return server_; }

  struct Taken {
    std::shared_ptr<MessageStream> stream = std::make_shared<MessageStream>();
    std::shared_ptr<Recorder> recorder = std::make_shared<Recorder>();
    std::shared_ptr<Connection> connection;
  };
  Taken wait_for_call() EXCLUDES(mutex_);  // the next one that was taken

 private:
  void take(IncomingCall& call, bool starts_paused) EXCLUDES(mutex_);

  Mutex mutex_;
  ConditionVariable changed_;
  std::vector<Taken> taken_ GUARDED_BY(mutex_);
  StreamServer server_;
  std::optional<QueueThread> thread_;
};

class Dialling {
 public:
  Dialling();
  ~Dialling();

  // Begins the call; `stream` may have frames that wait, or have ended.
  void dial(const std::string& address, StreamSettings settings = {},
            const std::string& method = kMethod);

  const std::shared_ptr<MessageStream> stream = std::make_shared<MessageStream>();
  const std::shared_ptr<Recorder> recorder = std::make_shared<Recorder>();

 private:
  EventQueue queue_;
  QueueThread thread_;
};

// Bytes that are counted for as long as somebody needs them.
class CountedBytes {
 public:
  explicit CountedBytes(size_t bytes) : memory_(std::make_shared<std::string>(bytes, 'x')) {}
  OwnedBytes piece() const;
  // Of pieces that gRPC or a stream still refers to.
  long count() const { return memory_.use_count() - 1; }

 private:
  const std::shared_ptr<std::string> memory_;
};

std::span<const std::byte> bytes_of(const std::string& text);

}  // namespace trireme::testing

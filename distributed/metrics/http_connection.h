// One connection of a client that asks for /metrics: reads requests, writes answers, and never
// waits. Private to distributed/metrics. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "distributed/metrics/http_request.h"

namespace trireme {

// How long a client may take. A connection that is past its deadline is closed.
struct HttpTimes {
  std::chrono::milliseconds request{
      5'000};  // from connecting, or a request's first byte, to its end
  std::chrono::milliseconds answer{10'000};  // until an answer is taken
  std::chrono::milliseconds idle{60'000};    // from an answer to the next request
};

class HttpConnection {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // The document, made when it is asked for. May throw.
  using Document = std::function<std::shared_ptr<const std::string>()>;

  // Takes the descriptor of a socket that does not block.
  HttpConnection(int socket, Document document, const HttpTimes& times, Time now);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;

  int socket() const { return socket_; }
  // Goes on as far as the socket lets it, at most for what fits one read. False: it is over.
  bool advance(Time now);
  bool wants_write() const { return state_ == State::kWriting; }
  Time deadline() const { return deadline_; }
  Time last_use() const { return last_use_; }  // when a byte came or went last

 private:
  enum class State { kReading, kWriting, kEnding };
  enum class Progress { kBlocked, kDone, kOver };
  Progress read(Time now);
  Progress write(Time now);
  Progress drain();
  bool take_request(Time now);  // false: it is not complete
  void answer(const HttpRequest& request, Time now);
  void begin_answer(int status, bool with_body, std::shared_ptr<const std::string> body, Time now);
  void refuse(int status, Time now);

  const int socket_;
  const Document document_;
  const HttpTimes& times_;
  State state_ = State::kReading;
  std::string in_;    // what was read and not understood yet
  std::string head_;  // of the answer
  std::shared_ptr<const std::string> body_;
  size_t sent_ = 0;  // of both
  bool keep_alive_ = false;
  bool may_read_ = false;  // once a call
  int requests_ = 0;
  Time deadline_, last_use_;
};

}  // namespace trireme

#include "distributed/metrics/http_connection.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <exception>
#include <utility>

#include "core/base/error.h"

namespace trireme {
namespace {

constexpr int kMaxRequests = 1'000;  // of one connection
constexpr std::chrono::milliseconds kEnd{1'000};

const char* reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Content Too Large";
    case 431:
      return "Request Header Fields Too Large";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Internal Server Error";
  }
}

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

std::shared_ptr<const std::string> text(std::string value) {
  return std::make_shared<const std::string>(std::move(value));
}

}  // namespace

HttpConnection::HttpConnection(int socket, Document document, const HttpTimes& times, Time now)
    : socket_(socket),
      document_(std::move(document)),
      times_(times),
      deadline_(now + times.request),
      last_use_(now) {}

HttpConnection::~HttpConnection() { close(socket_); }

bool HttpConnection::advance(Time now) {
  may_read_ = true;
  while (true) {
    Progress progress = Progress::kBlocked;
    switch (state_) {
      case State::kReading:
        progress = read(now);
        break;
      case State::kWriting:
        progress = write(now);
        break;
      case State::kEnding:
        progress = drain();
        break;
    }
    if (progress != Progress::kDone) return progress == Progress::kBlocked;
  }
}

HttpConnection::Progress HttpConnection::read(Time now) {
  if (!in_.empty() && take_request(now)) return Progress::kDone;
  if (!std::exchange(may_read_, false)) return Progress::kBlocked;
  std::array<char, kMaxRequestHead> bytes;
  const ssize_t count = recv(socket_, bytes.data(), bytes.size(), 0);
  if (count == 0 || (count < 0 && !would_block())) return Progress::kOver;
  if (count < 0) return Progress::kBlocked;
  // The time for a request after the first runs from its first byte.
  if (in_.empty() && requests_ > 0) deadline_ = now + times_.request;
  last_use_ = now;
  in_.append(bytes.data(), static_cast<size_t>(count));
  return Progress::kDone;
}

bool HttpConnection::take_request(Time now) {
  const HttpParse parse = parse_http_request(in_);
  if (parse.state == HttpParse::State::kIncomplete) return false;
  ++requests_;
  if (parse.state == HttpParse::State::kRefused) {
    refuse(parse.status, now);
  } else {
    in_.erase(0, parse.bytes);
    answer(parse.request, now);
  }
  return true;
}

void HttpConnection::answer(const HttpRequest& request, Time now) {
  keep_alive_ = request.keep_alive && requests_ < kMaxRequests;
  const bool is_head = request.method == "HEAD";
  if (!is_head && request.method != "GET") {
    begin_answer(405, true, text("expected GET or HEAD\n"), now);
  } else if (request.path != "/metrics") {
    begin_answer(404, !is_head, text("the metrics are at /metrics\n"), now);
  } else {
    try {
      begin_answer(200, !is_head, document_(), now);
    } catch (const std::exception& error) {
      begin_answer(500, !is_head, text(str_cat(error.what(), "\n")), now);
    }
  }
}

// What follows cannot be told from the rest of the request, so the connection ends.
void HttpConnection::refuse(int status, Time now) {
  keep_alive_ = false;
  in_.clear();
  begin_answer(status, true, text(str_cat(status, " ", reason(status), "\n")), now);
}

void HttpConnection::begin_answer(int status, bool with_body,
                                  std::shared_ptr<const std::string> body, Time now) {
  const bool is_metrics = status == 200;
  head_ = str_cat("HTTP/1.1 ", status, " ", reason(status), "\r\nContent-Type: text/plain; ",
                  is_metrics ? "version=0.0.4; " : "",
                  "charset=utf-8\r\nContent-Length: ", body->size(),
                  status == 405 ? "\r\nAllow: GET, HEAD" : "",
                  "\r\nConnection: ", keep_alive_ ? "keep-alive" : "close", "\r\n\r\n");
  body_ = with_body ? std::move(body) : nullptr;
  sent_ = 0;
  state_ = State::kWriting;
  deadline_ = now + times_.answer;
}

HttpConnection::Progress HttpConnection::write(Time now) {
  const size_t all = head_.size() + (body_ ? body_->size() : 0);
  while (sent_ < all) {
    std::array<iovec, 2> parts{};
    size_t count = 0;
    if (sent_ < head_.size()) parts[count++] = {head_.data() + sent_, head_.size() - sent_};
    if (body_) {
      const size_t from = sent_ < head_.size() ? 0 : sent_ - head_.size();
      parts[count++] = {const_cast<char*>(body_->data()) + from, body_->size() - from};
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const ssize_t sent = sendmsg(socket_, &message, MSG_NOSIGNAL);
    if (sent < 0) return would_block() ? Progress::kBlocked : Progress::kOver;
    sent_ += static_cast<size_t>(sent);
    last_use_ = now;
  }
  body_.reset();
  if (keep_alive_) {
    state_ = State::kReading;
    deadline_ = now + (in_.empty() ? times_.idle : times_.request);
  } else {
    // Closed with bytes unread, a connection is reset, and the client may never see the answer.
    shutdown(socket_, SHUT_WR);
    state_ = State::kEnding;
    deadline_ = now + kEnd;
  }
  return Progress::kDone;
}

HttpConnection::Progress HttpConnection::drain() {
  if (!std::exchange(may_read_, false)) return Progress::kBlocked;
  std::array<char, kMaxRequestHead> bytes;
  const ssize_t count = recv(socket_, bytes.data(), bytes.size(), 0);
  const bool is_over = count == 0 || (count < 0 && !would_block());
  return is_over ? Progress::kOver : Progress::kBlocked;
}

}  // namespace trireme

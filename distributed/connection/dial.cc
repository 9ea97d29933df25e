#include "distributed/connection/dial.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <random>
#include <thread>

#include "core/base/error.h"
#include "core/base/system_error.h"
#include "distributed/connection/greeting.h"
#include "distributed/connection/secret.h"
#include "distributed/connection/socket_address.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A host that does not answer is tried again: another of its addresses may, or it has rebooted.
constexpr milliseconds kOneConnect{3'000};
// Longer than the acceptor gives: a connection that is still in the backlog keeps its place.
constexpr milliseconds kOneGreeting{15'000};
constexpr milliseconds kCheck{50};
constexpr milliseconds kFirstPause{5}, kLongestPause{500};

class Dialling {
 public:
  explicit Dialling(const DialOptions& options)
      : options_(options), name_(options.name.empty() ? options.address : options.name) {}

  int run() {
    const auto [host, port] = split_address(options_.address);
    milliseconds pause = kFirstPause;
    while (true) {
      AddressList list;
      problem_ = list.resolve(host, port, false);
      for (const addrinfo* to = list.first; to != nullptr; to = to->ai_next) {
        const int fd = try_address(*to, host);
        if (fd >= 0) return fd;
      }
      if (options_.once || steady_clock::now() + pause >= options_.deadline) break;
      // Not before the first try: who is told to stop has something to say to who is there.
      check();
      // Thousands of tasks that begin together do not come again together.
      std::this_thread::sleep_for(
          pause / 2 + milliseconds(static_cast<int64_t>(random_()) % (pause.count() / 2 + 1)));
      pause = std::min(pause * 2, kLongestPause);
    }
    throw Error(code_, str_cat("cannot connect to ", name_, ": ", problem_));
  }

 private:
  void check() const {
    if (options_.check) options_.check();
  }

  // Waits for an event of the descriptor; false at the deadline.
  bool wait(int fd, short event, steady_clock::time_point deadline) const {
    while (true) {
      const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
      pollfd poll_fd{fd, event, 0};
      const auto slice = std::clamp(left, milliseconds(0), kCheck);
      if (poll(&poll_fd, 1, static_cast<int>(slice.count())) > 0) return true;
      if (left <= slice) return false;
      check();
    }
  }

  void keep(int error) {
    problem_ = std::strerror(error);
    // A limit of this process is no loss of the peer.
    code_ = code_of_errno(error) == ErrorCode::kResourceExhausted ? ErrorCode::kResourceExhausted
                                                                  : ErrorCode::kUnavailable;
  }

  int try_address(const addrinfo& to, const std::string& host) {
    sockaddr_storage address{};
    std::memcpy(&address, to.ai_addr, to.ai_addrlen);
    const bool is_local = is_loopback(address);
    if (options_.security.secret.empty() && !is_local) throw no_secret(name_);
    const int fd = socket(to.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      keep(errno);
      return -1;
    }
    set_socket_options(fd, static_cast<int>(options_.user_timeout.count()));
    auto plain = make_plain_stream(fd);  // closes it
    int error = 0;
    if (connect(fd, to.ai_addr, to.ai_addrlen) != 0) {
      error = errno;
      if (error == EINPROGRESS) {
        socklen_t length = sizeof(error);
        error = ETIMEDOUT;
        const auto until = std::min(options_.deadline, steady_clock::now() + kOneConnect);
        if (wait(fd, POLLOUT, until)) getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
      }
    }
    if (error != 0) {
      keep(error);
      return -1;
    }
    const auto& encryption = options_.security.encryption;
    const bool encrypted = encryption != nullptr && (!is_local || encryption->covers_loopback());
    try {
      auto stream = encrypted ? encryption->client(plain->release(), host) : std::move(plain);
      return greet(*stream, encrypted);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kUnavailable) throw;
      code_ = ErrorCode::kUnavailable;
      problem_ = error.what();
      return -1;
    }
  }

  [[noreturn]] static void too_late() {
    throw Error(ErrorCode::kUnavailable, "it has not answered: it is stopped, or busy with others");
  }

  int greet(PendingStream& stream, bool encrypted) {
    const auto until = std::min(options_.deadline, steady_clock::now() + kOneGreeting);
    const auto wait_for = [&](short event) {
      if (!wait(stream.descriptor(), event, until)) too_late();
    };
    for (auto want = stream.handshake(); want != PendingStream::Want::kNothing;
         want = stream.handshake()) {
      wait_for(want == PendingStream::Want::kRead ? POLLIN : POLLOUT);
      if (encrypted && want == PendingStream::Want::kRead) refuse_plain_answer(stream, until);
    }
    GreetingClient greeting(options_.security.secret, options_.job_id);
    while (greeting.state() == Greeting::State::kTalking) {
      if (const auto out = greeting.outgoing(); !out.empty()) {
        const size_t sent = stream.write(out.data(), out.size());
        greeting.sent(sent);
        if (sent == 0) wait_for(POLLOUT);
        continue;
      }
      const auto room = greeting.room();
      const size_t got = stream.read(room.data(), room.size());
      if (got > 0) {
        greeting.received(got);
      } else {
        wait_for(POLLIN);
      }
    }
    if (greeting.state() == Greeting::State::kForeign) {
      throw invalid_argument("what answers as ", name_,
                             " is no server of this version of Trireme: is the address right, and "
                             "are all tasks of the same version?");
    }
    if (greeting.state() == Greeting::State::kRefused) {
      if (greeting.sentence().empty()) {
        throw invalid_argument(name_,
                               " does not know this job's secret: it is a server of "
                               "somebody else, or TRIREME_SECRET differs");
      }
      throw invalid_argument(name_, " refused this task: ", greeting.sentence());
    }
    return stream.release();
  }

  // A server whose connections are not encrypted says so in the clear, as no TLS record begins.
  void refuse_plain_answer(PendingStream& stream, steady_clock::time_point until) const {
    std::array<std::byte, kServerMessageBytes> message{};
    const int fd = stream.descriptor();
    ssize_t got = recv(fd, message.data(), message.size(), MSG_PEEK | MSG_DONTWAIT);
    if (got <= 0 || message[0] != std::byte{kGreetingFirstByte}) return;
    while (got < static_cast<ssize_t>(message.size()) && steady_clock::now() < until) {
      std::this_thread::sleep_for(milliseconds(1));  // it is on its way
      got = recv(fd, message.data(), message.size(), MSG_PEEK | MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) break;
    }
    const std::string why = refusal_in(message);
    throw invalid_argument(
        name_, " refused this task: ", why.empty() ? "its connections are not encrypted" : why);
  }

  const DialOptions& options_;
  const std::string name_;
  std::minstd_rand random_{std::random_device{}()};
  std::string problem_;
  ErrorCode code_ = ErrorCode::kUnavailable;
};

}  // namespace

int dial(const DialOptions& options) { return Dialling(options).run(); }

}  // namespace trireme

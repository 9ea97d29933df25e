// A stranger with many connections, until it is killed. What is closed is opened again.
//
//   attacker KIND PORT COUNT JOB
//
// KIND: what each connection sends.
//   idle          nothing
//   unfinished    an HTTP/2 call whose message of 4 MiB never ends
//   resets        HTTP/2 calls that are reset as soon as they are begun
//   continuation  one HTTP/2 call with endless headers
//   garbage       random bytes
//   dribble       a right greeting, a byte each 50 ms
//   half          half a greeting
//   wrong         greetings with another secret
//   replay        a proof that was right for another connection's challenge
//   members       greetings with the job's secret, and then nothing
// Says "attacking" on standard error when all are connected for the first time.
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "distributed/connection/greeting.h"
#include "tests/distributed/attack/attacked_job.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kChunk = 64 << 10;
constexpr std::chrono::milliseconds kDribble{50};

std::string frame(char type, char flags, uint32_t stream, const std::string& payload) {
  std::string out;
  const auto size = static_cast<uint32_t>(payload.size());
  for (const int shift : {16, 8, 0}) out += static_cast<char>(size >> shift);
  out += type;
  out += flags;
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift);
  return out + payload;
}

// A literal header without indexing.
std::string header(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name +
         static_cast<char>(value.size()) + value;
}

std::string call_headers() {
  return "\x83\x86" + header(":path", "/trireme.coordination.Coordination/Hello") +
         header(":authority", "x") + header("content-type", "application/grpc") +
         header("te", "trailers");
}

std::string preface() { return std::string(kPreface) + frame(4, 0, 0, ""); }

struct Stranger {
  int fd = -1;
  std::string out;  // still to be sent
  uint32_t stream = 1;
  Clock::time_point next;
  std::unique_ptr<GreetingClient> greeting;
};

class Attack {
 public:
  Attack(std::string kind, uint16_t port, size_t count, std::string job)
      : kind_(std::move(kind)), port_(port), job_(std::move(job)), strangers_(count) {}

  [[noreturn]] void run() {
    for (Stranger& one : strangers_) begin(one);
    std::fprintf(stderr, "attacking\n");
    std::vector<pollfd> polls(strangers_.size());
    for (;;) {
      for (size_t i = 0; i < strangers_.size(); ++i) {
        const Stranger& one = strangers_[i];
        polls[i] = {one.fd, static_cast<short>(POLLIN | (wants_to_send(one) ? POLLOUT : 0)), 0};
      }
      poll(polls.data(), polls.size(), 20);
      for (size_t i = 0; i < strangers_.size(); ++i) {
        Stranger& one = strangers_[i];
        if (one.fd < 0 || (polls[i].revents != 0 && !go_on(one, polls[i].revents))) begin(one);
      }
      usleep(2000);  // the machine is to do other things, too
    }
  }

 private:
  void begin(Stranger& one) {
    if (one.fd >= 0) close(one.fd);
    one = {};
    one.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(port_);
    if (one.fd >= 0 && connect(one.fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0 &&
        errno != EINPROGRESS) {
      close(one.fd);
      one.fd = -1;
      return;
    }
    if (kind_ == "unfinished") {
      std::string message(5, '\0');
      message[1] = '\x00';
      message[2] = '\x40';  // 4 MiB
      one.out = preface() + frame(1, 4, 1, call_headers()) + frame(0, 0, 1, message);
    } else if (kind_ == "resets" || kind_ == "garbage") {
      one.out = kind_ == "resets" ? preface() : random_bytes();
    } else if (kind_ == "continuation") {
      one.out = preface() + frame(1, 0, 1, call_headers());
    } else if (kind_ == "dribble" || kind_ == "half") {
      GreetingClient client("0123456789abcdef", job_);
      const auto hello = client.outgoing();
      one.out.assign(reinterpret_cast<const char*>(hello.data()), hello.size());
      if (kind_ == "half") one.out.resize(one.out.size() / 2);
    } else if (kind_ == "wrong" || kind_ == "replay" || kind_ == "members") {
      one.greeting = std::make_unique<GreetingClient>(
          kind_ == "members" ? testing::kAttackedSecret : "not the job's secret", job_);
    }
  }

  bool wants_to_send(const Stranger& one) const {
    if (kind_ == "dribble") return !one.out.empty() && Clock::now() >= one.next;
    return !one.out.empty() || endless() ||
           (one.greeting != nullptr && !one.greeting->outgoing().empty());
  }
  bool endless() const {
    return kind_ == "unfinished" || kind_ == "resets" || kind_ == "continuation" ||
           kind_ == "garbage";
  }

  // False when the connection is over.
  bool go_on(Stranger& one, short events) {
    if ((events & (POLLERR | POLLHUP)) != 0) return false;
    if ((events & POLLIN) != 0 && !read(one)) return false;
    if ((events & POLLOUT) == 0) return true;
    if (one.greeting != nullptr) return send_greeting(one);
    if (kind_ == "members") return true;
    if (one.out.empty()) one.out = more(one);
    const size_t most = kind_ == "dribble" ? 1 : one.out.size();
    const ssize_t sent = send(one.fd, one.out.data(), most, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return errno == EAGAIN;
    one.out.erase(0, static_cast<size_t>(sent));
    one.next = Clock::now() + kDribble;
    return true;
  }

  bool read(Stranger& one) {
    char bytes[4096];
    if (one.greeting != nullptr) {
      const auto room = one.greeting->room();
      if (room.empty()) return false;
      const ssize_t got = recv(one.fd, room.data(), room.size(), MSG_DONTWAIT);
      if (got <= 0) return got < 0 && errno == EAGAIN;
      one.greeting->received(static_cast<size_t>(got));
      if (one.greeting->state() == Greeting::State::kWelcome) {
        one.greeting = nullptr;
        return true;
      }
      return one.greeting->state() == Greeting::State::kTalking;
    }
    const ssize_t got = recv(one.fd, bytes, sizeof bytes, MSG_DONTWAIT);
    return got > 0 || (got < 0 && errno == EAGAIN);
  }

  bool send_greeting(Stranger& one) {
    auto out = one.greeting->outgoing();
    if (kind_ == "replay" && out.size() == kProofBytes) {
      // A proof of an earlier connection in place of its own.
      if (proof_.empty()) proof_.assign(out.begin(), out.end());
      out = proof_;
    }
    const ssize_t sent = send(one.fd, out.data(), out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return errno == EAGAIN;
    one.greeting->sent(static_cast<size_t>(sent));
    return true;
  }

  std::string more(Stranger& one) {
    if (kind_ == "unfinished") return frame(0, 0, 1, std::string(16'000, 'x'));
    if (kind_ == "garbage") return random_bytes();
    std::string out;
    while (out.size() < kChunk) {
      if (kind_ == "resets") {
        out += frame(1, 4, one.stream, call_headers()) +
               frame(3, 0, one.stream, std::string("\0\0\0\x08", 4));
        one.stream += 2;
      } else {
        out += frame(9, 0, 1, header("x-" + std::to_string(random_()), std::string(100, 'y')));
      }
    }
    return out;
  }

  std::string random_bytes() {
    std::string bytes(kChunk, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random_());
    return bytes;
  }

  const std::string kind_;
  const uint16_t port_;
  const std::string job_;
  std::vector<Stranger> strangers_;
  std::vector<std::byte> proof_;
  std::minstd_rand random_{7};
};

}  // namespace
}  // namespace trireme

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  trireme::Attack(argv[1], static_cast<uint16_t>(std::stoi(argv[2])),
                  static_cast<size_t>(std::stoi(argv[3])), argv[4])
      .run();
}

// The port before gRPC, and who dials it, over real sockets.
#include "distributed/connection/acceptor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <optional>

#include "core/base/error.h"
#include "distributed/connection/dial.h"
#include "distributed/connection/file_limit.h"
#include "distributed/connection/greeting.h"

namespace trireme::testing {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kSecret[] = "0123456789abcdef";

class Port {
 public:
  explicit Port(AcceptorOptions options = {}) : acceptor_(with_defaults(std::move(options), this)) {
    acceptor_.start([this](int fd) {
      MutexLock lock(mutex_);
      accepted_.push_back(fd);
      changed_.notify_all();
    });
  }
  ~Port() {
    acceptor_.stop();
    for (const int fd : accepted_) close(fd);
  }

  Acceptor& acceptor() { return acceptor_; }
  // The next descriptor that was handed over.
  int next() {
    MutexLock lock(mutex_);
    const auto deadline = steady_clock::now() + 10s;
    while (accepted_.size() <= taken_ && steady_clock::now() < deadline) {
      changed_.wait_until(mutex_, deadline);
    }
    return accepted_.size() > taken_ ? accepted_[taken_++] : -1;
  }
  std::string wait_for_line(const std::string& text) {
    MutexLock lock(mutex_);
    const auto deadline = steady_clock::now() + 10s;
    do {
      for (const std::string& line : lines_) {
        if (line.find(text) != std::string::npos) return line;
      }
      changed_.wait_until(mutex_, deadline);
    } while (steady_clock::now() < deadline);
    return "";
  }

 private:
  static AcceptorOptions with_defaults(AcceptorOptions options, Port* port) {
    options.security.secret = kSecret;
    options.job_id = "job";
    options.keeps_connections = true;
    options.log = [port](const std::string& line) {
      MutexLock lock(port->mutex_);
      port->lines_.push_back(line);
      port->changed_.notify_all();
    };
    return options;
  }

  Mutex mutex_;
  ConditionVariable changed_;
  std::vector<int> accepted_ GUARDED_BY(mutex_);
  size_t taken_ GUARDED_BY(mutex_) = 0;
  std::vector<std::string> lines_ GUARDED_BY(mutex_);
  Acceptor acceptor_;
};

DialOptions to(Port& port, std::chrono::milliseconds timeout = 10s) {
  return {.address = port.acceptor().address(),
          .security = {.secret = kSecret},
          .job_id = "job",
          .name = "the server",
          .deadline = steady_clock::now() + timeout};
}

std::optional<Error> error_of_dial(const DialOptions& options) {
  try {
    close(dial(options));
    return std::nullopt;
  } catch (const Error& error) {
    return error;
  }
}

// A bare TCP connection.
int connect_bare(Port& port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(static_cast<uint16_t>(port.acceptor().port()));
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
  return fd;
}

bool is_closed_within(int fd, std::chrono::milliseconds time) {
  pollfd poll_fd{fd, POLLIN, 0};
  if (poll(&poll_fd, 1, static_cast<int>(time.count())) <= 0) return false;
  char byte = 0;
  return recv(fd, &byte, 1, 0) <= 0;
}

TEST(AcceptorTest, HandsOverWhoHasProvedTheSecretAndNothingOfItsBytes) {
  Port port;
  const int client = dial(to(port));
  ASSERT_EQ(send(client, "first", 5, 0), 5);
  const int server = port.next();
  ASSERT_GE(server, 0);
  char bytes[8] = {};
  pollfd readable{server, POLLIN, 0};
  ASSERT_EQ(poll(&readable, 1, 10'000), 1);
  EXPECT_EQ(recv(server, bytes, sizeof bytes, 0), 5);
  EXPECT_STREQ(bytes, "first");
  EXPECT_EQ(fcntl(server, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
  const std::string name = "fd:" + std::to_string(server);
  EXPECT_THAT(port.acceptor().peer_of(name), HasSubstr("127.0.0.1:"));
  EXPECT_EQ(port.acceptor().peer_of("fd:99999"), "fd:99999");
  const auto connection = port.acceptor().find(name);
  ASSERT_NE(connection, nullptr);
  connection->break_off();
  EXPECT_TRUE(is_closed_within(client, 5s));
  EXPECT_EQ(port.acceptor().find(name), nullptr);
  close(client);
}

// One sentence on both sides.
TEST(AcceptorTest, RefusesWithTheSameSentenceOnBothSides) {
  Port port;
  const auto refused = [&](const DialOptions& options, const std::string& why) {
    const auto error = error_of_dial(options);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ErrorCode::kInvalidArgument);
    EXPECT_EQ(std::string(error->what()).rfind("the server refused this task: " + why, 0), 0u)
        << error->what();
    EXPECT_THAT(port.wait_for_line(why), HasSubstr("refused a connection from 127.0.0.1:"));
  };
  auto options = to(port);
  options.security.secret = "";
  refused(options, "its secret is missing");
  options.security.secret = "fedcba9876543210";
  refused(options, "its secret is not the job's");
  options = to(port);
  options.job_id = "other";
  refused(options, "it belongs to the job \"other\"");
  EXPECT_EQ(error_of_dial(to(port)), std::nullopt);
  EXPECT_EQ(port.acceptor().counts().refused, 3u);
}

// A server that accepts everybody is not one of the job.
TEST(AcceptorTest, TheClientFindsOutAServerThatDoesNotKnowTheSecret) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(at);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&at), length), 0);
  ASSERT_EQ(listen(listener, 4), 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&at), &length);
  auto imposter = std::async(std::launch::async, [&] {
    const int fd = accept(listener, nullptr, nullptr);
    GreetingServer greeting("what it thinks is the secret", "job");
    std::vector<std::byte> hello(kHelloBytes);
    recv(fd, hello.data(), hello.size(), MSG_WAITALL);
    std::copy(hello.begin(), hello.end(), greeting.room().begin());
    greeting.received(kHelloBytes);
    const auto challenge = greeting.outgoing();
    std::vector<std::byte> message(challenge.begin(), challenge.end());
    send(fd, message.data(), message.size(), MSG_NOSIGNAL);
    std::vector<std::byte> proof(kProofBytes);
    recv(fd, proof.data(), proof.size(), MSG_WAITALL);
    message[10] = std::byte{0};  // "welcome"
    send(fd, message.data(), message.size(), MSG_NOSIGNAL);
    is_closed_within(fd, 5s);
    close(fd);
  });
  const auto error = error_of_dial({.address = "127.0.0.1:" + std::to_string(ntohs(at.sin_port)),
                                    .security = {.secret = kSecret},
                                    .job_id = "job",
                                    .name = "the server",
                                    .deadline = steady_clock::now() + 10s});
  imposter.get();
  close(listener);
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr("the server does not know this job's secret"));
}

// Bytes that dribble in do not extend the time.
TEST(AcceptorTest, CutsWhoHasNotProvedItselfInTime) {
  AcceptorOptions options;
  options.proof_time = 400ms;
  Port port(options);
  const int silent = connect_bare(port), dribbling = connect_bare(port);
  const auto start = steady_clock::now();
  const unsigned char first = kGreetingFirstByte;
  const std::string hello = std::string(1, static_cast<char>(first)) + "TRIREME" + "\x01";
  for (size_t i = 0; i < hello.size() && !is_closed_within(dribbling, 50ms); ++i) {
    send(dribbling, hello.data() + i, 1, MSG_NOSIGNAL);
  }
  EXPECT_TRUE(is_closed_within(dribbling, 5s));
  EXPECT_TRUE(is_closed_within(silent, 5s));
  EXPECT_GE(steady_clock::now() - start, 300ms);
  EXPECT_LT(steady_clock::now() - start, 5s);
  EXPECT_NE(port.wait_for_line("has not proved within 0.4 s"), "");
  close(silent);
  close(dribbling);
}

TEST(AcceptorTest, ClosesWhatSpeaksSomethingElseAtOnce) {
  Port port;
  for (const std::string& words :
       {std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), std::string("GET / HTTP/1.0\r\n\r\n"),
        std::string(50'000, 'x')}) {
    const int fd = connect_bare(port);
    send(fd, words.data(), words.size(), MSG_NOSIGNAL);
    EXPECT_TRUE(is_closed_within(fd, 5s));
    close(fd);
  }
  EXPECT_NE(port.wait_for_line("does not speak the protocol"), "");
  EXPECT_EQ(error_of_dial(to(port)), std::nullopt);
}

// A client of a job whose connections are encrypted, at one whose are not.
TEST(AcceptorTest, TellsATlsClientInTheClear) {
  Port port;
  const int fd = connect_bare(port);
  const std::string hello("\x16\x03\x01\x02\x00\x01", 6);
  send(fd, hello.data(), hello.size(), MSG_NOSIGNAL);
  std::vector<std::byte> message(kServerMessageBytes);
  ASSERT_EQ(recv(fd, message.data(), message.size(), MSG_WAITALL),
            static_cast<ssize_t>(kServerMessageBytes));
  EXPECT_THAT(refusal_in(message), HasSubstr("this job's connections are not encrypted"));
  EXPECT_TRUE(is_closed_within(fd, 5s));
  close(fd);
}

// Those who say nothing have at most the places there are, and each only for a moment when others
// wait.
TEST(AcceptorTest, LetsRightfulClientsThroughACrowdThatSaysNothing) {
  Port port;
  raise_file_limit();
  std::vector<int> crowd;
  for (size_t i = 0; i < 8 * kMostUnproven; ++i) crowd.push_back(connect_bare(port));
  const auto start = steady_clock::now();
  EXPECT_EQ(error_of_dial(to(port, 20s)), std::nullopt);
  EXPECT_LT(steady_clock::now() - start, 5s);
  EXPECT_LE(port.acceptor().counts().unproven, kMostUnproven);
  EXPECT_NE(port.wait_for_line("others are about to"), "");
  for (const int fd : crowd) close(fd);
}

// Tasks of a large job start at the same time.
TEST(AcceptorTest, LetsABurstOfRightfulClientsThrough) {
  Port port;
  std::atomic<int> failures{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < 50; ++j) failures += error_of_dial(to(port, 20s)) ? 1 : 0;
      });
    }
  }
  EXPECT_EQ(failures, 0);
  port.acceptor().stop();  // a client is welcome a moment before it is counted
  EXPECT_EQ(port.acceptor().counts().welcomed, 400u);
}

TEST(AcceptorTest, ADialEndsAtItsDeadlineAndWhenItsCallerSaysSo) {
  Port port;
  port.acceptor().stop();  // connections wait in the backlog
  const auto start = steady_clock::now();
  const auto late = error_of_dial(to(port, 300ms));
  ASSERT_TRUE(late);
  EXPECT_EQ(late->code(), ErrorCode::kUnavailable);
  EXPECT_THAT(late->what(),
              AllOf(HasSubstr("cannot connect to the server"), HasSubstr("it has not answered")));
  auto options = to(port, 60s);
  options.check = [] { throw Error(ErrorCode::kCancelled, "enough"); };
  EXPECT_STREQ(error_of_dial(options)->what(), "enough");
  EXPECT_LT(steady_clock::now() - start, 5s);
}

TEST(AcceptorTest, WithoutASecretItServesLoopbackOnly) {
  AcceptorOptions options;
  options.host = "0.0.0.0";
  options.what = "the coordinator";
  try {
    Acceptor acceptor(options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("the coordinator on 0.0.0.0"),
                                    HasSubstr("TRIREME_SECRET=$(openssl rand -hex 32)")));
  }
  const auto error = error_of_dial(
      {.address = "192.0.2.1:1", .deadline = steady_clock::now() + 100ms, .once = true});
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr("192.0.2.1:1"));
}

TEST(AcceptorTest, APortThatIsTakenIsNamedAndTriedForAsLongAsItMayBeFreed) {
  auto first = std::make_unique<Port>();
  AcceptorOptions options;
  options.port = first->acceptor().port();
  try {
    Port second(options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr(first->acceptor().address()), HasSubstr("choose another port")));
  }
  options.port_is_freed = 10s;
  auto later = std::async(std::launch::async, [&] { first.reset(); });
  Port second(options);
  later.get();
  EXPECT_EQ(error_of_dial(to(second)), std::nullopt);
}

}  // namespace
}  // namespace trireme::testing

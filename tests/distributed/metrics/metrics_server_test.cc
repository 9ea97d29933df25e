#include "distributed/metrics/metrics_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "tests/support/http_client.h"
#include "tests/support/process.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using trireme::testing::http_get;
using trireme::testing::HttpAnswer;
using trireme::testing::HttpClient;
using Clock = std::chrono::steady_clock;

constexpr char kGet[] = "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n";

std::function<std::string()> says(const std::string& text) {
  return [text] { return text; };
}

TEST(MetricsServerTest, AnswersAsPrometheusAsks) {
  const MetricsServer server({}, says("a 1\n"));
  const HttpAnswer answer = http_get(server.address());
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(answer.body, "a 1\n");
  EXPECT_EQ(http_get(server.address(), "/").status, 404);
  EXPECT_EQ(http_get(server.address(), "/metrics?debug=1").status, 200);
}

// A scraper keeps its connection, and may send the next request before it has the answer.
TEST(MetricsServerTest, ServesManyRequestsOnOneConnection) {
  std::atomic<int> asked{0};
  const MetricsServer server({}, [&] { return str_cat("a ", ++asked, "\n"); });
  HttpClient client(server.address());
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(client.send(kGet));
    EXPECT_EQ(client.receive().body, str_cat("a ", i, "\n"));
  }
  ASSERT_TRUE(client.send(std::string(kGet) + "HEAD /metrics HTTP/1.1\r\nHost: h\r\n\r\n" + kGet));
  EXPECT_EQ(client.receive().status, 200);
  const HttpAnswer head = client.receive(5s, true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.at("content-length"), "4");
  EXPECT_EQ(client.receive().body.substr(0, 2), "a ");
}

TEST(MetricsServerTest, SaysWhatIsWrongWithARequestAndEndsTheConnection) {
  const MetricsServer server({}, says("a 1\n"));
  const auto status = [&](const std::string& bytes) {
    HttpClient client(server.address());
    client.send(bytes);
    const HttpAnswer answer = client.receive();
    EXPECT_TRUE(client.is_closed_within(5s)) << bytes;
    return answer.status;
  };
  EXPECT_EQ(status("\x16\x03\x01\x02"), 400);
  EXPECT_EQ(status("hello\r\n"), 400);
  EXPECT_EQ(status("GET /metrics HTTP/2.0\r\n\r\n"), 505);
  EXPECT_EQ(status("GET /metrics HTTP/1.1\r\nHost: h\r\nX: " + std::string(100'000, 'x')), 431);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"), 413);
  EXPECT_EQ(status("POST /metrics HTTP/1.0\r\n\r\n"), 405);
}

TEST(MetricsServerTest, SaysWhenTheFiguresCannotBeHad) {
  const MetricsServer server({}, []() -> std::string { throw failed("no figures today"); });
  const HttpAnswer answer = http_get(server.address());
  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("no figures today"));
}

// Silent connections were what kept others from an answer.
TEST(MetricsServerTest, AnswersBesideSilentConnections) {
  // So that most of them are more than the server holds.
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few{512, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  const MetricsServer server({}, says("a 1\n"));
  setrlimit(RLIMIT_NOFILE, &before);
  std::vector<HttpClient> silent;
  silent.reserve(500);
  for (int i = 0; i < 500; ++i) {
    silent.emplace_back(server.address());
    if (i % 2 == 1) silent.back().send("GET /met");
    if (i % 50 == 0) {
      EXPECT_EQ(http_get(server.address(), "/metrics", 1s).status, 200) << i;
    }
  }
  const auto begun = Clock::now();
  EXPECT_EQ(http_get(server.address(), "/metrics", 1s).body, "a 1\n");
  EXPECT_LT(Clock::now() - begun, 1s);
}

// A client that sends a byte now and then would hold its place for ever.
TEST(MetricsServerTest, CutsOffWhoIsSilentDribblesOrDoesNotRead) {
  const std::string big(64 << 20, 'a');  // more than the sockets' buffers take
  const MetricsServer server({}, [&] { return big + "\n"; },
                             {.request = 300ms, .answer = 100ms, .idle = 300ms});
  HttpClient silent(server.address()), dribbling(server.address()), deaf(server.address()),
      idle(server.address());
  idle.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(idle.receive().status, 404);
  deaf.send(kGet);
  const auto begun = Clock::now();
  const std::string request = "GET /metrics HTTP/1.1\r\nX: " + std::string(8'000, 'x');
  bool cut = false;
  for (size_t i = 0; i < request.size() && !cut && Clock::now() < begun + 10s; ++i) {
    cut = !dribbling.send(request.substr(i, 1)) || dribbling.is_closed_within(5ms);
  }
  EXPECT_TRUE(cut);
  EXPECT_LT(Clock::now() - begun, 5s);
  EXPECT_TRUE(silent.is_closed_within(5s));
  EXPECT_TRUE(idle.is_closed_within(5s));
  // It is closed in the middle of its answer.
  EXPECT_THROW(static_cast<void>(deaf.receive(5s)), Error);
}

// What one client does not take must not keep the others waiting.
TEST(MetricsServerTest, SlowReadersDoNotHoldOthersUp) {
  std::atomic<bool> is_big{true};
  const std::string big(64 << 20, 'a');
  const MetricsServer server({}, [&] { return is_big ? big : std::string("a 1\n"); });
  HttpClient slow(server.address());
  slow.send(kGet);
  // It was answered when the text was big.
  HttpClient other(server.address());
  other.send(kGet);
  EXPECT_EQ(other.receive(30s).body.size(), big.size());
  is_big = false;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(http_get(server.address(), "/metrics", 1s).body, "a 1\n");
  EXPECT_EQ(slow.receive(30s).body.size(), big.size());
}

// A process that has used up its descriptors is worth looking at.
TEST(MetricsServerTest, AnswersWhenTheProcessHasNoDescriptorLeft) {
  const MetricsServer server({}, says("a 1\n"));
  // The client is another process, for it needs descriptors itself; it begins when it is told.
  trireme::testing::TemporaryDirectory folder;
  const std::string begin = folder / "begin";
  ASSERT_EQ(mkfifo(begin.c_str(), 0600), 0);
  const int tell = open(begin.c_str(), O_RDWR | O_CLOEXEC);
  const std::string port = server.address().substr(server.address().find(':') + 1);
  trireme::testing::Process client({"/usr/bin/env", "bash", "-c",
                                    "read < " + begin + "; for i in 1 2 3; do exec 3<>/dev/tcp/" +
                                        "127.0.0.1/" + port +
                                        "; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat "
                                        "<&3; done"});
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few{64, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  std::vector<int> taken;
  for (int file = 0; (file = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) taken.push_back(file);
  EXPECT_EQ(errno, EMFILE);
  EXPECT_EQ(write(tell, "\n", 1), 1);
  const auto result = client.wait(20s);
  setrlimit(RLIMIT_NOFILE, &before);
  for (const int file : taken) close(file);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  size_t answers = 0;
  for (size_t at = 0; (at = result.out.find("200 OK", at)) != std::string::npos; ++at) ++answers;
  EXPECT_EQ(answers, 3U) << result.out;
}

TEST(MetricsServerTest, SaysThatAPortIsTaken) {
  const MetricsServer server({}, says("a 1\n"));
  const int port = std::stoi(server.address().substr(server.address().find(':') + 1));
  try {
    const MetricsServer second({"127.0.0.1", port}, says("b 1\n"));
    FAIL() << "two servers on one port";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), AllOf(HasSubstr(server.address()), HasSubstr("another port")));
  }
}

// A task ends whoever is connected.
TEST(MetricsServerTest, EndsAtOnceBesideClients) {
  auto server = std::make_unique<MetricsServer>(MetricsAddress(), says("a 1\n"));
  HttpClient silent(server->address()), kept(server->address());
  kept.send(kGet);
  EXPECT_EQ(kept.receive().status, 200);
  const auto begun = Clock::now();
  server.reset();
  EXPECT_LT(Clock::now() - begun, 2s);
  EXPECT_TRUE(silent.is_closed_within(5s));
}

}  // namespace
}  // namespace trireme

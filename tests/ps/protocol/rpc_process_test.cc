// Ends of a connection in different processes, killed, stopped and fed with too much.
#include <gmock/gmock.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "ps/protocol/rpc.h"
#include "tests/ps/protocol/messages.h"
#include "tests/support/free_ports.h"
#include "tests/support/process.h"

namespace trireme::ps {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{60};

std::future<RpcResult> call(RpcConnection& connection, OutMessage request,
                            std::chrono::milliseconds timeout = kPatience) {
  auto promise = std::make_shared<std::promise<RpcResult>>();
  auto result = promise->get_future();
  connection.call(std::move(request), timeout,
                  [promise](RpcResult end) { promise->set_value(std::move(end)); });
  return result;
}

ErrorCode code_of(const RpcResult& result) {
  EXPECT_NE(result.error, nullptr) << "there is an answer";
  return result.error == nullptr ? ErrorCode::kInternal : result.error->code();
}

bool file_holds(const std::string& path, const std::string& text) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.find(text) != std::string::npos) return true;
  }
  return false;
}

// Looks again until it is so.
template <typename Condition>
bool eventually(const Condition& condition) {
  const auto deadline = Clock::now() + kPatience;
  while (!condition()) {
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

class RpcProcessTest : public ::testing::TestWithParam<bool> {
 protected:
  RpcProcessTest()
      : port_(testing::free_ports()),
        server_({TRIREME_RPC_PROGRAM, "serve", std::to_string(port_)}) {}

  std::shared_ptr<RpcConnection> connect(size_t most = size_t{1} << 30) {
    return connect_rpc({.address = "127.0.0.1:" + std::to_string(port_),
                        .secret = "s",
                        .job_id = "j",
                        .name = "ps 3",
                        .shared_memory = GetParam(),
                        .connections = 2,
                        .connect_timeout = kPatience,
                        .max_message_bytes = most});
  }

  // A signal reaches the threads one after the other.
  void stop_server() {
    server_.signal(SIGSTOP);
    const std::string tasks = "/proc/" + std::to_string(server_.pid()) + "/task";
    ASSERT_TRUE(eventually([&] {
      return std::ranges::all_of(std::filesystem::directory_iterator(tasks), [](const auto& task) {
        return file_holds(task.path() / "status", "State:\tT");
      });
    }));
  }

  const int port_;
  testing::Process server_;
};
INSTANTIATE_TEST_SUITE_P(Transports, RpcProcessTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "shm" : "tcp"; });

TEST_P(RpcProcessTest, AKilledServerFailsAllCallsAtOnce) {
  const auto connection = connect();
  std::vector<std::future<RpcResult>> results;
  for (int i = 0; i < 20; ++i) results.push_back(call(*connection, text_message("hold")));
  EXPECT_EQ(call(*connection, text_message("x")).get().error, nullptr);
  const auto killed = Clock::now();
  server_.signal(SIGKILL);
  for (auto& result : results) {
    const RpcResult end = result.get();
    EXPECT_EQ(code_of(end), ErrorCode::kUnavailable);
    EXPECT_THAT(end.error->what(), HasSubstr("ps 3"));
  }
  EXPECT_LT(Clock::now() - killed, 5s);
  EXPECT_EQ(code_of(call(*connection, {}).get()), ErrorCode::kUnavailable);
}

// The server dies while the ring, or the socket, is full of what it has not read.
TEST_P(RpcProcessTest, AServerKilledInTheMiddleOfALongRequestFailsIt) {
  const auto connection = connect();
  EXPECT_EQ(call(*connection, text_message("x")).get().error, nullptr);
  stop_server();
  const Message large = own(std::vector<std::byte>(size_t{64} << 20));
  auto result = call(*connection, {{large}});
  server_.signal(SIGKILL);
  EXPECT_EQ(code_of(result.get()), ErrorCode::kUnavailable);
}

// One that is stopped, not dead, closes no connection: only the deadline can find it.
TEST_P(RpcProcessTest, AStoppedServerMeetsTheDeadlineAndGoesOnLater) {
  const auto connection = connect();
  EXPECT_EQ(call(*connection, text_message("x")).get().error, nullptr);
  stop_server();
  auto patient = call(*connection, text_message("patient"));
  EXPECT_EQ(code_of(call(*connection, text_message("x"), 100ms).get()),
            ErrorCode::kDeadlineExceeded);
  server_.signal(SIGCONT);
  EXPECT_EQ(patient.get().error, nullptr);
}

// 3 GB of the same piece cost this side nothing; they must not cost the other side either.
TEST_P(RpcProcessTest, ThreeGigabytesAreRefusedAndCostNoMemory) {
  const auto connection = connect(size_t{1} << 33);
  const Message piece = own(std::vector<std::byte>(size_t{64} << 20));
  OutMessage request;
  for (int i = 0; i < 48; ++i) request.pieces.push_back(piece);
  const RpcResult result = call(*connection, std::move(request)).get();
  EXPECT_EQ(code_of(result), ErrorCode::kInvalidArgument);
  EXPECT_THAT(result.error->what(), HasSubstr("3221225472"));
  EXPECT_EQ(call(*connection, text_message("x")).get().error, nullptr);
  std::ifstream status("/proc/" + std::to_string(server_.pid()) + "/status");
  std::string line;
  int64_t most_kib = -1;
  while (std::getline(status, line)) {
    if (line.starts_with("VmHWM:")) most_kib = std::stoll(line.substr(6));
  }
  EXPECT_GT(most_kib, 0);
  EXPECT_LT(most_kib, 300 << 10);
}

TEST_P(RpcProcessTest, NothingIsLeftOfAKilledClient) {
  const auto server = make_rpc_server({.secret = "s", .job_id = "j"},
                                      [](Message request, std::unique_ptr<Responder> responder) {
                                        // Never answered, and never freed before the client is
                                        // gone.
                                        static std::vector<std::unique_ptr<Responder>> held;
                                        if (text_of(request) == "hold") {
                                          held.push_back(std::move(responder));
                                        } else {
                                          responder->answer({});
                                        }
                                      });
  const std::string port = server->address().substr(server->address().rfind(':') + 1);
  const auto mapped = [] { return file_holds("/proc/self/maps", "trireme-ps"); };
  {
    testing::Process client({TRIREME_RPC_PROGRAM, "call", port, GetParam() ? "shm" : "tcp"});
    ASSERT_TRUE(client.wait_for_error_output("ready", kPatience));
    EXPECT_EQ(mapped(), GetParam());
    client.signal(SIGKILL);
  }
  EXPECT_TRUE(eventually([&] { return !mapped(); }));
  const auto connection = connect_rpc({.address = server->address(), .secret = "s", .job_id = "j"});
  EXPECT_EQ(call(*connection, text_message("x")).get().error, nullptr);
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    EXPECT_THAT(entry.path().string(), ::testing::Not(HasSubstr("trireme-ps")));
  }
}

}  // namespace
}  // namespace trireme::ps

// Strangers at each kind of port: what they cost is bounded, and the job goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <future>
#include <memory>
#include <sstream>

#include "distributed/collective/make_communicator.h"
#include "distributed/coordination/coordinator_client.h"
#include "ps/protocol/rpc.h"
#include "tests/distributed/attack/attacked_job.h"
#include "tests/support/free_ports.h"
#include "tests/support/process.h"

namespace trireme::testing {
namespace {

using namespace std::chrono_literals;
using Words = std::vector<std::string>;

constexpr auto kPatience = 60s;
constexpr int64_t kMostKib = 64 << 10;

// "VmRSS", "VmHWM" of a process, in KiB.
int64_t memory(pid_t pid, const std::string& what) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(what + ":", 0) == 0) return std::stoll(line.substr(what.size() + 1));
  }
  return 0;
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

// A member of the job that works with the server.
class Member {
 public:
  virtual ~Member() = default;
  virtual void work() = 0;  // throws when it cannot
};

class WorkerOfCoordinator final : public Member {
 public:
  explicit WorkerOfCoordinator(const std::string& address)
      : client_({.address = address,
                 .secret = kAttackedSecret,
                 .job_id = kAttackedJob,
                 .connect_timeout = kPatience}) {}
  void work() override {
    client_.hello();
    client_.put("key", "value");
    if (client_.get("key", 10s) != "value") throw failed("another value");
  }

 private:
  CoordinatorClient client_;
};

class WorkerOfServer final : public Member {
 public:
  explicit WorkerOfServer(const std::string& address)
      : connection_(ps::connect_rpc({.address = address,
                                     .secret = kAttackedSecret,
                                     .job_id = kAttackedJob,
                                     .connections = 2,
                                     .connect_timeout = kPatience})) {}
  void work() override {
    std::promise<std::string> done;
    std::vector<std::byte> bytes(1 << 20, std::byte{7});
    connection_->call({{ps::own(std::move(bytes))}}, 30'000ms, [&](ps::RpcResult result) {
      done.set_value(result.error ? result.error->what()
                                  : std::to_string(result.answer.bytes.size()));
    });
    const std::string answer = done.get_future().get();
    if (answer != std::to_string(1 << 20)) throw failed(answer);
  }

 private:
  const std::shared_ptr<ps::RpcConnection> connection_;
};

// Each piece of work is a generation, with connections of its own.
class OtherRank final : public Member {
 public:
  OtherRank(std::string address, std::shared_ptr<int64_t> generation)
      : address_(std::move(address)),
        generation_(std::move(generation)),
        endpoint_(make_endpoint({.backend = "grpc", .secret = kAttackedSecret})) {}
  void work() override {
    const auto communicator = endpoint_->connect(attacked_group(++*generation_, 1, address_),
                                                 {.timeout = std::chrono::milliseconds(kPatience)});
    add_together(*communicator);
  }

 private:
  const std::string address_;
  const std::shared_ptr<int64_t> generation_;
  const std::unique_ptr<CollectiveEndpoint> endpoint_;
};

class AttackTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { start(0); }

  void start(int port) {
    generation_ = std::make_shared<int64_t>(0);
    server_ = std::make_unique<Process>(
        Words{"/bin/sh", "-c", "ulimit -n 1024 && exec \"$0\" \"$@\"", ATTACKED_SERVER, GetParam(),
              std::to_string(port), folder_.path()});
    ASSERT_TRUE(server_->wait_for_error_output("listening on 127.0.0.1:", 20s));
    std::ifstream address(folder_ / ("address." + std::to_string(server_->pid())));
    std::getline(address, address_);
    ASSERT_NE(address_, "");
  }

  std::string port() const { return address_.substr(address_.rfind(':') + 1); }

  std::unique_ptr<Member> join() {
    const std::string kind = GetParam();
    if (kind == "coordinator") return std::make_unique<WorkerOfCoordinator>(address_);
    if (kind == "ps") return std::make_unique<WorkerOfServer>(address_);
    return std::make_unique<OtherRank>(address_, generation_);
  }

  void attack(const Words& kinds, int connections) {
    // The port for collectives learns later which job it is of, and asks each call.
    const std::string job = GetParam() == std::string("collective") ? "" : kAttackedJob;
    for (const std::string& kind : kinds) {
      attackers_.push_back(std::make_unique<Process>(
          Words{ATTACKER, kind, port(), std::to_string(connections), job}));
    }
    for (const auto& attacker : attackers_) {
      ASSERT_TRUE(attacker->wait_for_error_output("attacking", 20s));
    }
  }

  // The rightful members work beside the attack and after it, and so does a server that is started
  // again on the same port.
  void expect_that_the_job_goes_on(const Words& kinds, int connections) {
    const auto member = join();
    member->work();
    const int64_t before = memory(server_->pid(), "VmRSS");
    attack(kinds, connections);
    const auto end = std::chrono::steady_clock::now() + 2s;
    do {
      ASSERT_NO_THROW(member->work());
      ASSERT_NO_THROW(join()->work());
    } while (std::chrono::steady_clock::now() < end);
    EXPECT_LT(memory(server_->pid(), "VmHWM"), before + kMostKib);
    ASSERT_TRUE(server_->runs_for(100ms));  // its checkpoints could be written
    const bool is_restarted = std::string(GetParam()) != "collective";  // its port is another one
    if (is_restarted) {
      server_->signal(SIGKILL);
      const std::string said = server_->wait(10s).err;
      EXPECT_GE(count(said, "refused "), 1u) << said;
      EXPECT_LE(count(said, "\n"), 60u) << said;
      start(std::stoi(port()));
      ASSERT_NO_THROW(join()->work());
    }
    attackers_.clear();
    ASSERT_NO_THROW(join()->work());
    ASSERT_TRUE(server_->runs_for(100ms));
    if (is_restarted) return;
    server_->signal(SIGKILL);
    const std::string said = server_->wait(10s).err;
    EXPECT_GE(count(said, "refused a connection from 127.0.0.1:"), 1u) << said;
    EXPECT_LE(count(said, "\n"), 60u) << said;
  }

  TemporaryDirectory folder_;
  std::unique_ptr<Process> server_;
  std::string address_;
  std::shared_ptr<int64_t> generation_;
  std::vector<std::unique_ptr<Process>> attackers_;
};

// More than the limit of open files: gRPC's own acceptor would stop for good at the limit, and the
// next checkpoint would fail.
TEST_P(AttackTest, ConnectionsThatSayNothing) { expect_that_the_job_goes_on({"idle"}, 1100); }

// gRPC would keep what it has read of them.
TEST_P(AttackTest, CallsThatDoNotEnd) {
  expect_that_the_job_goes_on({"unfinished", "resets", "continuation"}, 200);
}

TEST_P(AttackTest, GarbageAndGreetingsThatDoNotEnd) {
  expect_that_the_job_goes_on({"garbage", "dribble", "half"}, 200);
}

TEST_P(AttackTest, WrongAndReplayedProofs) {
  expect_that_the_job_goes_on({"wrong", "replay"}, 100);
}

// More members than there may be open files: those that came first work, checkpoints are written,
// and there is room again when some have gone.
TEST_P(AttackTest, MoreMembersThanThereMayBeOpenFiles) {
  const auto member = join();
  member->work();
  attack({"members"}, 1100);
  for (int i = 0; i < 5 && GetParam() != std::string("collective"); ++i) {
    ASSERT_NO_THROW(member->work());
    ASSERT_TRUE(server_->runs_for(100ms));
  }
  ASSERT_TRUE(
      server_->wait_for_error_output("accepts new connections slowly: too many open files", 30s));
  ASSERT_TRUE(server_->runs_for(500ms));
  attackers_.clear();
  ASSERT_NO_THROW(join()->work());
  ASSERT_TRUE(server_->runs_for(100ms));
}

INSTANTIATE_TEST_SUITE_P(Ports, AttackTest, ::testing::Values("coordinator", "ps", "collective"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace trireme::testing

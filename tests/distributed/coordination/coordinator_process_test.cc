// Members that are processes: killed, stopped, and started again.
#include <gmock/gmock.h>
#include <signal.h>

#include "tests/distributed/coordination/members.h"
#include "tests/support/free_ports.h"
#include "tests/support/process.h"

namespace trireme::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

std::unique_ptr<Process> start_member(const std::string& address, int rank, int world_size,
                                      int incarnation = 0, bool inside = false,
                                      const std::string& secret = kSecret) {
  std::vector<std::string> arguments = {TRIREME_MEMBER,
                                        address,
                                        secret,
                                        std::to_string(rank),
                                        std::to_string(world_size),
                                        std::to_string(incarnation)};
  if (inside) arguments.push_back("inside");
  return std::make_unique<Process>(arguments);
}

// The kernel closes the sockets of a process that dies; nobody has to wait for a deadline.
TEST(CoordinatorProcessTest, HearsOfAKilledMemberAtOnce) {
  Lines lines;
  Coordinator coordinator(coordinator_options(3, &lines));
  auto victim = start_member(coordinator.address(), 2, 3, 0, true);
  auto members = join_all(coordinator.address(), 2, 3);
  ASSERT_TRUE(victim->wait_for_error_output("joined generation 1 as 2 of 3", 5s));
  members[0]->watch->enter("bucket 0 (w … b)", 1);
  // Its beat has told where it is.
  members[1]->watch->enter("bucket 0 (w … b)", 1);
  const auto start = Clock::now();
  victim->signal(SIGKILL);
  for (auto& member : members) {
    const auto fault = member->wait_for_fault();
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->code(), ErrorCode::kUnavailable);
    EXPECT_THAT(fault->what(), AllOf(HasSubstr("rank 2 (host process, pid "), HasSubstr("was lost"),
                                     HasSubstr("its connection to the coordinator ended")));
  }
  const auto took = Clock::now() - start;
  EXPECT_LT(took, 1s);
  RecordProperty("heard_ms", static_cast<int>(took / 1ms));
}

// A process that is stopped, not dead, closes no socket: only the deadline can find it.
TEST(CoordinatorProcessTest, NamesAStoppedMemberAtTheDeadline) {
  Lines lines;
  auto options = coordinator_options(3, &lines, 2);
  options.collective_timeout = 1500ms;
  Coordinator coordinator(options);
  auto stopped = start_member(coordinator.address(), 1, 3, 0, true);
  std::vector<std::unique_ptr<TestMember>> members;
  std::vector<std::future<Membership>> joins;
  for (int rank : {0, 2}) {
    members.push_back(std::make_unique<TestMember>(coordinator.address(), rank, 3));
    joins.push_back(members.back()->join_later());
  }
  for (auto& join : joins) join.get();
  ASSERT_TRUE(stopped->wait_for_error_output("joined", 5s));
  stopped->signal(SIGSTOP);
  const auto start = Clock::now();
  for (auto& member : members) member->watch->enter("bucket 0 (w … b)", 1);
  EXPECT_THAT(lines.wait_for("rank 1 (host process"), HasSubstr("rank 1 (host process"));
  for (auto& member : members) {
    const auto fault = member->wait_for_fault();
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->code(), ErrorCode::kDeadlineExceeded);
    EXPECT_THAT(fault->what(),
                AllOf(HasSubstr("rank 1 (host process, pid "), HasSubstr("has been missing for "),
                      HasSubstr("waiting: ranks 0, 2")));
  }
  EXPECT_LT(Clock::now() - start, options.collective_timeout + 1s);
  // The others go on without it, and at once; when it wakes up it comes back.
  joins.clear();
  const auto again = Clock::now();
  for (auto& member : members) joins.push_back(member->join_later());
  for (auto& join : joins) EXPECT_EQ(join.get().group.size(), 2);
  EXPECT_LT(Clock::now() - again, 1s);
  stopped->signal(SIGCONT);
  ASSERT_TRUE(stopped->wait_for_error_output("fault: rank 1 (host process", 5s));
  joins.clear();
  for (auto& member : members) {
    EXPECT_EQ(member->wait_for_fault()->code(), ErrorCode::kCancelled);
    joins.push_back(member->join_later());
  }
  for (auto& join : joins) EXPECT_EQ(join.get().group.size(), 3);
  EXPECT_TRUE(stopped->wait_for_error_output("joined generation 3 as 1 of 3", 5s));
}

// One of three is killed, two go on, it is started again and let in.
TEST(CoordinatorProcessTest, GoesOnWithFewerAndLetsTheWorkerBackIn) {
  Lines lines;
  Coordinator coordinator(coordinator_options(3, &lines, 2));
  auto first = start_member(coordinator.address(), 0, 3);
  auto victim = start_member(coordinator.address(), 1, 3);
  auto last = start_member(coordinator.address(), 2, 3);
  for (auto* process : {&first, &victim, &last}) {
    ASSERT_TRUE((*process)->wait_for_error_output("joined generation 1", 5s));
  }
  auto start = Clock::now();
  victim->signal(SIGKILL);
  ASSERT_TRUE(first->wait_for_error_output("joined generation 2 as 0 of 2", 5s));
  ASSERT_TRUE(last->wait_for_error_output("joined generation 2 as 1 of 2", 5s));
  const auto shrunk = Clock::now() - start;
  EXPECT_LT(shrunk, 1s);
  start = Clock::now();
  auto again = start_member(coordinator.address(), 1, 3, 1);
  ASSERT_TRUE(again->wait_for_error_output("joined generation 3 as 1 of 3", 5s));
  ASSERT_TRUE(first->wait_for_error_output("joined generation 3 as 0 of 3", 5s));
  ASSERT_TRUE(last->wait_for_error_output("joined generation 3 as 2 of 3", 5s));
  EXPECT_LT(Clock::now() - start, 2s);
  RecordProperty("shrunk_ms", static_cast<int>(shrunk / 1ms));
  RecordProperty("grown_ms", static_cast<int>((Clock::now() - start) / 1ms));
}

// A process that is killed while it waits must not count when the last one comes.
TEST(CoordinatorProcessTest, DoesNotCountATaskThatDiedWaiting) {
  Lines lines;
  Coordinator coordinator(coordinator_options(2, &lines));
  auto victim = start_member(coordinator.address(), 1, 2);
  ASSERT_NE(lines.wait_for("rank 1 (host process"), "");
  victim->signal(SIGKILL);
  victim->wait();
  TestMember zero(coordinator.address(), 0, 2);
  auto join = zero.join_later();
  EXPECT_EQ(join.wait_for(300ms), std::future_status::timeout);
  auto again = start_member(coordinator.address(), 1, 2, 1);
  EXPECT_EQ(join.get().group.size(), 2);
}

// A coordinator that is stopped answers no beats; one that is killed is missed at once.
TEST(CoordinatorProcessTest, IsMissedWhenItIsStoppedAndWhenItIsKilled) {
  for (const int signal : {SIGSTOP, SIGKILL}) {
    const int port = free_ports();
    const std::string address = "127.0.0.1:" + std::to_string(port);
    Process host({TRIREME_MEMBER, "host", std::to_string(port), kSecret, "2", "0"});
    auto members = join_all(address, 2, 2);
    const auto start = Clock::now();
    host.signal(signal);
    for (auto& member : members) {
      const auto fault = member->wait_for_fault();
      ASSERT_TRUE(fault);
      EXPECT_EQ(fault->code(), ErrorCode::kUnavailable);
      EXPECT_EQ(fault->what(),
                str_cat("the coordinator at ", address,
                        signal == SIGSTOP ? " has not answered for 2.0 s" : " is gone"));
    }
    EXPECT_LT(Clock::now() - start, signal == SIGSTOP ? 3s : 1s);
  }
}

TEST(CoordinatorProcessTest, EndsARefusedProgramWithOneLine) {
  Lines lines;
  Coordinator coordinator(coordinator_options(1, &lines));
  const auto result = start_member(coordinator.address(), 0, 1, 0, false, "wrong")->wait(10s);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err, str_cat("error: the coordinator at ", coordinator.address(),
                                " refused this task: its secret is not the job's (set "
                                "TRIREME_SECRET to the job's)\n"));
}

}  // namespace
}  // namespace trireme::testing

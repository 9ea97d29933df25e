// The coordinator and its clients over sockets, in one process.
#include "distributed/coordination/coordinator.h"

#include <gmock/gmock.h>
#include <sys/socket.h>

#include <filesystem>

#include "tests/distributed/coordination/members.h"
#include "tests/support/free_ports.h"

namespace trireme::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

TEST(CoordinatorTest, BringsTheWorkersTogether) {
  Lines lines;
  Coordinator coordinator(coordinator_options(3, &lines));
  EXPECT_EQ(coordinator.generation(), 0);
  std::vector<std::unique_ptr<TestMember>> members;
  std::vector<std::future<Membership>> joins;
  for (int rank = 0; rank < 3; ++rank) {
    members.push_back(std::make_unique<TestMember>(coordinator.address(), rank, 3));
    members.back()->request.address = "127.0.0.1:" + std::to_string(5000 + rank);
    members.back()->request.host_id = "h" + std::to_string(rank);
    members.back()->request.progress = rank == 1 ? 12 : 11;
    joins.push_back(members.back()->join_later());
  }
  for (int rank = 0; rank < 3; ++rank) {
    const auto membership = joins[static_cast<size_t>(rank)].get();
    EXPECT_EQ(membership.group.rank, rank);
    EXPECT_EQ(membership.group.generation, 1);
    EXPECT_EQ(membership.group.secret, kSecret);
    EXPECT_EQ(membership.group.job_id, "job");
    ASSERT_EQ(membership.group.size(), 3);
    EXPECT_EQ(membership.group.peers[2].address, "127.0.0.1:5002");
    EXPECT_EQ(membership.group.peers[2].host_id, "h2");
    EXPECT_EQ(membership.group.peers[2].pid, 1002);
    EXPECT_EQ(membership.state_source, 1);
    EXPECT_EQ(membership.progress, 12);
  }
  EXPECT_EQ(coordinator.members(), 3);
  EXPECT_EQ(coordinator.generation(), 1);
  EXPECT_NE(lines.wait_for("generation 1 begins at step 12: rank 0 (host thread, pid 1000)"), "");
}

// Nobody is told all of everybody; an address of another generation would connect to a stranger.
TEST(CoordinatorTest, LooksUpThePeersOfALargeGroupWhileItRuns) {
  constexpr int kSize = 66;
  Lines lines;
  Coordinator coordinator(coordinator_options(kSize, &lines));
  std::vector<std::unique_ptr<TestMember>> members;
  std::vector<std::future<Membership>> joins;
  for (int rank = 0; rank < kSize; ++rank) {
    members.push_back(std::make_unique<TestMember>(coordinator.address(), rank, kSize));
    members.back()->request.address = "127.0.0.1:" + std::to_string(5000 + rank);
    members.back()->request.host_id = "h" + std::to_string(rank / 4);
    joins.push_back(members.back()->join_later());
  }
  std::vector<Membership> memberships;
  for (auto& join : joins) memberships.push_back(join.get());
  const Group& group = memberships[7].group;
  ASSERT_EQ(group.size(), kSize);
  EXPECT_EQ(group.peers[7].address, "127.0.0.1:5007");
  EXPECT_EQ(group.peers[8].address, "");
  EXPECT_EQ(group.peers[4].host_id, group.peers[7].host_id);
  EXPECT_NE(group.peers[4].host_id, group.peers[8].host_id);
  const auto found = group.look_up({65, 8});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].address, "127.0.0.1:5065");
  EXPECT_EQ(found[1].to_string(), "rank 8 (host thread, pid 1008)");
  EXPECT_THAT(error_of([&] { group.look_up({kSize}); }).what(),
              HasSubstr("there is no rank 66 in generation 1 of 66"));
  EXPECT_NE(lines.wait_for("generation 1 begins at step 0: rank 0 (host thread, pid 1000), rank 1"),
            "");
  EXPECT_NE(lines.wait_for(" and 62 others"), "");
  members[3]->client().report_fault(Error(ErrorCode::kUnavailable, "rank 5 is gone"));
  ASSERT_TRUE(members[7]->wait_for_fault());
  const auto error = error_of([&] { group.look_up({8}); });
  EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
  EXPECT_THAT(error.what(), HasSubstr("rank 5 is gone"));
}

// Tasks start in any order, and the coordinator may be the last.
TEST(CoordinatorTest, IsFoundWhenItComesLater) {
  Lines lines;
  const int port = free_ports();
  const std::string address = "127.0.0.1:" + std::to_string(port);
  auto join = std::async(std::launch::async, [&] { return TestMember(address, 0, 1).join(); });
  // It has tried and failed before there is anybody to answer.
  EXPECT_EQ(join.wait_for(200ms), std::future_status::timeout);
  auto options = coordinator_options(1, &lines);
  options.port = port;
  Coordinator late(options);
  EXPECT_EQ(join.wait_for(3s), std::future_status::ready);
  EXPECT_EQ(join.get().group.size(), 1);
}

TEST(CoordinatorTest, SaysForHowLongNobodyAnswered) {
  auto options = client_options("127.0.0.1:1");
  options.connect_timeout = 200ms;
  const auto error = error_of([&] { CoordinatorClient client(options); });
  EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
  EXPECT_THAT(error.what(), HasSubstr("no coordinator has answered at 127.0.0.1:1 for 0.2 s"));
}

TEST(CoordinatorTest, DoesNotShareItsPort) {
  Lines lines;
  Coordinator first(coordinator_options(1, &lines));
  auto options = coordinator_options(1, &lines);
  options.port = std::stoi(first.address().substr(first.address().rfind(':') + 1));
  const auto error = error_of([&] { Coordinator second(options); });
  EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(error.what(),
            str_cat("the coordinator cannot listen on ", first.address(),
                    ": Address already in use; choose another port, or end what has it"));
}

TEST(CoordinatorTest, ReportsAFaultToAllOnce) {
  Lines lines;
  Coordinator coordinator(coordinator_options(3, &lines));
  auto members = join_all(coordinator.address(), 3, 3);
  members[1]->client().report_fault(Error(ErrorCode::kDataLoss, "rank 2 sent garbage"));
  members[0]->client().report_fault(Error(ErrorCode::kDataLoss, "rank 2 sent garbage"));
  std::vector<std::future<Membership>> joins;
  for (auto& member : members) {
    const auto fault = member->wait_for_fault();
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->code(), ErrorCode::kDataLoss);
    EXPECT_THAT(fault->what(), HasSubstr("reports: rank 2 sent garbage"));
    EXPECT_EQ(member->faults(), 1u);
  }
  // All go on in the next generation, whose fault is another.
  for (auto& member : members) joins.push_back(member->join_later());
  for (auto& join : joins) EXPECT_EQ(join.get().group.generation, 2);
  EXPECT_EQ(members[0]->faults(), 0u);
  members[2]->client().report_fault(Error(ErrorCode::kUnavailable, "rank 0 is gone"));
  EXPECT_THAT(members[0]->wait_for_fault()->what(), HasSubstr("rank 0 is gone"));
}

TEST(CoordinatorTest, DeliversAFaultThatCameBeforeAttend) {
  Lines lines;
  Coordinator coordinator(coordinator_options(2, &lines));
  CoordinatorClient early(client_options(coordinator.address()));
  auto late = std::make_unique<TestMember>(coordinator.address(), 1, 2);
  auto join = late->join_later();
  JoinRequest request = late->request;
  request.rank = 0;
  early.join(request);
  join.get();
  late->client().report_fault(Error(ErrorCode::kUnavailable, "something"));
  ASSERT_TRUE(late->wait_for_fault());
  std::promise<Error> heard;
  early.attend(nullptr, [&](const Error& error) { heard.set_value(error); });
  EXPECT_THAT(heard.get_future().get().what(), HasSubstr("something"));
}

// A member that is lost as a generation begins ends it before the others have taken their places
// up: who misses the end waits for the lost one until a deadline.
TEST(CoordinatorTest, DeliversAFaultThatComesRightAfterTheMembership) {
  constexpr int kGenerations = 300;
  Lines lines;
  Coordinator coordinator(coordinator_options(2, &lines));
  TestMember stays(coordinator.address(), 0, 2);
  auto gives_up = std::async(std::launch::async, [&] {
    TestMember member(coordinator.address(), 1, 2);
    for (int generation = 0; generation < kGenerations; ++generation) {
      member.request.progress = generation;  // else generations that end at once pause
      member.client().join(member.request);
    }
    member.client().report_fault(Error(ErrorCode::kUnavailable, "that was the last one"));
    member.client().barrier("end", 10s);
  });
  for (int generation = 1; generation <= kGenerations; ++generation) {
    ASSERT_EQ(stays.join().group.generation, generation);
    ASSERT_TRUE(stays.wait_for_fault()) << "of generation " << generation;
  }
  EXPECT_THROW(gives_up.get(), Error);  // the barrier of a generation that has ended
}

TEST(CoordinatorTest, NamesTheLateRankToAllAndGivesUpAtTheDeadline) {
  Lines lines;
  auto options = coordinator_options(3, &lines);
  options.collective_timeout = 1s;
  Coordinator coordinator(options);
  auto members = join_all(coordinator.address(), 3, 3);
  const auto start = Clock::now();
  for (int rank : {0, 2}) members[static_cast<size_t>(rank)]->watch->enter("bucket 3 (a … b)", 8);
  const auto line = lines.wait_for("has been missing for 0.");
  EXPECT_THAT(line, AllOf(HasSubstr("rank 1 (host thread, pid 1001) has been missing"),
                          HasSubstr("at step 8, bucket 3 (a … b); waiting: ranks 0, 2")));
  for (auto& member : members) {
    const auto fault = member->wait_for_fault();
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->code(), ErrorCode::kDeadlineExceeded);
    EXPECT_THAT(fault->what(), HasSubstr("rank 1 (host thread, pid 1001) has been missing for "));
  }
  EXPECT_GE(Clock::now() - start, 1s);
  EXPECT_LT(Clock::now() - start, 2s);
}

TEST(CoordinatorTest, SaysNothingWhileCollectivesGoOn) {
  Lines lines;
  auto options = coordinator_options(2, &lines);
  options.stall_warning = 600ms;
  Coordinator coordinator(options);
  auto members = join_all(coordinator.address(), 2, 2);
  const auto end = Clock::now() + 1s;
  for (uint64_t sequence = 1; Clock::now() < end; ++sequence) {
    for (auto& member : members) member->watch->enter("bucket 0", 1);
    for (auto& member : members) member->watch->leave();
  }
  EXPECT_EQ(lines.wait_for("missing", 1ms), "");
  EXPECT_EQ(members[0]->faults() + members[1]->faults(), 0u);
}

TEST(CoordinatorTest, HoldsABarrierAndNamesWhoHasNotCome) {
  Lines lines;
  Coordinator coordinator(coordinator_options(3, &lines));
  auto members = join_all(coordinator.address(), 3, 3);
  for (int round = 0; round < 3; ++round) {
    std::vector<std::future<void>> arrivals;
    for (auto& member : members) {
      arrivals.push_back(
          std::async(std::launch::async, [&] { member->client().barrier("epoch", 5s); }));
    }
    for (auto& arrival : arrivals) arrival.get();
  }
  const auto error = error_of([&] { members[1]->client().barrier("epoch", 100ms); });
  EXPECT_EQ(error.code(), ErrorCode::kDeadlineExceeded);
  EXPECT_STREQ(error.what(), "ranks 0, 2 have not come to the barrier \"epoch\" within 0.1 s");
  // A loss ends it with its cause.
  auto waiting = std::async(std::launch::async, [&] {
    return error_of([&] { members[0]->client().barrier("epoch", 5s); });
  });
  members[2]->client().report_fault(Error(ErrorCode::kUnavailable, "rank 1 is gone"));
  EXPECT_THAT(waiting.get().what(), HasSubstr("rank 1 is gone"));
}

TEST(CoordinatorTest, KeepsKeysForTheJob) {
  Lines lines;
  Coordinator coordinator(coordinator_options(2, &lines));
  CoordinatorClient a(client_options(coordinator.address())),
      b(client_options(coordinator.address()));
  auto value = std::async(std::launch::async, [&] { return b.get("nccl/id", 5s); });
  const std::string bytes("\0\xff\n", 3);
  a.put("nccl/id", bytes);
  EXPECT_EQ(value.get(), bytes);
  const auto error = error_of([&] { a.get("other", 50ms); });
  EXPECT_EQ(error.code(), ErrorCode::kDeadlineExceeded);
  EXPECT_STREQ(error.what(), "nobody has put the key \"other\" within 0.1 s");
  EXPECT_EQ(error_of([&] { a.put("", "x"); }).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_of([&] { a.barrier("b", 1s); }).code(), ErrorCode::kInvalidArgument);
}

TEST(CoordinatorTest, TellsAllWhenItEnds) {
  Lines lines;
  auto coordinator = std::make_unique<Coordinator>(coordinator_options(3, &lines));
  TestMember waiting(coordinator->address(), 2, 3);
  auto options = coordinator_options(2, &lines);
  Coordinator other(options);
  auto members = join_all(other.address(), 2, 2);
  auto join = waiting.join_later();
  EXPECT_EQ(join.wait_for(100ms), std::future_status::timeout);
  coordinator.reset();
  EXPECT_EQ(error_of([&] { join.get(); }).code(), ErrorCode::kUnavailable);
  EXPECT_EQ(members[0]->faults(), 0u);
}

TEST(CoordinatorTest, IsMissedByItsMembers) {
  Lines lines;
  auto coordinator = std::make_unique<Coordinator>(coordinator_options(2, &lines));
  const std::string address = coordinator->address();
  auto members = join_all(address, 2, 2);
  coordinator.reset();
  for (auto& member : members) {
    const auto fault = member->wait_for_fault();
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->code(), ErrorCode::kUnavailable);
    EXPECT_EQ(fault->what(), str_cat("the coordinator at ", address, " is gone"));
    const auto error = error_of([&] { member->client().put("k", "v"); });
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_THAT(error.what(), HasSubstr(str_cat("the coordinator at ", address, " is gone")));
    EXPECT_EQ(member->faults(), 1u);
  }
}

// A member that leaves is no loss, and is named when it is waited for after all.
TEST(CoordinatorTest, NamesAMemberThatHasLeft) {
  Lines lines;
  Coordinator coordinator(coordinator_options(2, &lines));
  auto members = join_all(coordinator.address(), 2, 2);
  members[1]->leave();
  EXPECT_NE(lines.wait_for("rank 1 (host thread, pid 1001) has left"), "");
  EXPECT_EQ(coordinator.members(), 1);
  members[0]->watch->enter("bucket 0 (w)", 1);
  EXPECT_THAT(lines.wait_for("missing"), HasSubstr("has left and has been missing for "));
  EXPECT_EQ(members[0]->faults(), 0u);
}

size_t entries(const char* folder) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

TEST(CoordinatorTest, LeavesNoThreadAndNoDescriptorBehind) {
  const auto life = [] {
    Lines lines;
    Coordinator coordinator(coordinator_options(2, &lines));
    auto members = join_all(coordinator.address(), 2, 2);
    members[0]->client().report_fault(Error(ErrorCode::kUnavailable, "x"));
    members[1]->wait_for_fault();
  };
  // gRPC keeps a few threads and descriptors of its own, which do not grow with what passes.
  std::vector<size_t> threads, descriptors;
  for (int round = 0; round < 12; ++round) {
    life();
    // Connections close on gRPC's own threads, a moment later.
    const auto deadline = Clock::now() + 2s;
    while (round > 4 &&
           (entries("/proc/self/fd") > descriptors[4] || entries("/proc/self/task") > threads[4]) &&
           Clock::now() < deadline) {
      std::this_thread::sleep_for(10ms);
    }
    threads.push_back(entries("/proc/self/task"));
    descriptors.push_back(entries("/proc/self/fd"));
  }
  EXPECT_LE(descriptors.back(), descriptors[4]) << ::testing::PrintToString(descriptors);
  EXPECT_LE(threads.back(), threads[4]) << ::testing::PrintToString(threads);
}

}  // namespace
}  // namespace trireme::testing

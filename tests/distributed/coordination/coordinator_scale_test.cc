// The coordinator in a process of its own, with thousands of members in this one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <set>
#include <vector>

#include "tests/distributed/coordination/crowd.h"
#include "tests/distributed/coordination/members.h"
#include "tests/distributed/coordination/scale.h"
#include "tests/support/process.h"

namespace trireme::testing {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr int kMembers = 4096;
constexpr int kOnAHost = 8;

class CoordinatorHost {
 public:
  CoordinatorHost(int members, int min_workers)
      : process_({TRIREME_MEMBER, "host", "0", kSecret, std::to_string(members),
                  std::to_string(min_workers), "60000"}) {
    if (!process_.wait_for_error_output("listening on ", std::chrono::seconds(10))) {
      throw Error(ErrorCode::kUnavailable, "the coordinator did not start");
    }
  }
  std::string address() const {
    const std::string& said = process_.error_output();
    const auto begin = said.find("listening on ") + sizeof("listening on ") - 1;
    return said.substr(begin, said.find('\n', begin) - begin);
  }
  pid_t pid() const { return process_.pid(); }
  // Reads what it says, so that it can say more.
  bool lives() { return process_.runs_for(milliseconds(0)); }
  // Its greatest resident set so far.
  int64_t peak_mib() const {
    std::ifstream status(str_cat("/proc/", process_.pid(), "/status"));
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmHWM:")) return std::atoll(line.c_str() + 6) / 1024;
    }
    return -1;
  }

 private:
  Process process_;
};

// Each member of the generation has the rank that its home has among the homes that are there.
void expect_right_places(const Crowd& crowd, int64_t generation, int size,
                         const std::set<int>& dead = {}) {
  int rank = 0;
  for (int home = 0; home < kMembers; ++home) {
    if (dead.contains(home)) continue;
    const auto place = crowd.place(home);
    ASSERT_EQ(place.generation, generation);
    ASSERT_EQ(place.rank, rank) << "home " << home;
    ASSERT_EQ(place.size, size);
    ++rank;
  }
}

// Pids, addresses and hosts that members are told are those of the tasks that are there.
void expect_right_peers(Crowd& crowd, int64_t generation, int asks,
                        const std::set<int>& dead = {}) {
  std::vector<int> homes;
  for (int home = 0; home < kMembers; ++home) {
    if (!dead.contains(home)) homes.push_back(home);
  }
  std::vector<int> ranks;
  for (int rank = asks % 7; rank < static_cast<int>(homes.size()); rank += 97)
    ranks.push_back(rank);
  const auto peers = crowd.look_up(asks, generation, ranks);
  ASSERT_EQ(peers.size(), ranks.size());
  for (size_t i = 0; i < ranks.size(); ++i) {
    const int home = homes[static_cast<size_t>(ranks[i])];
    EXPECT_EQ(peers[i].rank, ranks[i]);
    EXPECT_EQ(peers[i].pid, 1000 + home);
    EXPECT_EQ(peers[i].address, crowd.place(home).address);
  }
  const auto place = crowd.place(asks);
  ASSERT_EQ(place.hosts.size(), homes.size());
  for (size_t rank = 1; rank < homes.size(); ++rank) {
    const bool same_host = homes[rank] / kOnAHost == homes[rank - 1] / kOnAHost;
    ASSERT_EQ(place.hosts[rank] == place.hosts[rank - 1], same_host) << "rank " << rank;
  }
}

// What a coordinator of thousands must not have: a thread for each member, messages that name all
// members to each, work for each event that grows with the group.
TEST(CoordinatorScaleTest, FormsTheNextGenerationOfThousandsWithinTwoSecondsOfALoss) {
  CoordinatorHost host(kMembers, 0);
  const Stopwatch first(host.pid());
  Crowd crowd(host.address(), kSecret, kMembers, kOnAHost);
  crowd.start();
  int64_t generation = crowd.wait_for_generation(0, 60s);
  const auto formed = first.passed();
  ASSERT_EQ(generation, 1) << crowd.first_fault();
  EXPECT_LT(formed, 10s);
  expect_right_places(crowd, generation, kMembers);
  expect_right_peers(crowd, generation, 0);

  std::mt19937 random(7);
  std::vector<milliseconds> times;
  const uint64_t before = crowd.bytes_received();
  for (int loss = 0; loss < losses(); ++loss) {
    ASSERT_TRUE(host.lives());
    const int victim = static_cast<int>(random() % kMembers);
    const Stopwatch watch(host.pid());
    crowd.kill(victim);
    crowd.replace(victim);
    const int64_t next = crowd.wait_for_generation(generation, 60s);
    times.push_back(watch.passed());
    ASSERT_EQ(next, generation + 1) << crowd.first_fault();
    EXPECT_LT(times.back(), 2s) << "loss " << loss;
    generation = next;
  }
  expect_right_places(crowd, generation, kMembers);
  expect_right_peers(crowd, generation, 64);
  // Each is told that the generation is over, its place, and that the coordinator lives.
  const auto told = (crowd.bytes_received() - before) / static_cast<uint64_t>(losses());
  EXPECT_LT(told, uint64_t{kMembers} * kMembers / 8);
  EXPECT_TRUE(crowd.barrier("end of training", 60s));
  EXPECT_LT(host.peak_mib(), 1000);
  std::sort(times.begin(), times.end());
  std::printf(
      "%d members: the first generation after %.2f s, the next ones %.2f s (median) to "
      "%.2f s after a loss; %lld MiB; %llu bytes told to each for each loss\n",
      kMembers, formed.count() / 1e3, times[times.size() / 2].count() / 1e3,
      times.back().count() / 1e3, static_cast<long long>(host.peak_mib()),
      static_cast<unsigned long long>(told / kMembers));
}

// Ranks move down when the group goes on without the lost one, and up when it is back.
TEST(CoordinatorScaleTest, GivesAllTheRightRanksWithoutTheLostOneAndWithItAgain) {
  CoordinatorHost host(kMembers, kMembers - 10);
  Crowd crowd(host.address(), kSecret, kMembers, kOnAHost);
  crowd.start();
  int64_t generation = crowd.wait_for_generation(0, 60s);
  ASSERT_EQ(generation, 1) << crowd.first_fault();
  std::set<int> dead;
  for (const int victim : {0, 4095, 2048}) {
    const Stopwatch watch(host.pid());
    crowd.kill(victim);
    dead.insert(victim);
    generation = crowd.wait_for_generation(generation, 60s);
    ASSERT_GT(generation, 1) << crowd.first_fault();
    EXPECT_LT(watch.passed(), 2s);
    expect_right_places(crowd, generation, kMembers - static_cast<int>(dead.size()), dead);
    expect_right_peers(crowd, generation, 128, dead);
  }
  ASSERT_TRUE(host.lives());
  for (const int home : dead) crowd.replace(home);
  // They come one after the other, and may be let in so.
  while (crowd.place(4).size < kMembers) {
    const int64_t next = crowd.wait_for_generation(generation, 60s);
    ASSERT_GT(next, generation) << crowd.first_fault();
    generation = next;
  }
  expect_right_places(crowd, generation, kMembers);
  expect_right_peers(crowd, generation, 128);
}

}  // namespace
}  // namespace trireme::testing

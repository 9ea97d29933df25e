#include "core/base/compute_pool.h"

#include <dirent.h>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <latch>
#include <mutex>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/base/parallel.h"

namespace trireme {
namespace {

using namespace std::chrono_literals;

std::chrono::nanoseconds time_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

// Until `done()`; false after 20 s.
template <typename Done>
bool eventually(Done done) {
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

// The states (R, S, …) of this process's threads whose names begin with "compute".
std::vector<char> helper_states() {
  std::vector<char> states;
  DIR* const tasks = opendir("/proc/self/task");
  while (const dirent* entry = readdir(tasks)) {
    std::ifstream file(std::string("/proc/self/task/") + entry->d_name + "/stat");
    std::string line;
    std::getline(file, line);
    const size_t name_end = line.rfind(')');
    if (name_end == std::string::npos || line.find("(compute ") == std::string::npos) continue;
    states.push_back(line[name_end + 2]);
  }
  closedir(tasks);
  return states;
}

bool all_helpers_sleep() {
  const auto states = helper_states();
  return std::ranges::all_of(states, [](char state) { return state == 'S'; });
}

class ComputePoolTest : public ::testing::Test {
 protected:
  ~ComputePoolTest() override { set_compute_threads(0); }
};

// Many ranks, streams and servers of one process share the helpers.
TEST_F(ComputePoolTest, RunsEachPartOnceForManyCallers) {
  set_compute_threads(4);
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int caller = 0; caller < 12; ++caller) {
    callers.emplace_back([&, caller] {
      for (int round = 0; round < 300; ++round) {
        const int parts = 1 + (round * 7 + caller) % 70;
        std::vector<std::atomic<int>> runs(static_cast<size_t>(parts));
        ComputePool::instance().run(parts, 4, [&](int part) { ++runs[static_cast<size_t>(part)]; });
        for (const auto& count : runs) wrong += count != 1;
      }
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

// oneDNN's kernels have barriers inside: all parts must be running at once, whoever else computes.
TEST_F(ComputePoolTest, LetsPartsThatRunTogetherMeet) {
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int caller = 0; caller < 6; ++caller) {
    callers.emplace_back([&, caller] {
      for (int round = 0; round < 100; ++round) {
        if (caller % 2 == 0) {
          std::atomic<int> sum{0};
          ComputePool::instance().run(8, 4, [&](int part) { sum += part; });
          wrong += sum != 28;
          continue;
        }
        constexpr int kParts = 4;
        TeamBarrier barrier(kParts);
        std::array<std::atomic<int>, 3> arrived{};
        ComputePool::instance().run_together(kParts, [&](int) {
          for (auto& count : arrived) {
            ++count;
            barrier.wait();
            wrong += count != kParts;
          }
        });
      }
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

// On a busy machine a helper may have no core for milliseconds.
TEST_F(ComputePoolTest, DoesThePartsOfAStalledThread) {
  std::latch held(2), release(1);
  std::thread holder([&] {
    ComputePool::instance().run(2, 2, [&](int) {
      held.count_down();
      release.wait();
    });
  });
  held.wait();  // the only helper and its caller are inside a part
  std::vector<std::thread::id> ran(8);
  ComputePool::instance().run(
      8, 2, [&](int part) { ran[static_cast<size_t>(part)] = std::this_thread::get_id(); });
  EXPECT_THAT(ran, ::testing::Each(std::this_thread::get_id()));
  release.count_down();
  holder.join();
}

// Who spins takes the core from those that it waits for.
TEST_F(ComputePoolTest, SleepsWhileItWaitsForAPart) {
  std::latch begun(2), release(1);
  std::chrono::nanoseconds used{};
  std::thread caller([&] {
    std::chrono::nanoseconds before{};
    ComputePool::instance().run(2, 2, [&](int part) {
      begun.arrive_and_wait();  // each part has a thread of its own
      if (part == 0) before = time_of(CLOCK_THREAD_CPUTIME_ID);
      if (part == 1) release.wait();
    });
    used = time_of(CLOCK_THREAD_CPUTIME_ID) - before;
  });
  begun.wait();
  std::this_thread::sleep_for(200ms);  // how long the caller waits; nothing depends on it
  release.count_down();
  caller.join();
  EXPECT_LT(used, 50ms);
}

// A task that waits for data or for peers leaves its cores to others.
TEST_F(ComputePoolTest, UsesNoProcessorTimeWhileNothingRuns) {
  ComputePool::instance().run(64, 8, [](int) {});
  ASSERT_GE(helper_states().size(), 7u);
  ASSERT_TRUE(eventually(all_helpers_sleep));
  const auto before = time_of(CLOCK_PROCESS_CPUTIME_ID);
  std::this_thread::sleep_for(200ms);  // what is measured
  EXPECT_LT(time_of(CLOCK_PROCESS_CPUTIME_ID) - before, 50ms);
}

// A part that called parallel_for and waited for a helper could wait for itself.
TEST_F(ComputePoolTest, RunsNestedLoopsOnTheirThread) {
  set_compute_threads(3);
  std::atomic<int> wrong{0};
  std::atomic<int64_t> sum{0};
  parallel_for(30, 1, [&](int64_t begin, int64_t end) {
    const auto thread = std::this_thread::get_id();
    for (int64_t i = begin; i < end; ++i) {
      parallel_for(100, 1, [&](int64_t first, int64_t last) {
        wrong += std::this_thread::get_id() != thread || first != 0 || last != 100;
        sum += last - first;
      });
    }
  });
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(sum, 3000);
  EXPECT_FALSE(ComputePool::is_inside());
}

// A fault in a kernel's loop ends the step, not the program.
TEST_F(ComputePoolTest, GivesTheCallerWhatABodyThrows) {
  set_compute_threads(4);
  for (int round = 0; round < 50; ++round) {
    EXPECT_THROW(parallel_for(100, 1,
                              [&](int64_t begin, int64_t end) {
                                if (begin <= 70 && 70 < end) throw std::runtime_error("70");
                              }),
                 std::runtime_error);
    std::atomic<int64_t> sum{0};
    parallel_for(100, 1, [&](int64_t begin, int64_t end) { sum += end - begin; });
    EXPECT_EQ(sum, 100);
  }
}

// Sums follow the cut: the same job must give the same bits, whichever thread came late.
TEST_F(ComputePoolTest, CutsARangeTheSameWayEachTime) {
  using Ranges = std::set<std::pair<int64_t, int64_t>>;
  const auto cut = [](int64_t n, int64_t grain) {
    Ranges ranges;
    std::mutex mutex;
    parallel_for(n, grain, [&](int64_t begin, int64_t end) {
      std::lock_guard lock(mutex);
      ranges.emplace(begin, end);
    });
    return ranges;
  };
  for (const int threads : {1, 2, 3, 8}) {
    set_compute_threads(threads);
    for (const int64_t n : {1, 5, 16, 1000, 12345}) {
      for (const int64_t grain : {1, 7, 100}) {
        const Ranges first = cut(n, grain);
        int64_t at = 0;
        for (const auto& [begin, end] : first) {
          EXPECT_EQ(begin, at);
          at = end;
        }
        EXPECT_EQ(at, n);
        for (int round = 0; round < 5; ++round) EXPECT_EQ(cut(n, grain), first);
      }
    }
  }
}

// Data loaders and test harnesses fork; a child has no thread but the one that forked.
TEST_F(ComputePoolTest, ComputesInTheChildOfAFork) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer starts no thread in the child of a program with threads";
#endif
  set_compute_threads(4);
  std::atomic<int64_t> sum{0};
  const auto add = [&](int64_t begin, int64_t end) { sum += end - begin; };
  parallel_for(1000, 1, add);
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // a hang is a failure
    sum = 0;
    parallel_for(1000, 1, add);
    std::atomic<int> met{0};
    TeamBarrier barrier(4);
    ComputePool::instance().run_together(4, [&](int) {
      ++met;
      barrier.wait();
      if (met != 4) _exit(2);
    });
    _exit(sum == 1000 && helper_states().size() == 3 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace trireme

#include "core/base/openmp_regions.h"

#include <dirent.h>
#include <gmock/gmock.h>

#include <fstream>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <set>
#include <string>
#include <vector>

#include "core/base/compute_pool.h"
#include "core/base/parallel.h"

// What compiled OpenMP code calls.
extern "C" {
void GOMP_parallel(void (*function)(void*), void* data, unsigned threads, unsigned flags);
void GOMP_barrier();
int omp_get_thread_num();
int omp_get_num_threads();
int omp_get_max_threads();
int omp_in_parallel();
}

namespace trireme {
namespace {

// Names of this process's threads.
std::multiset<std::string> threads() {
  std::multiset<std::string> names;
  DIR* const tasks = opendir("/proc/self/task");
  while (const dirent* entry = readdir(tasks)) {
    if (entry->d_name[0] == '.') continue;
    std::ifstream file(std::string("/proc/self/task/") + entry->d_name + "/comm");
    std::string name;
    std::getline(file, name);
    names.insert(name);
  }
  closedir(tasks);
  return names;
}

class OpenMpRegionsTest : public ::testing::Test {
 protected:
  ~OpenMpRegionsTest() override { set_compute_threads(0); }
};

// Two pools would fight over the cores: oneDNN must start no threads of its own.
TEST_F(OpenMpRegionsTest, OneDnnComputesOnThePool) {
  set_compute_threads(4);
  ComputePool::instance().start_helpers(4);
  const auto before = threads();
  ASSERT_GE(before.count("compute 3"), 1u);
  constexpr int64_t n = 300;
  std::vector<float> a(n * n), b(n * n), c(n * n);
  for (int64_t i = 0; i < n * n; ++i) {
    a[static_cast<size_t>(i)] = static_cast<float>(i % 7);
    b[static_cast<size_t>(i)] = static_cast<float>(i % 5);
  }
  {
    const OpenMpRegions on_pool;
    EXPECT_EQ(omp_get_max_threads(), 4);
    for (int round = 0; round < 20; ++round) {
      ASSERT_EQ(dnnl_sgemm('N', 'N', n, n, n, 1, a.data(), n, b.data(), n, 0, c.data(), n),
                dnnl_success);
    }
  }
  float sum = 0;
  for (int64_t k = 0; k < n; ++k) {
    sum += a[static_cast<size_t>(7 * n + k)] * b[static_cast<size_t>(k * n + 11)];
  }
  EXPECT_EQ(c[7 * n + 11], sum);
  EXPECT_EQ(threads(), before);
}

struct Seen {
  std::mutex mutex;
  std::set<int> indices;
  std::set<int> sizes;
  std::set<bool> on_pool;
  std::set<int> inside;
  std::set<size_t> met;

  static void collect(void* data) {
    auto& seen = *static_cast<Seen*>(data);
    {
      std::lock_guard lock(seen.mutex);
      seen.indices.insert(omp_get_thread_num());
      seen.sizes.insert(omp_get_num_threads());
      seen.on_pool.insert(ComputePool::is_inside());
      seen.inside.insert(omp_in_parallel());
    }
    GOMP_barrier();
    std::lock_guard lock(seen.mutex);
    seen.met.insert(seen.indices.size());
  }
};

// The parts of a region know which of how many they are, and can wait for each other.
TEST_F(OpenMpRegionsTest, NumbersThePartsOfARegion) {
  set_compute_threads(2);
  const OpenMpRegions on_pool;
  Seen seen;
  GOMP_parallel(Seen::collect, &seen, 5, 0);
  EXPECT_THAT(seen.indices, ::testing::ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(seen.sizes, ::testing::ElementsAre(5));
  EXPECT_THAT(seen.on_pool, ::testing::ElementsAre(true));
  EXPECT_THAT(seen.inside, ::testing::ElementsAre(1));
  EXPECT_THAT(seen.met, ::testing::ElementsAre(5));
  EXPECT_EQ(omp_in_parallel(), 0);
}

// A region in a part of ours has that one thread: more would wait for threads that wait for it.
TEST_F(OpenMpRegionsTest, RunsARegionInsideAPartOnItsThread) {
  set_compute_threads(4);
  std::atomic<int> regions{0};
  parallel_for(16, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Seen seen;
      EXPECT_EQ(omp_get_max_threads(), 1);
      GOMP_parallel(Seen::collect, &seen, 4, 0);
      EXPECT_THAT(seen.indices, ::testing::ElementsAre(0));
      EXPECT_THAT(seen.sizes, ::testing::ElementsAre(1));
      ++regions;
    }
  });
  EXPECT_EQ(regions, 16);
}

// A program that links Trireme and has OpenMP code of its own keeps libgomp for it.
TEST_F(OpenMpRegionsTest, LeavesOtherRegionsToLibgomp) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer does not see how libgomp's threads wait for each other";
#endif
  set_compute_threads(2);
  Seen seen;
  GOMP_parallel(Seen::collect, &seen, 3, 0);
  EXPECT_THAT(seen.indices, ::testing::ElementsAre(0, 1, 2));
  EXPECT_THAT(seen.sizes, ::testing::ElementsAre(3));
  EXPECT_THAT(seen.on_pool, ::testing::ElementsAre(false));
  EXPECT_THAT(seen.met, ::testing::ElementsAre(3));
}

}  // namespace
}  // namespace trireme

#include "core/base/openmp_regions.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

#include "core/base/compute_pool.h"

namespace trireme {
namespace {

thread_local int t_depth = 0;    // of OpenMpRegions
thread_local int t_threads = 0;  // 0: compute_threads()

// The region that the calling thread is in, as OpenMP sees it.
struct Team {
  int index = 0, parts = 1;
  TeamBarrier* barrier = nullptr;
};
thread_local Team t_team;

bool is_ours() { return t_depth > 0 || ComputePool::is_inside(); }

int threads_here() {
  if (ComputePool::is_inside()) return 1;
  return t_threads > 0 ? t_threads : compute_threads();
}

// The function of this name that would run without ours.
template <typename Function>
Function* next(const char* name) {
  void* const found = dlsym(RTLD_NEXT, name);
  if (found == nullptr) {
    std::fprintf(stderr, "%s: called, but no OpenMP library that has it is loaded\n", name);
    std::abort();
  }
  return reinterpret_cast<Function*>(found);
}

void run_as(const Team& team, void (*function)(void*), void* data) {
  const Team outer = t_team;
  t_team = team;
  function(data);
  t_team = outer;
}

}  // namespace

OpenMpRegions::OpenMpRegions(int threads) : outer_threads_(t_threads) {
  ++t_depth;
  if (threads > 0) t_threads = threads;
}

OpenMpRegions::~OpenMpRegions() {
  --t_depth;
  t_threads = outer_threads_;
}

}  // namespace trireme

// libgomp's interface, as GCC's documentation of libgomp and the OpenMP specification give it.
extern "C" {

// 0 threads: as many as there are. Flags ask for binding, which a pool does not do.
void GOMP_parallel(void (*function)(void*), void* data, unsigned threads, unsigned flags) {
  using namespace trireme;
  if (!is_ours()) {
    static auto* const call = next<decltype(GOMP_parallel)>("GOMP_parallel");
    return call(function, data, threads, flags);
  }
  const int parts = threads > 0 ? static_cast<int>(threads) : threads_here();
  if (parts == 1 || ComputePool::is_inside()) return run_as({}, function, data);
  TeamBarrier barrier(parts);
  ComputePool::instance().run_together(parts, [&](int part) {
    run_as({part, parts, &barrier}, function, data);
  });
}

void GOMP_barrier() {
  using namespace trireme;
  if (!is_ours()) {
    static auto* const call = next<decltype(GOMP_barrier)>("GOMP_barrier");
    return call();
  }
  if (t_team.barrier != nullptr) t_team.barrier->wait();
}

int omp_get_thread_num() {
  using namespace trireme;
  if (is_ours()) return t_team.index;
  static auto* const call = next<decltype(omp_get_thread_num)>("omp_get_thread_num");
  return call();
}

int omp_get_num_threads() {
  using namespace trireme;
  if (is_ours()) return t_team.parts;
  static auto* const call = next<decltype(omp_get_num_threads)>("omp_get_num_threads");
  return call();
}

int omp_get_max_threads() {
  using namespace trireme;
  if (is_ours()) return threads_here();
  static auto* const call = next<decltype(omp_get_max_threads)>("omp_get_max_threads");
  return call();
}

int omp_in_parallel() {
  using namespace trireme;
  if (is_ours()) return ComputePool::is_inside() ? 1 : 0;
  static auto* const call = next<decltype(omp_in_parallel)>("omp_in_parallel");
  return call();
}

}  // extern "C"

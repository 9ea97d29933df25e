// Loops whose ranges run on the threads that compute (compute_pool.h), which are the only ones: a
// library with loops of its own uses them too (openmp_regions.h). Threads that communicate or read
// data never compute here.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace trireme {

// A borrowed callable: two words, no allocation. The callable must outlive the call it is passed
// to.
template <typename Signature>
class FunctionRef;
template <typename Result, typename... Args>
class FunctionRef<Result(Args...)> {
 public:
  template <typename F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>) FunctionRef(F&& f)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> Result {
          return (*static_cast<std::remove_reference_t<F>*>(object))(args...);
        }) {}
  Result operator()(Args... args) const { return call_(object_, args...); }

 private:
  void* object_;
  Result (*call_)(void*, Args...);
};

// Sets how many threads compute; 0 means OMP_NUM_THREADS where it is given, else all cores that
// this process may use. Call it before the first kernel runs.
void set_compute_threads(int threads);
int compute_threads();

// Calls body(begin, end) over disjoint ranges that cover [0, n), on at most compute_threads()
// threads. Ranges are at least `grain` long, so small work stays on the caller's thread. How the
// range is cut depends only on n, grain and compute_threads(). An exception in `body` reaches the
// caller. Does not allocate. Nested calls run serially.
void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t begin, int64_t end)> body);

}  // namespace trireme

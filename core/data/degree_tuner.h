// How many of a pool's threads should make elements, found by measuring; for core/data only.
//
// The rate of elements is measured with one thread, two, and so on, over a window of time each,
// until another thread brings nothing; the fewest whose rate is within 2% of the best are kept for
// a while, then the search begins anew. Windows in which the consumer held the threads up tell
// nothing and are left out. Not synchronised.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace trireme::data {

class DegreeTuner {
 public:
  using Clock = std::chrono::steady_clock;

  // `tune` false: always `threads`.
  DegreeTuner(int threads, bool tune) : most_(threads), degree_(tune ? 1 : threads), tune_(tune) {}

  int degree() const { return degree_; }
  // An element was made. True when degree() has changed.
  bool count(Clock::time_point now) { return tune_ && measure(now); }
  bool tunes() const { return tune_; }
  // A thread had nothing to do: the rate is the consumer's.
  void idle() { limited_ = true; }

 private:
  bool measure(Clock::time_point now);
  void choose_next(double rate);

  int most_;
  int degree_;
  bool tune_;
  bool limited_ = false;
  bool settling_ = true;  // the first elements after a change were begun before it
  int64_t made_ = 0;
  Clock::time_point begin_{};
  std::vector<double> rates_;  // with 1, 2, … threads; 0: not tried
  double best_ = 0;
  int misses_ = 0;
  int held_ = 0;  // windows left before the search begins anew
};

}  // namespace trireme::data

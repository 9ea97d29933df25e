#include "core/data/degree_tuner.h"

#include <algorithm>

namespace trireme::data {
namespace {

constexpr auto kWindow = std::chrono::milliseconds(100);
constexpr int64_t kLeastElements = 8;  // of a window, a thread
constexpr double kGain = 1.03;         // a thread more that brings less is not worth its memory
constexpr double kAsGood = 0.98;
constexpr int kMisses = 2;         // degrees without a gain before the search ends
constexpr int kWindowsHeld = 100;  // before the search begins anew: machines and data change

}  // namespace

bool DegreeTuner::measure(Clock::time_point now) {
  if (rates_.empty()) rates_.assign(static_cast<size_t>(most_), 0);
  ++made_;
  if (settling_) {
    if (made_ < 2 * degree_) return false;
    settling_ = false;
    begin_ = now;
    made_ = 0;
    limited_ = false;
    return false;
  }
  if (now - begin_ < kWindow || made_ < kLeastElements * degree_) return false;
  const double rate =
      static_cast<double>(made_) / std::chrono::duration<double>(now - begin_).count();
  begin_ = now;
  made_ = 0;
  if (limited_) {
    limited_ = false;
    return false;
  }
  rates_[static_cast<size_t>(degree_ - 1)] = rate;
  const int before = degree_;
  choose_next(rate);
  settling_ = degree_ != before;
  return degree_ != before;
}

void DegreeTuner::choose_next(double rate) {
  if (held_ > 0) {
    if (--held_ == 0) {
      std::ranges::fill(rates_, 0);
      best_ = 0;
      misses_ = 0;
      degree_ = 1;
    }
    return;
  }
  misses_ = rate > best_ * kGain ? 0 : misses_ + 1;
  best_ = std::max(best_, rate);
  if (degree_ < most_ && misses_ < kMisses) {
    ++degree_;
    return;
  }
  degree_ = 1;
  while (rates_[static_cast<size_t>(degree_ - 1)] < best_ * kAsGood) ++degree_;
  held_ = kWindowsHeld;
}

}  // namespace trireme::data

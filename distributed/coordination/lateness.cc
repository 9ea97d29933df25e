#include "distributed/coordination/lateness.h"

#include <algorithm>

namespace trireme {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kHalfLife{5'000};
constexpr int kBeatsPerMillisecond = 2;

}  // namespace

void Lateness::note(milliseconds late, Time now) {
  if (late < value(now)) return;
  greatest_ = late;
  at_ = now;
}

milliseconds Lateness::value(Time now) const {
  if (greatest_.count() <= 0) return milliseconds(0);
  const auto halvings = std::clamp<int64_t>((now - at_) / kHalfLife, 0, 62);
  return milliseconds(greatest_.count() >> halvings);
}

milliseconds beat_interval(milliseconds wanted, int size) {
  return std::max(wanted, milliseconds(size / kBeatsPerMillisecond));
}

}  // namespace trireme

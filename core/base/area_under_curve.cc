#include "core/base/area_under_curve.h"

#include <cstddef>

namespace trireme {

double area_under_curve(std::span<const double> negatives, std::span<const double> positives) {
  double below = 0, all_positives = 0, pairs = 0;
  for (size_t i = 0; i < negatives.size(); ++i) {
    pairs += positives[i] * (below + negatives[i] / 2);
    below += negatives[i];
    all_positives += positives[i];
  }
  if (below == 0 || all_positives == 0) return 0.5;
  return pairs / (below * all_positives);
}

}  // namespace trireme

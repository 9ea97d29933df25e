// The area under the receiver operating characteristic, from histograms of scores.
#pragma once

#include <span>

namespace trireme {

// The chance that an example of the positive class has a higher score than one of the negative
// (Hanley and McNeil 1982); two in one bin count half. `negatives[i]` and `positives[i]`: how many
// of each have a score in bin i, bins in increasing order, in any unit. 0.5 when a class is empty.
// REQUIRES: equally many bins.
double area_under_curve(std::span<const double> negatives, std::span<const double> positives);

}  // namespace trireme

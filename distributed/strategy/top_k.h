// Sums a bucket of gradients by sending its largest elements only; what is not sent is remembered
// and added the next time (error feedback). Lin et al. 2018, "Deep Gradient Compression", with the
// threshold from a sample; without its momentum correction.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "distributed/collective/communicator.h"

namespace trireme {

// Of one bucket on one rank. Used by one thread at a time. The memory is this rank's own and is in
// no checkpoint: after a resume nothing is left over.
class TopKExchange {
 public:
  // `ratio`: the share of the `count` elements that is sent, in (0, 1].
  TopKExchange(int64_t count, double ratio);

  // Replaces data[0 … count) by the sum of what all ranks sent. When this throws, what is
  // remembered has not changed.
  void sum(float* data, Communicator& communicator, const std::string& label, int64_t step);

  int64_t sent_elements() const { return static_cast<int64_t>(values_.size()); }

 private:
  float threshold(const float* data);
  void select(const float* data);

  std::vector<float> residual_;
  std::vector<float> sample_;  // magnitudes
  // What is sent: as many as were allowed, the rest is element 0 with the value 0.
  std::vector<int32_t> indices_, all_indices_;
  std::vector<float> values_, all_values_;
};

}  // namespace trireme

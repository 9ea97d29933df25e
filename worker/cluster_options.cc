#include "worker/cluster_options.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "proto/job.pb.h"
#include "worker/resume.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

milliseconds to_ms(double seconds) {
  return milliseconds(std::max(int64_t{1}, static_cast<int64_t>(seconds * 1000)));
}

}  // namespace

ClusterOptions cluster_options_of(const job::Distributed& job) {
  ClusterOptions options;
  if (!job.backend().empty()) options.backend = job.backend();
  options.stall_warning = to_ms(job.stall_warning_s());
  options.collective_timeout = to_ms(job.collective_timeout_s());
  options.join_timeout = to_ms(job.join_timeout_s());
  options.min_workers = job.min_workers();
  options.incarnation = incarnation();
  return options;
}

}  // namespace trireme

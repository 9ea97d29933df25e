#include "worker/cluster_options.h"

#include <chrono>
#include <cstdint>

#include "proto/job.pb.h"
#include "worker/resume.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

milliseconds seconds_or(double seconds, milliseconds otherwise) {
  return seconds > 0 ? milliseconds(static_cast<int64_t>(seconds * 1000)) : otherwise;
}

}  // namespace

ClusterOptions cluster_options_of(const job::Distributed& job) {
  ClusterOptions options;
  if (!job.backend().empty()) options.backend = job.backend();
  options.stall_warning = seconds_or(job.stall_warning_s(), options.stall_warning);
  options.collective_timeout = seconds_or(job.collective_timeout_s(), options.collective_timeout);
  options.join_timeout = seconds_or(job.join_timeout_s(), options.join_timeout);
  options.min_workers = job.min_workers();
  options.incarnation = incarnation();
  return options;
}

}  // namespace trireme

#include "worker/compare_jobs.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/philox.h"

namespace trireme {
namespace {

// The hash of each worker's values in its own place, in halves that a double keeps exactly.
void compare_fields(const std::vector<std::pair<std::string, std::string>>& fields, int rank,
                    int world_size, const SumOverWorkers& sum) {
  const auto workers = static_cast<size_t>(world_size);
  const auto mine = static_cast<size_t>(rank);
  const size_t width = 2 * fields.size();
  std::vector<double> halves(workers * width, 0.0);
  for (size_t i = 0; i < fields.size(); ++i) {
    const uint64_t hash = hash_name(fields[i].second);
    halves[mine * width + 2 * i] = static_cast<double>(hash >> 32);
    halves[mine * width + 2 * i + 1] = static_cast<double>(hash & 0xffffffffU);
  }
  sum(str_cat("the comparison of the jobs (", fields.size(), ")"), halves);
  for (size_t worker = 1; worker < workers; ++worker) {
    for (size_t i = 0; i < fields.size(); ++i) {
      const double* const theirs = &halves[worker * width + 2 * i];
      if (theirs[0] == halves[2 * i] && theirs[1] == halves[2 * i + 1]) continue;
      throw invalid_argument(
          "worker ", worker, " and worker 0 differ in ", fields[i].first, ": worker ", mine,
          " has ", fields[i].second,
          "; all workers must run the same program and job file on the same data");
    }
  }
}

}  // namespace

void compare_jobs(const std::map<std::string, std::string>& handshake, int rank, int workers,
                  const SumOverWorkers& sum) {
  std::string names;
  std::vector<std::pair<std::string, std::string>> fields;
  for (const auto& [name, value] : handshake) {
    names += name + "\n";
    fields.emplace_back(name, value);
  }
  // The names first: workers of different jobs may have different ones.
  compare_fields({{"what is compared", names}}, rank, workers, sum);
  compare_fields(fields, rank, workers, sum);
}

}  // namespace trireme

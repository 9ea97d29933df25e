// Workers that have no group to shake hands in compare what all of them must have in common.
// Private to worker/.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>

namespace trireme {

// Adds numbers up over all workers; returns when all have called it with this name.
using SumOverWorkers = std::function<void(const std::string& name, std::span<double> values)>;

// `handshake`: what must be equal, by its name. All workers call it. Throws Error{kInvalidArgument}
// naming a worker and what it has that differs from worker 0's.
void compare_jobs(const std::map<std::string, std::string>& handshake, int rank, int workers,
                  const SumOverWorkers& sum);

}  // namespace trireme

#include "ps/table/eviction.h"

#include <algorithm>
#include <tuple>

namespace trireme::ps {

std::vector<uint32_t> rows_to_evict(const RowTable& table, const EvictionPolicy& policy,
                                    int64_t most, int64_t step, bool on_command) {
  const RowStore& store = table.store();
  std::vector<uint32_t> gone, rest;
  const bool too_many = most > 0 && table.rows() > most;
  const bool by_frequency = policy.min_frequency > 0 && (too_many || on_command);
  if (policy.max_age <= 0 && !by_frequency && !too_many) return gone;
  table.for_each([&](uint32_t row) {
    const RowHeader& header = store.header(row);
    const bool goes = (policy.max_age > 0 && header.version < step - policy.max_age) ||
                      (by_frequency && header.frequency < policy.min_frequency);
    if (goes) {
      gone.push_back(row);
    } else if (too_many) {
      rest.push_back(row);
    }
  });
  if (too_many && static_cast<int64_t>(rest.size()) > most) {
    // The numbers of rows differ between replicas; this order does not.
    const auto order = [&](uint32_t row) {
      const RowHeader& header = store.header(row);
      return std::tuple(header.frequency, header.version, header.key);
    };
    const auto end = rest.end() - most;
    std::nth_element(rest.begin(), end, rest.end(),
                     [&](uint32_t a, uint32_t b) { return order(a) < order(b); });
    gone.insert(gone.end(), rest.begin(), end);
  }
  return gone;
}

}  // namespace trireme::ps

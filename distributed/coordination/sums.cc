#include "distributed/coordination/sums.h"

#include <algorithm>

#include "core/base/error.h"
#include "distributed/coordination/wording.h"

namespace trireme {
namespace {

constexpr size_t kNameLimit = 256;
constexpr size_t kValueLimit = 100'000;
constexpr int kWorkerLimit = 1 << 20;
constexpr size_t kUnfinished = 64;
// A worker that was started again asks for sums since its last checkpoint at most, of which there
// are a few an epoch.
constexpr size_t kFinished = 256;

}  // namespace

void Sums::add(const std::string& name, int worker, int workers, std::span<const double> values) {
  if (name.empty() || name.size() > kNameLimit || values.size() > kValueLimit) {
    throw invalid_argument("a sum needs a name of 1 to ", kNameLimit, " bytes and at most ",
                           kValueLimit, " values");
  }
  if (workers < 1 || workers > kWorkerLimit || worker < 0 || worker >= workers) {
    throw invalid_argument("the sum \"", clean(name, kNameLimit), "\": there is no rank ", worker,
                           " among ", workers);
  }
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    if (entries_.size() - finished_.size() >= kUnfinished) {
      throw Error(ErrorCode::kResourceExhausted,
                  str_cat("more than ", kUnfinished, " sums wait for workers"));
    }
    entries_[name].parts.resize(static_cast<size_t>(workers));
  } else if (found->second.sum) {
    return;
  }
  Entry& entry = entries_[name];
  for (const auto& part : entry.parts) {
    const bool fits = entry.parts.size() == static_cast<size_t>(workers) &&
                      (!part || part->size() == values.size());
    if (fits) continue;
    throw invalid_argument("the sum \"", clean(name, kNameLimit), "\": rank ", worker, " has ",
                           values.size(), " values among ", workers,
                           " workers, others came with other numbers");
  }
  entry.parts[static_cast<size_t>(worker)].emplace(values.begin(), values.end());
  if (!std::ranges::all_of(entry.parts, [](const auto& part) { return part.has_value(); })) return;
  entry.sum.emplace(values.size(), 0.0);
  for (const auto& part : entry.parts) {
    for (size_t i = 0; i < values.size(); ++i) (*entry.sum)[i] += (*part)[i];
  }
  entry.parts.clear();
  finished_.push_back(name);
  if (finished_.size() > kFinished) {
    entries_.erase(finished_.front());
    finished_.pop_front();
  }
}

const std::vector<double>* Sums::find(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() || !found->second.sum ? nullptr : &*found->second.sum;
}

std::vector<int> Sums::missing(const std::string& name) const {
  std::vector<int> ranks;
  const auto found = entries_.find(name);
  if (found == entries_.end()) return ranks;
  for (size_t i = 0; i < found->second.parts.size(); ++i) {
    if (!found->second.parts[i]) ranks.push_back(static_cast<int>(i));
  }
  return ranks;
}

}  // namespace trireme

#include "distributed/coordination/job_store.h"

#include <algorithm>

#include "core/base/error.h"

namespace trireme {
namespace {

constexpr size_t kNameLimit = 1024;
constexpr size_t kBarriers = 10'000;
constexpr size_t kKeys = 100'000;
constexpr size_t kValueLimit = 2 << 20;
constexpr size_t kBytesLimit = 256 << 20;

void check_name(const char* what, const std::string& name) {
  if (name.empty() || name.size() > kNameLimit) {
    throw invalid_argument("the name of a ", what, " must have 1 to ", kNameLimit,
                           " bytes, this one has ", name.size());
  }
}

}  // namespace

void JobStore::reset(int size) {
  size_ = size;
  barriers_.clear();
}

int64_t JobStore::arrive(const std::string& name, int rank) {
  check_name("barrier", name);
  if (rank < 0 || rank >= size_) {
    throw invalid_argument("there is no rank ", rank, " among ", size_);
  }
  if (barriers_.size() >= kBarriers && !barriers_.contains(name)) {
    throw Error(ErrorCode::kResourceExhausted,
                str_cat("more than ", kBarriers, " barriers in one generation: use names again"));
  }
  Barrier& barrier = barriers_[name];
  barrier.counts.resize(static_cast<size_t>(size_));
  const int64_t round = ++barrier.counts[static_cast<size_t>(rank)];
  ++barrier.arrived[round];
  // Who has come to a round has come to all before it, so rounds are complete in their order.
  while (!barrier.arrived.empty() && barrier.arrived.begin()->second == size_) {
    barrier.complete = barrier.arrived.begin()->first;
    barrier.arrived.erase(barrier.arrived.begin());
  }
  return round;
}

std::vector<int> JobStore::missing(const std::string& name, int64_t round) const {
  std::vector<int> missing;
  const auto found = barriers_.find(name);
  for (int rank = 0; rank < size_; ++rank) {
    if (found == barriers_.end() || found->second.counts[static_cast<size_t>(rank)] < round) {
      missing.push_back(rank);
    }
  }
  return missing;
}

bool JobStore::complete(const std::string& name, int64_t round) const {
  const auto found = barriers_.find(name);
  return found != barriers_.end() && round <= found->second.complete;
}

void JobStore::withdraw(const std::string& name, int rank) {
  const auto found = barriers_.find(name);
  if (found == barriers_.end()) return;
  Barrier& barrier = found->second;
  int64_t& count = barrier.counts[static_cast<size_t>(rank)];
  if (count <= barrier.complete) return;
  if (--barrier.arrived[count] == 0) barrier.arrived.erase(count);
  --count;
}

void JobStore::put(const std::string& key, std::string value) {
  check_name("key", key);
  if (value.size() > kValueLimit) {
    throw invalid_argument("the value of key ", key, " has ", value.size(), " bytes, at most ",
                           kValueLimit, " can be kept");
  }
  const auto found = values_.find(key);
  const size_t old = found == values_.end() ? 0 : found->second.size();
  if (bytes_ - old + value.size() > kBytesLimit ||
      (found == values_.end() && values_.size() >= kKeys)) {
    throw Error(ErrorCode::kResourceExhausted,
                str_cat("no room for key ", key, ": ", values_.size(), " keys of ", bytes_,
                        " bytes are kept"));
  }
  bytes_ += value.size() - old;
  values_.insert_or_assign(key, std::move(value));
}

std::optional<std::string> JobStore::get(const std::string& key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

}  // namespace trireme

#include "ps/server/cut_queue.h"

#include <utility>

namespace trireme::ps {

std::function<void()> CutQueue::Wanted::refusal(const Error& error) const {
  return [refused = request.refused, opened = opened, error] {
    refused ? refused(error) : opened(nullptr);
  };
}

std::vector<CutQueue::Wanted> CutQueue::take(const std::function<bool(const Wanted&)>& is_taken) {
  std::vector<Wanted> taken;
  std::erase_if(queue_, [&](Wanted& wanted) {
    if (!is_taken(wanted)) return false;
    taken.push_back(std::move(wanted));
    return true;
  });
  return taken;
}

std::vector<CutQueue::Wanted> CutQueue::take_all() {
  return take([](const Wanted&) { return true; });
}

std::optional<CutQueue::Wanted> CutQueue::take_next(
    const std::function<bool(const CutRequest&)>& is_ready) {
  if (cut_ != nullptr || opening_) return std::nullopt;
  for (auto it = queue_.begin(); it != queue_.end(); ++it) {
    if (!is_ready(it->request)) continue;
    Wanted wanted = std::move(*it);
    queue_.erase(it);
    return wanted;
  }
  return std::nullopt;
}

int64_t CutQueue::begin(int64_t epoch) {
  opening_ = true;
  return (epoch << 32) + ++count_;
}

bool CutQueue::open(std::shared_ptr<Cut> cut, const CutRequest& request) {
  cut_ = std::move(cut);
  opening_ = closing_ = false;
  touch();
  request_ = {.worker = request.worker, .step = request.step};
  bool is_forgotten = false;
  for (const Wanted& next : queue_) is_forgotten |= next.request.replaces(request);
  return is_forgotten;
}

std::shared_ptr<const Cut> CutQueue::use(int64_t id) {
  if (cut_ == nullptr || cut_->id != id || closing_) return nullptr;
  ++users_;
  return cut_;
}

bool CutQueue::end_use() {
  touch();
  return --users_ == 0 && closing_;
}

bool CutQueue::close(int64_t id) {
  if (cut_ == nullptr || cut_->id != id) return false;
  closing_ = true;
  return users_ == 0;
}

bool CutQueue::close_replaced(const CutRequest& request) {
  if (cut_ == nullptr || closing_ || !request.replaces(request_)) return false;
  return close(cut_->id);
}

bool CutQueue::is_idle(Clock::time_point now, Clock::duration limit) const {
  return cut_ != nullptr && users_ == 0 && !queue_.empty() && now - used_ > limit;
}

ShardSet CutQueue::finish() { return std::exchange(cut_, nullptr)->shards; }

}  // namespace trireme::ps

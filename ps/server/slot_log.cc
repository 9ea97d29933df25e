#include "ps/server/slot_log.h"

#include <algorithm>

#include "core/base/error.h"

namespace trireme::ps {

void SlotLog::replicate(LogEntry entry) {
  if (sink_ != nullptr) sink_->send(std::move(entry));
}

void SlotLog::acknowledge_after(int64_t index, const std::shared_ptr<Ack>& ack) {
  if (ack == nullptr || !waits_for_backup_ || backup_index_ >= index) return;
  ack->expect();
  unacknowledged_.emplace_back(index, ack);
}

void SlotLog::attach(LogSink& sink) {
  TRIREME_CHECK(sink_ == nullptr, "a slot has one backup at a time");
  sink_ = &sink;
  // What came before was acknowledged without this backup, and is in its state when it counts;
  // unless it waits already, for this one as for the one before.
  backup_index_ = waits_for_backup_ ? 0 : index_;
}

void SlotLog::wait_for_backup(const LogSink* sink) {
  if (sink == sink_) waits_for_backup_ = true;
}

SlotLog::Acks SlotLog::backup_has(int64_t index, const LogSink* sink) {
  if (sink != sink_) return {};
  backup_index_ = std::max(backup_index_, index);
  Acks acks;
  while (!unacknowledged_.empty() && unacknowledged_.front().first <= backup_index_) {
    acks.push_back(std::move(unacknowledged_.front().second));
    unacknowledged_.pop_front();
  }
  return acks;
}

SlotLog::Acks SlotLog::detach(bool hold) {
  sink_ = nullptr;
  if (hold) return {};
  waits_for_backup_ = false;
  return take_all();
}

SlotLog::Acks SlotLog::resign() {
  sink_ = nullptr;
  return take_all();
}

SlotLog::Acks SlotLog::take_all() {
  Acks acks;
  for (auto& [index, ack] : unacknowledged_) acks.push_back(std::move(ack));
  unacknowledged_.clear();
  return acks;
}

}  // namespace trireme::ps

// The order of a slot's log, and when those are told who wait for an entry.
//
// An entry is acknowledged when its work is done and, where there is a backup that counts, when the
// backup has it too. Plain state: whoever owns it holds a lock, and tells, without the lock, those
// who are returned.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "ps/server/ack.h"
#include "ps/server/log_entry.h"

namespace trireme::ps {

// Takes the log's entries in their order, under the slot's lock; must not block.
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void send(LogEntry entry) = 0;
};

class SlotLog {
 public:
  using Acks = std::vector<std::shared_ptr<Ack>>;

  int64_t index() const { return index_; }  // of the last entry
  void set_index(int64_t index) { index_ = index; }

  bool is_replicated() const { return sink_ != nullptr; }
  void replicate(LogEntry entry);  // nothing without a sink
  // `ack` waits for the backup, too, unless it has this entry or does not count. Null: nobody
  // waits.
  void acknowledge_after(int64_t index, const std::shared_ptr<Ack>& ack);

  // From now on entries go to `sink`. REQUIRES: not is_replicated().
  void attach(LogSink& sink);
  // From now on nothing is acknowledged before backup_has() it. One that was detached is not heard.
  void wait_for_backup(const LogSink* sink);
  Acks backup_has(int64_t index, const LogSink* sink);
  // No entry goes anywhere. What waited is acknowledged; with `hold` it waits for the next sink.
  Acks detach(bool hold);
  // The same of one that is not the primary any more: what waited is to be given up.
  Acks resign();

 private:
  Acks take_all();

  int64_t index_ = 0;
  LogSink* sink_ = nullptr;
  bool waits_for_backup_ = false;
  int64_t backup_index_ = 0;
  std::deque<std::pair<int64_t, std::shared_ptr<Ack>>> unacknowledged_;
};

}  // namespace trireme::ps

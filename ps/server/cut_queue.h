// Cuts of a slot's log, one open at a time: who waits for one, and who uses the one that is open.
//
// Plain state: whoever owns it holds a lock, copies the rows, and calls those who are returned.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "ps/server/job_setup.h"
#include "ps/table/shard_set.h"
#include "ps/table/table_shard.h"

namespace trireme::ps {

// The rows of `shards` at one place of the log. `tables[shard][table]`; empty: not in it.
struct Cut {
  int64_t id = 0;
  int64_t step = 0;    // that SYNC tables are at; of others, the slowest worker's
  int64_t newest = 0;  // of any push
  ShardSet shards;
  std::string state;  // a proto::SlotState
  std::string session;
  std::shared_ptr<const JobSetup> setup;
  std::vector<std::vector<const TableShard::Snapshot*>> tables;
};

// Who asks for a cut, and of which step.
//
// A worker that asks again was started again, or gave up: it does not wait for what it asked for
// before, and will not close what it opened. So it is with checkpoints, whoever saves them: one
// worker at a time does.
struct CutRequest {
  int worker = -1;  // −1: this server
  // Of a checkpoint: the cut waits until SYNC tables are at this step; 0: it is of what is there.
  int64_t step = 0;
  // Called in place of `opened` when the step did not come in time, when a later one is in the rows
  // already, or when it is replaced.
  std::function<void(const Error&)> refused = {};

  bool replaces(const CutRequest& former) const {
    return (worker >= 0 && worker == former.worker) || (step > 0 && former.step > 0);
  }
};

class CutQueue {
 public:
  using Clock = std::chrono::steady_clock;
  using Opened = std::function<void(std::shared_ptr<const Cut>)>;
  struct Wanted {
    Opened opened;
    CutRequest request;
    Clock::time_point since;

    // What calls `refused`, or `opened` with nothing.
    std::function<void()> refusal(const Error& error) const;
  };

  // ---- who waits
  void add(Wanted wanted) { queue_.push_back(std::move(wanted)); }
  bool empty() const { return queue_.empty(); }
  // Takes those that `is_taken` is true for, in order.
  std::vector<Wanted> take(const std::function<bool(const Wanted&)>& is_taken);
  std::vector<Wanted> take_all();
  // The first that `is_ready`, unless a cut is open or about to be. Nothing: none is.
  std::optional<Wanted> take_next(const std::function<bool(const CutRequest&)>& is_ready);

  // ---- the cut
  bool is_opening() const { return opening_; }
  // One is about to be opened: its id. Another server that takes over counts from elsewhere.
  int64_t begin(int64_t epoch);
  // It is open. True: who asked for it asked for another one since.
  bool open(std::shared_ptr<Cut> cut, const CutRequest& request);
  const Cut* get() const { return cut_.get(); }  // null: none is open
  void touch() { used_ = Clock::now(); }
  // The open one, if that is its id and it is not about to be closed; until end_use(). Null: no.
  std::shared_ptr<const Cut> use(int64_t id);
  // Each returns true when nobody uses the cut any more and it is to be closed: by finish().
  bool end_use();
  bool close(int64_t id);
  bool close_replaced(const CutRequest& request);  // the open one, if `request` replaces its
  // Nobody has used it for so long, and others wait.
  bool is_idle(Clock::time_point now, Clock::duration limit) const;
  ShardSet finish();  // whose snapshots are to be closed

 private:
  std::deque<Wanted> queue_;
  std::shared_ptr<Cut> cut_;
  CutRequest request_;  // of the one that is open
  bool opening_ = false, closing_ = false;
  int users_ = 0;
  int64_t count_ = 0;
  Clock::time_point used_;
};

}  // namespace trireme::ps

#include "ps/server/worker_ledger.h"

#include <algorithm>
#include <limits>

#include "core/base/error.h"
#include "proto/ps_state.pb.h"

namespace trireme::ps {
namespace {

// More than a worker has under way at a time: an older gap is of pushes that were lost with the
// rows of a server that came back from a snapshot.
constexpr size_t kMostAbove = 4096;
constexpr size_t kMostOpenSteps = 4096;
constexpr size_t kMostRetired = 256;
constexpr size_t kMostDropped = 4096;

}  // namespace

void WorkerLedger::Worker::advance(const ShardSet& all) {
  while (above.size() > kMostAbove) {
    floor = above.begin()->first;
    above.erase(above.begin());
  }
  while (!above.empty() && above.begin()->first <= floor + 1) {
    const auto& [sequence, has] = *above.begin();
    if (sequence > floor && !has.contains(all)) break;
    floor = std::max(floor, sequence);
    above.erase(above.begin());
  }
  if (steps.size() > kMostOpenSteps) clock = std::max(*clock, steps.begin()->first - 1);
  while (!steps.empty()) {
    const auto& [step, parts] = *steps.begin();
    const bool complete = static_cast<int>(parts.here.size()) == parts.parts;
    if (step > *clock && (step != *clock + 1 || !complete)) break;
    clock = std::max(*clock, step);
    steps.erase(steps.begin());
  }
}

// Sequences count on through steps of as many parts.
void WorkerLedger::Worker::find_steps(const ShardSet& all) {
  steps.clear();
  if (parts == 0 || !clock) return;
  const auto enter = [&](uint64_t sequence, bool is_complete) {
    const auto number = static_cast<int64_t>(sequence - 1);
    const int64_t step = number / parts + 1;
    if (step <= *clock) return;
    steps[step].parts = parts;
    if (is_complete) steps[step].here.insert(static_cast<int>(number % parts));
  };
  const uint64_t few = floor - std::min(floor, uint64_t{kMostAbove});
  const auto behind_clock = static_cast<uint64_t>(*clock * parts);
  for (uint64_t s = std::max(few, behind_clock) + 1; s <= floor; ++s) enter(s, true);
  for (const auto& [sequence, has] : above) enter(sequence, has.contains(all));
}

ShardSet WorkerLedger::lacking(const RequestHeader& push, const ShardSet& shards) const {
  if (push.worker < 0 || push.worker >= workers()) return shards;
  const Worker& worker = at(push.worker);
  if (push.sequence <= worker.floor) return {};
  const auto it = worker.above.find(push.sequence);
  return it == worker.above.end() ? shards : shards - it->second;
}

WorkerLedger::Known WorkerLedger::knows(const RequestHeader& push, const ShardSet& shards) const {
  if (push.worker < 0 || push.worker >= workers()) return Known::kNo;
  const Worker& worker = at(push.worker);
  const bool known = push.sequence <= worker.floor || worker.above.contains(push.sequence);
  if (!known || lacking(push, shards).any()) return Known::kNo;
  return worker.dropped.contains(push.sequence) ? Known::kDropped : Known::kYes;
}

void WorkerLedger::check(const RequestHeader& push) const {
  if (push.worker >= workers()) {
    throw invalid_argument("a push of worker ", push.worker, ": the job has ", workers(),
                           " workers, counted from 0");
  }
  const Worker& worker = at(push.worker);
  if (std::ranges::find(worker.retired, push.incarnation) != worker.retired.end()) {
    throw Error(ErrorCode::kCancelled,
                str_cat("worker ", push.worker, " was started again: a push of its earlier ",
                        "incarnation ", push.incarnation, " counts no more"));
  }
  if (worker.parts != 0 && worker.parts != push.parts) {
    throw invalid_argument("worker ", push.worker, ", step ", push.step, ": its steps were in ",
                           worker.parts, " parts before, found ", push.parts);
  }
}

void WorkerLedger::record(const RequestHeader& push, const ShardSet& shards) {
  Worker& worker = workers_[static_cast<size_t>(push.worker)];
  if (worker.incarnation != push.incarnation) {
    if (worker.incarnation != 0) worker.retired.push_back(worker.incarnation);
    if (worker.retired.size() > kMostRetired) worker.retired.erase(worker.retired.begin());
    worker.incarnation = push.incarnation;
  }
  worker.parts = push.parts;
  ShardSet& has = worker.above[push.sequence];
  has |= shards;
  const bool is_complete = has.contains(shards_);
  // Sequences count on through steps of as many parts: those of steps that were before the first
  // one here, or are lost, will never come.
  const bool is_first = worker.floor == 0 && worker.above.size() == 1;
  const int64_t passed =
      std::max(push.acknowledged_step, is_first ? before_first_step(push.step) : 0);
  const int64_t behind =
      static_cast<int64_t>(push.sequence) - 1 - push.part - (push.step - 1 - passed) * push.parts;
  if (passed > 0 && passed < push.step && behind > 0) {
    worker.floor = std::max(worker.floor, static_cast<uint64_t>(behind));
  }
  if (!worker.clock) worker.clock = before_first_step(push.step);
  if (!first_) first_ = before_first_step(push.step);
  worker.clock = std::max(*worker.clock, push.acknowledged_step);
  if (push.step > *worker.clock) {
    Step& step = worker.steps[push.step];
    step.parts = push.parts;
    if (is_complete) step.here.insert(push.part);
  }
  worker.advance(shards_);
}

void WorkerLedger::mark_dropped(const RequestHeader& push) {
  std::set<uint64_t>& dropped = workers_[static_cast<size_t>(push.worker)].dropped;
  dropped.insert(push.sequence);
  if (dropped.size() > kMostDropped) dropped.erase(dropped.begin());
}

void WorkerLedger::raise(int worker, int64_t step) {
  Worker& w = workers_[static_cast<size_t>(worker)];
  w.clock = std::max(w.clock.value_or(step), step);
  w.advance(shards_);
}

void WorkerLedger::restart(int64_t step) {
  for (Worker& worker : workers_) {
    worker.steps.clear();
    worker.above.clear();
    worker.dropped.clear();
    // Later ones are not in the rows any more: they count when they come again.
    worker.floor = static_cast<uint64_t>(step * worker.parts);
    worker.clock = step;
  }
  first_ = step;
}

// What `to` has, its shard has not, and the other way round, is above the floor again, and what is
// not complete is after the clock.
void WorkerLedger::merge(int shard, Worker source, const ShardSet& before, int64_t first,
                         Worker& to) {
  const auto number = static_cast<size_t>(shard);
  if (to.parts == 0) to.parts = source.parts;
  if (to.incarnation == 0) to.incarnation = source.incarnation;
  // One that has not heard of the worker has what comes before the first step.
  for (Worker* one : {&source, &to}) {
    if (one->clock || to.parts == 0) continue;
    one->clock = first;
    one->floor = std::max(one->floor, static_cast<uint64_t>(first * to.parts));
  }
  if (!to.clock) return;
  const uint64_t most = std::max(source.floor, to.floor);
  uint64_t low = std::min(source.floor, to.floor);
  // A wider gap is of pushes that were lost.
  if (most - low > kMostAbove) low = most - kMostAbove;
  for (uint64_t s = low + 1; s <= to.floor; ++s) to.above[s] = before;
  for (uint64_t s = low + 1; s <= source.floor; ++s) to.above[s].set(number);
  for (const auto& [sequence, has] : source.above) {
    if (has[number] && sequence > low) to.above[sequence].set(number);
  }
  to.floor = low;
  to.clock = std::min(*to.clock, *source.clock);
}

void WorkerLedger::arrive(int shard, const WorkerLedger* source) {
  const auto number = static_cast<size_t>(shard);
  const ShardSet before = shards_;
  shards_.set(number);
  if (source == nullptr) {
    for (Worker& worker : workers_) {
      for (auto& [sequence, has] : worker.above) has.set(number);
    }
    return;
  }
  const int64_t first = std::min(first_.value_or(source->first_.value_or(0)),
                                 source->first_.value_or(first_.value_or(0)));
  if (first_ || source->first_) first_ = first;
  for (size_t i = 0; i < std::min(workers_.size(), source->workers_.size()); ++i) {
    merge(shard, source->workers_[i], before, first, workers_[i]);
    workers_[i].find_steps(shards_);
    workers_[i].advance(shards_);
  }
}

void WorkerLedger::leave(int shard) {
  shards_.reset(static_cast<size_t>(shard));
  for (Worker& worker : workers_) {
    worker.find_steps(shards_);
    worker.advance(shards_);
  }
}

int WorkerLedger::parts() const {
  for (const Worker& worker : workers_) {
    if (worker.parts > 0) return worker.parts;
  }
  return 1;
}

std::optional<int64_t> WorkerLedger::clock(int worker) const { return at(worker).clock; }

bool WorkerLedger::has(int worker, int64_t step, int part) const {
  const Worker& w = at(worker);
  if (!w.clock) return false;
  if (step <= *w.clock) return true;
  const auto it = w.steps.find(step);
  return it != w.steps.end() && it->second.here.contains(part);
}

uint64_t WorkerLedger::last_sequence(int worker) const {
  return worker < 0 || worker >= workers() ? 0 : at(worker).floor;
}

std::optional<int64_t> WorkerLedger::nth_clock(int nth) const {
  std::vector<int64_t> clocks;
  for (const Worker& worker : workers_) {
    if (worker.clock) clocks.push_back(*worker.clock);
  }
  if (nth < 1 || static_cast<int>(clocks.size()) < nth) return std::nullopt;
  std::ranges::sort(clocks, std::greater());
  return clocks[static_cast<size_t>(nth - 1)];
}

int64_t WorkerLedger::slowest(int64_t otherwise) const {
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const Worker& worker : workers_) {
    least = std::min(least, worker.clock.value_or(first_.value_or(otherwise)));
  }
  return least;
}

std::string WorkerLedger::behind(int64_t step, int64_t otherwise) const {
  std::string list;
  for (size_t i = 0; i < workers_.size(); ++i) {
    const int64_t clock = workers_[i].clock.value_or(first_.value_or(otherwise));
    if (clock >= step) continue;
    list += str_cat(list.empty() ? "" : ", ", "worker ", i, " (step ", clock, ")");
  }
  return list;
}

// What has left the slot is of no account, and would not find room among many.
ShardSet WorkerLedger::kept(const ShardSet& has, int shards) const {
  return shards <= kVirtualShards ? has : has & shards_;
}

void WorkerLedger::save(proto::SlotState& state, int shards) const {
  state.set_has_first(first_.has_value());
  state.set_first(first_.value_or(0));
  for (const Worker& worker : workers_) {
    proto::WorkerState& to = *state.add_workers();
    to.set_incarnation(worker.incarnation);
    to.mutable_retired()->Add(worker.retired.begin(), worker.retired.end());
    to.set_floor(worker.floor);
    for (const auto& [sequence, has] : worker.above) {
      to.add_above(sequence);
      to.add_above_shards(pack_shards(kept(has, shards), shards));
    }
    to.mutable_dropped()->Add(worker.dropped.begin(), worker.dropped.end());
    to.set_parts(worker.parts);
    to.set_has_clock(worker.clock.has_value());
    to.set_clock(worker.clock.value_or(0));
    for (const auto& [number, step] : worker.steps) {
      proto::WorkerState::Step& s = *to.add_steps();
      s.set_step(number);
      s.set_parts(step.parts);
      s.mutable_here()->Add(step.here.begin(), step.here.end());
    }
  }
}

void WorkerLedger::load(const proto::SlotState& state, int shards) {
  workers_.assign(static_cast<size_t>(state.workers_size()), {});
  first_.reset();
  if (state.has_first()) first_ = state.first();
  for (int i = 0; i < state.workers_size(); ++i) {
    const proto::WorkerState& from = state.workers(i);
    Worker& worker = workers_[static_cast<size_t>(i)];
    worker.incarnation = from.incarnation();
    worker.retired.assign(from.retired().begin(), from.retired().end());
    worker.floor = from.floor();
    for (int k = 0; k < from.above_size(); ++k) {
      // Without them, all have it.
      worker.above[from.above(k)] =
          unpack_shards(k < from.above_shards_size() ? from.above_shards(k) : kAllShards, shards);
    }
    worker.dropped.insert(from.dropped().begin(), from.dropped().end());
    worker.parts = from.parts();
    if (from.has_clock()) worker.clock = from.clock();
    for (const auto& step : from.steps()) {
      worker.steps[step.step()] = {step.parts(), {step.here().begin(), step.here().end()}};
    }
  }
}

}  // namespace trireme::ps

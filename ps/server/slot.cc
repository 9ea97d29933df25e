#include "ps/server/slot.h"

#include <algorithm>

#include "core/base/logging.h"

namespace trireme::ps {
namespace {

constexpr size_t kKeyCacheBytes = size_t{256} << 20;
// It walks over all rows.
constexpr std::chrono::seconds kEvictInterval{5};

SlotOptions within_job(SlotOptions options) {
  options.shards &= all_shards(virtual_shards(options.servers));
  return options;
}

}  // namespace

Slot::Slot(SlotOptions options)
    : options_(within_job(std::move(options))),
      // Any of them may come.
      shards_(options_.servers, options_.threads, options_.budget, options_.failed),
      lists_(kKeyCacheBytes),
      epoch_(options_.epoch),
      known_epoch_(options_.epoch),
      members_(options_.shards, virtual_shards(options_.servers)),
      ledger_(0, options_.shards),
      gate_(0, options_.shards),
      unloaded_(all_shards(shard_count())) {}

Slot::~Slot() {
  resign();
  shards_.drain();
}

std::shared_ptr<const JobSetup> Slot::setup() const {
  MutexLock lock(mutex_);
  return setup_;
}

std::shared_ptr<const JobSetup> Slot::require_setup() const {
  auto found = setup();
  if (found == nullptr) {
    throw not_found("slot ", options_.index, " of the parameter servers has not been told the ",
                    "job's tables: expected a setup first");
  }
  return found;
}

void Slot::promote(int64_t epoch) {
  MutexLock lock(mutex_);
  epoch_ = epoch;
  primary_ = true;
  restoring_ = false;
  // Whatever a former primary still sends is refused.
  attempt_ = std::numeric_limits<int64_t>::max();
}

void Slot::resign() {
  SlotLog::Acks acks;
  std::list<WaitingPull> pulls;
  std::vector<CutQueue::Wanted> cuts;
  {
    MutexLock lock(mutex_);
    primary_ = false;
    acks = log_.resign();
    pulls.swap(waiting_);
    cuts = cuts_.take_all();
  }
  for (const auto& ack : acks) ack->give_up();
  for (const WaitingPull& waiting : pulls) waiting.pull->responder->answer(wrong_view());
  for (const CutQueue::Wanted& wanted : cuts) wanted.opened(nullptr);
}

OutMessage Slot::wrong_view() const {
  return plain_answer(AnswerCode::kWrongView, options_.view.load());
}

int64_t Slot::finished() const {
  if (setup_ == nullptr) return 0;
  return setup_->any_sync ? gate_.done().value_or(0) : ledger_.slowest(0);
}

AnswerHeader Slot::answer_header() const {
  return {.view = options_.view.load(), .step = finished()};
}

// ---- the log

void Slot::enter(LogEntry entry, const std::shared_ptr<Ack>& ack, Dispatch& dispatch) {
  const int64_t index = log_.index() + 1;
  entry.header.index = index;
  do_entry(entry, ack, dispatch);
  log_.set_index(index);
  log_.replicate(std::move(entry));
  log_.acknowledge_after(index, ack);
}

void Slot::append(LogEntry entry, Done done, const ShardSet& touched) {
  const auto ack = std::make_shared<Ack>(std::move(done));
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  if ((!primary_ && !restoring_) || !members_.unfrozen().contains(touched)) {
    dispatch.then([ack] { ack->give_up(); });
    return;
  }
  enter(std::move(entry), ack, dispatch);
  serve_waiting(dispatch);
  dispatch.then([ack] { ack->arrive(); });
  dispatch.post();
}

void Slot::set_up(std::string_view serialized_setup, Done done) {
  require_shards(*checked_setup(serialized_setup, options_.ops));
  const auto ack = std::make_shared<Ack>(std::move(done));
  Dispatch dispatch(shards_);
  MutexLock lock(mutex_);
  if (!primary_) {
    dispatch.then([ack] { ack->give_up(); });
    return;
  }
  if (setup_ == nullptr) {
    enter({.header = {.kind = EntryKind::kSetup}, .body = bytes_of(serialized_setup)}, ack,
          dispatch);
  } else {
    setup_->require_same(serialized_setup);
    log_.acknowledge_after(log_.index(), ack);
  }
  dispatch.then([ack] { ack->arrive(); });
  dispatch.post();
}

void Slot::evict(Done done) {
  append({.header = {.kind = EntryKind::kEvict}, .body = bytes_of(Step{newest_step(), -1, 1})},
         std::move(done));
}

void Slot::clear(int64_t step, bool keep_rows, Done done) {
  append(
      {.header = {.kind = EntryKind::kClear}, .body = bytes_of(Step{step, -1, keep_rows ? 1 : 0})},
      std::move(done));
}

void Slot::load_rows(EntryKind kind, int shard, int table, Message batch, Done done) {
  append_from_file(
      {.header = {.kind = kind, .shard = shard, .table = table}, .body = std::move(batch)},
      std::move(done));
}

void Slot::load_arrival(LogEntry entry, Done done) {
  append_from_file(std::move(entry), std::move(done));
}

void Slot::append_from_file(LogEntry entry, Done done) {
  check_entry(entry.header, entry.body, setup().get(), EntrySource::kFile, options_.ops);
  append(std::move(entry), std::move(done));
}

void Slot::last_push(int worker, std::function<void(bool, const LastPush&)> done) {
  std::shared_ptr<Ack> ack;
  {
    MutexLock lock(mutex_);
    const bool is_known = worker >= 0 && worker < ledger_.workers();
    const LastPush last{.sequence = ledger_.last_sequence(worker),
                        .step = is_known ? ledger_.clock(worker).value_or(0) : 0,
                        .shards = members_.owned(),
                        .trained = trained_};
    ack = std::make_shared<Ack>([done = std::move(done), last](bool ok) { done(ok, last); });
    if (primary_) log_.acknowledge_after(log_.index(), ack);
  }
  if (is_primary()) {
    ack->arrive();
  } else {
    ack->give_up();
  }
}

void Slot::tick(Clock::time_point now) {
  std::vector<std::pair<std::unique_ptr<Pull>, Error>> late;
  Dispatch dispatch(shards_);
  {
    MutexLock lock(mutex_);
    if (!primary_ || setup_ == nullptr) return;
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      if (it->deadline > now) {
        ++it;
        continue;
      }
      const RequestHeader& header = it->pull->header;
      const auto seconds = static_cast<double>(setup_->timeout.count()) / 1000;
      Error error(
          ErrorCode::kDeadlineExceeded,
          str_cat("slot ", options_.index, ": the pull of worker ", header.worker, " for step ",
                  header.step, " has waited ", seconds, " s for ", waits_for(*it->pull)));
      late.emplace_back(std::move(it->pull), std::move(error));
      it = waiting_.erase(it);
    }
    if (cuts_.is_idle(now, options_.snapshot_idle)) finish_cut(dispatch);
    end_late_cuts(now, dispatch);
    const bool evicts = std::ranges::any_of(setup_->tables, [](const TableSpec& table) {
      return table.eviction.max_age > 0 || table.eviction.max_rows > 0;
    });
    if (evicts && log_.index() != evicted_at_ && now >= evict_due_) {
      enter({.header = {.kind = EntryKind::kEvict}, .body = bytes_of(Step{newest_step_})}, nullptr,
            dispatch);
      evicted_at_ = log_.index();
      evict_due_ = now + kEvictInterval;
    }
    dispatch.post();
  }
  for (auto& [pull, error] : late) {
    log_warning(error.what());
    pull->responder->answer(error_answer(error, options_.view.load()));
  }
}

// ---- what others ask

int64_t Slot::finished_step() const {
  MutexLock lock(mutex_);
  return finished();
}
int64_t Slot::worker_step(int worker) const {
  MutexLock lock(mutex_);
  const bool is_known = worker >= 0 && worker < ledger_.workers();
  return is_known ? ledger_.clock(worker).value_or(0) : 0;
}
int64_t Slot::newest_step() const {
  MutexLock lock(mutex_);
  return newest_step_;
}
int64_t Slot::last_index() const {
  MutexLock lock(mutex_);
  return log_.index();
}
int64_t Slot::waiting_pulls() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(waiting_.size());
}
int64_t Slot::staleness() const {
  MutexLock lock(mutex_);
  return setup_ == nullptr ? 0 : std::max<int64_t>(0, newest_step_ - ledger_.slowest(newest_step_));
}
bool Slot::is_primary() const {
  MutexLock lock(mutex_);
  return primary_;
}
bool Slot::is_trained() const {
  MutexLock lock(mutex_);
  return trained_;
}
ShardSet Slot::shard_set() const {
  MutexLock lock(mutex_);
  return members_.owned();
}
bool Slot::is_complete() const {
  MutexLock lock(mutex_);
  return unloaded_.none();
}

}  // namespace trireme::ps

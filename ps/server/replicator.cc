#include "ps/server/replicator.h"

#include <pthread.h>

#include <algorithm>
#include <cstring>

#include "core/base/logging.h"

namespace trireme::ps {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kConnectTimeout{500}, kCallTimeout{1'000}, kTick{50};
constexpr size_t kSlowBytesPerMs = 10'000;  // what any network carries
// Before the backup is asked again, that has not heard of its slot yet or has missed something.
constexpr milliseconds kPause{10};
constexpr int kManyRefusals = 50;
// Before a backup that refuses an entry gets all of the slot anew.
constexpr std::chrono::seconds kAfterRefusal{1};
// On the way at a time.
constexpr size_t kWindowBytes = size_t{32} << 20;
constexpr size_t kWindowEntries = 256;
// The next shard's rows are copied when so little is left to be sent.
constexpr size_t kCatchUpBytes = size_t{16} << 20;
// A backup that falls behind so far slows the workers down; or when what waits for it takes this
// part of the memory that is left, long before pushes are refused for want of it.
constexpr int64_t kMostQueuedBytes = int64_t{512} << 20;
constexpr int64_t kShareOfRoom = 4;

std::string error_text(const RpcResult& result) {
  try {
    parse_answer(result.answer, RowType::kFloat32, {});
  } catch (const Error& error) {
    return error.what();
  }
  return "no reason was given";
}

}  // namespace

Replicator::Replicator(Slot& slot, ReplicatorOptions options)
    : slot_(slot), options_(std::move(options)) {
  // Those that are not here, too: one may be on its way.
  for (int shard = slot.shard_count() - 1; shard >= 0; --shard) shards_left_.push_back(shard);
  slot.attach(*this);
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), str_cat("replica ", slot.index()).c_str());
}

Replicator::~Replicator() {
  end();
  thread_.join();
}

void Replicator::end() {
  MutexLock lock(mutex_);
  closing_ = true;
  changed_.notify_all();
}

int64_t Replicator::queued() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(queue_.size());
}

void Replicator::send(LogEntry entry) {
  MutexLock lock(mutex_);
  if (closing_) return;
  entry.header.epoch = options_.epoch;
  entry.header.attempt = options_.attempt;
  entry.header.position = ++last_position_;
  const size_t bytes = entry.bytes();
  queue_bytes_ += bytes;
  queue_.push_back({std::move(entry), bytes,
                    MemoryBudget::Reservation(slot_.budget(), static_cast<int64_t>(bytes))});
  changed_.notify_all();
}

void Replicator::run() {
  for (;;) {
    bool broken = false;
    std::string refused;
    {
      MutexLock lock(mutex_);
      if (closing_) break;
      broken = std::exchange(broken_, false);
      refused = refused_;
    }
    if (!refused.empty()) {
      give_up(refused);
      break;
    }
    if (broken) connection_.reset();
    if (connection_ == nullptr) {
      connect_to_backup();
      continue;
    }
    send_some();
    report_taken();
    catch_up();
  }
  connection_.reset();
  // A copy of rows that is under way ends by itself, and soon.
  {
    MutexLock lock(mutex_);
    while (exporting_) changed_.wait(mutex_);
  }
  ended_ = true;
}

// An entry that the backup cannot apply ends this attempt, neither the server nor the job: the next
// one begins with the whole state.
void Replicator::give_up(const std::string& why) {
  log_error(str_cat("slot ", slot_.index(), ": its backup, ", options_.connect.name, " at ",
                    options_.connect.address, ", refuses what it was sent in epoch ",
                    options_.epoch, ": ", why, "; it gets all of the slot anew"));
  const auto until = Clock::now() + kAfterRefusal;
  int64_t obeyed = 0;
  {
    MutexLock lock(mutex_);
    while (!closing_ && Clock::now() < until) changed_.wait_until(mutex_, until);
    if (closing_) return;
    obeyed = obeyed_;
  }
  options_.forgotten(obeyed);
}

void Replicator::connect_to_backup() {
  ConnectOptions connect = options_.connect;
  connect.connect_timeout = kConnectTimeout;
  try {
    connection_ = connect_rpc(connect);
    MutexLock lock(mutex_);
    ++connections_;
    begin_again();
  } catch (const Error& error) {
    {
      MutexLock lock(mutex_);
      if (closing_) return;
    }
    options_.suspect();
    MutexLock lock(mutex_);
    if (!closing_) changed_.wait_until(mutex_, Clock::now() + kTick);
  }
}

void Replicator::begin_again() {
  sent_ = 0;
  sent_bytes_ = 0;
}

// Waits for something to do, and sends what may be sent.
void Replicator::send_some() {
  std::vector<std::pair<int64_t, OutMessage>> messages;
  uint64_t connection = 0;
  milliseconds timeout = kCallTimeout;
  bool forgotten = false;
  int64_t obeyed = 0;
  {
    MutexLock lock(mutex_);
    const auto has_work = [&]() REQUIRES(mutex_) {
      const bool may_send = sent_ < queue_.size() && sent_ < kWindowEntries &&
                            (sent_ == 0 || sent_bytes_ < kWindowBytes) && Clock::now() >= pause_;
      const bool copies = !exporting_ && !shards_left_.empty() && queue_bytes_ < kCatchUpBytes;
      return closing_ || broken_ || may_send || copies || reported_ != taken_position_;
    };
    if (!has_work()) {
      changed_.wait_until(mutex_, Clock::now() + (Clock::now() < pause_ ? kPause : kTick));
    }
    connection = connections_;
    if (Clock::now() < pause_) return;
    while (sent_ < queue_.size() && sent_ < kWindowEntries &&
           (sent_ == 0 || sent_bytes_ < kWindowBytes)) {
      const Outstanding& next = queue_[sent_];
      messages.emplace_back(next.entry.header.position,
                            entry_request(next.entry, slot_.index(), options_.view.load()));
      ++sent_;
      sent_bytes_ += next.bytes;
    }
    timeout += milliseconds(static_cast<int64_t>(sent_bytes_ / kSlowBytesPerMs));
    const bool is_outdated =
        obeyed_ > options_.attempt && obeyed_ >> kAttemptBits == options_.epoch;
    if (refusals_ > kManyRefusals && (taken_position_ > 0 || is_outdated)) {
      refusals_ = 0;
      forgotten = true;
      obeyed = obeyed_;
    }
  }
  if (forgotten) options_.forgotten(obeyed);
  for (auto& [position, message] : messages) {
    connection_->call(std::move(message), timeout,
                      [this, position = position, connection](const RpcResult& result) {
                        take(position, connection, result);
                      });
  }
}

// An answer, on a thread of the transport.
void Replicator::take(int64_t position, uint64_t connection, const RpcResult& result) {
  AnswerHeader header{.code = AnswerCode::kError};
  if (result.error == nullptr && result.answer.bytes.size() >= sizeof(header)) {
    std::memcpy(&header, result.answer.bytes.data(), sizeof(header));
  }
  MutexLock lock(mutex_);
  if (header.code == AnswerCode::kOk) {
    room_ = std::max<int64_t>(0, header.step);
    while (taken_position_ < position && !queue_.empty()) {
      Outstanding& front = queue_.front();
      taken_position_ = front.entry.header.position;
      if (front.entry.header.kind <= EntryKind::kState) {
        taken_index_ = front.entry.header.index;
      }
      queue_bytes_ -= front.bytes;
      if (sent_ > 0) {
        --sent_;
        sent_bytes_ -= front.bytes;
      }
      queue_.pop_front();
      refusals_ = 0;
    }
  } else if (connection == connections_ && position > taken_position_) {
    if (result.error != nullptr) {
      broken_ = true;
    } else {
      // It does not know its slot yet, has missed something, or is busy being somebody else.
      if (header.code == AnswerCode::kWrongView) obeyed_ = std::max(obeyed_, header.step);
      if (header.code == AnswerCode::kError && refused_.empty()) refused_ = error_text(result);
      if (Clock::now() >= pause_) ++refusals_;
      pause_ = Clock::now() + kPause;
      begin_again();
    }
  }
  changed_.notify_all();
}

void Replicator::report_taken() {
  int64_t index = 0, room = 0;
  {
    MutexLock lock(mutex_);
    if (reported_ == taken_position_) return;
    reported_ = taken_position_;
    index = taken_index_;
    room = room_;
  }
  slot_.set_backup_room(room);
  if (!options_.hold || in_sync_) slot_.backup_has(index, this);
}

size_t Replicator::most_queued() const {
  const MemoryBudget& budget = slot_.budget();
  const int64_t room = std::max<int64_t>(0, budget.limit() - budget.used());
  return static_cast<size_t>(std::min(kMostQueuedBytes, room / kShareOfRoom));
}

void Replicator::catch_up() {
  if (in_sync_) return;
  bool exports = false, all_exported = false, far_behind = false;
  int64_t taken = 0;
  {
    MutexLock lock(mutex_);
    exports = !exporting_ && !shards_left_.empty() && queue_bytes_ < kCatchUpBytes;
    exporting_ = exporting_ || exports;
    all_exported = !exporting_ && shards_left_.empty();
    far_behind = queue_bytes_ > most_queued();
    taken = taken_position_;
  }
  if (exports) {
    const int shard = shards_left_.back();
    shards_left_.pop_back();
    slot_.export_shard(shard, [this](std::vector<LogEntry> entries) {
      for (LogEntry& entry : entries) send(std::move(entry));
      MutexLock lock(mutex_);
      exporting_ = false;
      changed_.notify_all();
    });
    return;
  }
  if (!waits_ && (all_exported || far_behind)) {
    slot_.wait_for_backup(this);
    waits_ = true;
  }
  if (waits_ && all_exported && sync_position_ == 0) {
    // All that was acknowledged without the backup is in the queue by now.
    MutexLock lock(mutex_);
    sync_position_ = last_position_;
  }
  if (sync_position_ == 0 || taken < sync_position_) return;
  int64_t index = 0;
  {
    MutexLock lock(mutex_);
    if (closing_) return;
    index = taken_index_;
  }
  in_sync_ = true;
  options_.in_sync();
  slot_.backup_has(index, this);
}

}  // namespace trireme::ps

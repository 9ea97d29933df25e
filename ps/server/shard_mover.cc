#include "ps/server/shard_mover.h"

#include <pthread.h>

#include <cstring>
#include <future>

#include "core/base/logging.h"

namespace trireme::ps {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kConnectTimeout{1'000}, kPieceTimeout{10'000}, kTick{20}, kPause{10};

}  // namespace

ShardMover::ShardMover(std::shared_ptr<Slot> slot, ShardMoverOptions options)
    : slot_(std::move(slot)), options_(std::move(options)) {
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "ps mover");
}

ShardMover::~ShardMover() {
  end();
  thread_.join();
}

void ShardMover::end() {
  MutexLock lock(mutex_);
  closing_ = true;
  changed_.notify_all();
}

void ShardMover::pause() {
  MutexLock lock(mutex_);
  if (!closing_) changed_.wait_until(mutex_, Clock::now() + kPause);
}

template <typename Future>
bool ShardMover::wait(Future& future, Clock::time_point deadline) {
  while (future.wait_for(kTick) != std::future_status::ready) {
    MutexLock lock(mutex_);
    if (closing_ || Clock::now() >= deadline) return false;
  }
  return true;
}

void ShardMover::run() {
  std::string error;
  try {
    for (int64_t attempt = 1;; ++attempt) {
      {
        MutexLock lock(mutex_);
        if (closing_) break;
      }
      if (Clock::now() - progress_ > options_.patience) {
        throw Error(
            ErrorCode::kDeadlineExceeded,
            str_cat("slot ", options_.to, ", at ", options_.connect.address,
                    ", has taken nothing of it for ", options_.patience.count() / 1000.0, " s"));
      }
      if (freeze()) {
        const std::vector<LogEntry> entries = copy();
        if (!entries.empty() && send(entries, attempt)) {
          options_.done("");
          break;
        }
      }
      pause();
    }
  } catch (const std::exception& what) {
    options_.done(what.what());
  }
  ended_ = true;
}

bool ShardMover::freeze() {
  const auto promise = std::make_shared<std::promise<bool>>();
  auto frozen = promise->get_future();
  slot_->freeze(options_.shard, [promise](bool ok) { promise->set_value(ok); });
  return wait(frozen, Clock::now() + kPieceTimeout) && frozen.get();
}

std::vector<LogEntry> ShardMover::copy() {
  const auto promise = std::make_shared<std::promise<std::vector<LogEntry>>>();
  auto copied = promise->get_future();
  slot_->export_move(options_.shard, [promise](std::vector<LogEntry> entries) {
    promise->set_value(std::move(entries));
  });
  if (!wait(copied, Clock::now() + options_.patience)) return {};
  return copied.get();
}

bool ShardMover::send(const std::vector<LogEntry>& entries, int64_t attempt) {
  std::shared_ptr<RpcConnection> connection;
  try {
    ConnectOptions connect = options_.connect;
    connect.connect_timeout = kConnectTimeout;
    connection = connect_rpc(connect);
  } catch (const Error&) {
    return false;
  }
  int64_t position = 0;
  for (LogEntry entry : entries) {
    entry.header.epoch = options_.to_epoch;
    entry.header.attempt = move_attempt(options_.move, attempt);
    entry.header.position = ++position;
    if (!send_piece(*connection, std::move(entry))) return false;
    // A slot that refuses the first piece has taken nothing.
    progress_ = Clock::now();
  }
  return true;
}

// Throws what the other slot refuses it for.
bool ShardMover::send_piece(RpcConnection& connection, LogEntry entry) {
  const auto promise = std::make_shared<std::promise<RpcResult>>();
  auto answered = promise->get_future();
  connection.call(entry_request(entry, options_.to, options_.view.load(), RequestKind::kMove),
                  kPieceTimeout,
                  [promise](RpcResult result) { promise->set_value(std::move(result)); });
  if (!wait(answered, Clock::now() + kPieceTimeout)) return false;
  const RpcResult result = answered.get();
  AnswerHeader header;
  if (result.error != nullptr || result.answer.bytes.size() < sizeof(header)) return false;
  std::memcpy(&header, result.answer.bytes.data(), sizeof(header));
  if (header.code == AnswerCode::kError) parse_answer(result.answer, RowType::kFloat32, {});
  return header.code == AnswerCode::kOk;
}

}  // namespace trireme::ps

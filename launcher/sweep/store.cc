#include "launcher/sweep/store.h"

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <thread>

#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "distributed/connection/draw_id.h"

namespace trireme::sweep {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kLongestWait{120};  // a dead holder's lease included
constexpr std::chrono::milliseconds kFirstPause{5}, kLongestPause{200};

// Waits for the folder. Another host's process cannot wake this one, so it looks again and again.
std::unique_ptr<io::FolderLock> wait_for(const std::string& folder) {
  const auto deadline = Clock::now() + kLongestWait;
  for (auto pause = kFirstPause;; pause = std::min(2 * pause, kLongestPause)) {
    try {
      return std::make_unique<io::FolderLock>(folder, io::FolderLockOptions{});
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kInvalidArgument) throw;
      if (Clock::now() > deadline) {
        throw Error(ErrorCode::kDeadlineExceeded,
                    str_cat("waited ", kLongestWait.count(), " s for the sweep: ", error.what()));
      }
    }
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace

Store::Store(std::string folder, const Plan& plan, Sharing sharing)
    : folder_(std::move(folder)),
      sharing_(sharing),
      runner_(draw_id().substr(0, 12)),
      journal_(folder_ + "/journal.jsonl"),
      state_(plan) {
  if (sharing_ == Sharing::kAlone) {
    folder_lock_ = std::make_unique<io::FolderLock>(folder_, io::FolderLockOptions{});
  }
  const std::string own = folder_of(runner_);
  io::create_directories(own);
  runner_lock_ = std::make_unique<io::FolderLock>(own, io::FolderLockOptions{});
  transaction([this] { (void)take_over(); });
}

Store::~Store() {
  runner_lock_.reset();
  std::error_code ignored;
  fs::remove(folder_of(runner_), ignored);
  if (sharing_ == Sharing::kAlone) fs::remove(folder_ + "/runners", ignored);
}

std::string Store::folder_of(const std::string& runner) const {
  return (fs::path(folder_) / "runners" / runner).string();
}

void Store::transaction(const std::function<void()>& action) {
  std::unique_ptr<io::FolderLock> turn;
  if (sharing_ == Sharing::kTogether) turn = wait_for(folder_);
  if (folder_lock_) folder_lock_->check();
  runner_lock_->check();
  for (const Event& event : journal_.refresh()) {
    try {
      state_.apply(event);
    } catch (const Error& error) {
      throw error.with_context(folder_ + "/journal.jsonl");
    }
  }
  action();
}

void Store::record(const Event& event) {
  state_.apply(event);
  journal_.append(event);
}

bool Store::is_gone(const std::string& runner) const {
  if (runner == runner_) return false;
  const std::string folder = folder_of(runner);
  std::error_code ignored;
  if (!fs::exists(folder, ignored)) return true;
  try {
    const io::FolderLock lock(folder, {});
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw;
    if (sharing_ == Sharing::kTogether) return false;
    throw error.with_context(folder_ + ": trials of this sweep are running");
  }
  fs::remove_all(folder, ignored);
  return true;
}

bool Store::take_over() {
  bool any = false;
  std::map<std::string, bool> gone;
  for (int64_t i = 0; i < static_cast<int64_t>(state_.trials().size()); ++i) {
    const Trial& trial = state_.trial(i);
    if (trial.status != TrialStatus::kRunning) continue;
    const auto known = gone.find(trial.runner);
    const bool is =
        known != gone.end() ? known->second : (gone[trial.runner] = is_gone(trial.runner));
    if (!is) continue;
    record({.kind = EventKind::kInterrupted, .trial = i, .target = trial.target});
    any = true;
  }
  return any;
}

}  // namespace trireme::sweep

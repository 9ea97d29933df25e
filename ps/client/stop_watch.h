// For how long a worker has known that it is to stop, and whether the others are still there.
//
// All methods may be called from any thread.
#pragma once

#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "core/base/error.h"

namespace trireme::ps {

struct StopState {
  int signal = 0;                               // 0: it was not told
  std::chrono::milliseconds told{0}, alone{0};  // for so long; 0: other workers are there
};

class StopWatch {
 public:
  // Workers that are gone for so long will not come any more.
  static constexpr std::chrono::milliseconds kPatience{1'500};
  // Nor will a server's answer that is due at once; the launcher may have to wake it first.
  static constexpr std::chrono::milliseconds kSilence{3'000};
  // Less than launchers and schedulers give before they kill: to say what was waited for.
  static constexpr std::chrono::milliseconds kLongest{20'000};

  // `signal`: by which it was told, 0: it was not; null: it never is. `is_alone`: whether workers
  // of the job are missing.
  StopWatch(std::function<int()> signal, std::function<bool()> is_alone)
      : signal_(std::move(signal)), is_alone_(std::move(is_alone)) {}

  StopState state() {
    StopState state{.signal = signal_ ? signal_() : 0};
    if (state.signal == 0) return state;
    const int64_t now = std::chrono::duration_cast<std::chrono::milliseconds>(
                            std::chrono::steady_clock::now().time_since_epoch())
                            .count();
    state.told = since(told_, now, true);
    state.alone = since(alone_, now, is_alone_());
    return state;
  }

  // Why a wait for other workers is in vain; nothing: it is not, or this worker was not told.
  static std::string why_in_vain(const StopState& state) {
    if (state.signal == 0) return "";
    if (state.alone >= kPatience) return "other workers of the job are gone";
    if (state.told >= kLongest) return str_cat("that was ", kLongest.count() / 1000, " s ago");
    return "";
  }

  static Error error(const StopState& state, const std::string& what, const std::string& why) {
    const char* const name = sigabbrev_np(state.signal);
    return {ErrorCode::kCancelled,
            str_cat(what, ": given up, because this worker was told to stop ", "by SIG",
                    name == nullptr ? "?" : name, " and ", why)};
  }

 private:
  static std::chrono::milliseconds since(std::atomic<int64_t>& begin, int64_t now, bool holds) {
    if (!holds) begin = 0;
    int64_t none = 0;
    if (!holds || begin.compare_exchange_strong(none, now)) return std::chrono::milliseconds(0);
    return std::chrono::milliseconds(now - none);
  }

  const std::function<int()> signal_;
  const std::function<bool()> is_alone_;
  std::atomic<int64_t> told_{0}, alone_{0};
};

}  // namespace trireme::ps

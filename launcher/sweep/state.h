// What has become of a sweep's trials: made of the events of its journal, one after another.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "launcher/sweep/plan.h"

namespace trireme::sweep {

// What a trial came to at a rung.
struct TrialResult {
  int64_t epochs = 0;     // finished, of the whole trial
  int64_t steps = 0;      // likewise
  bool finished = false;  // nothing is left to train: all epochs are done, or it ended early
  std::map<std::string, double> values;  // loss and metrics of the epoch that counts
};

enum class EventKind {
  kStart,        // a process of it was started
  kResult,       // it reached the rung
  kPromote,      // it had finished before, so that its result counts at the next rung as well
  kInterrupted,  // it was told to stop: it will go on
  kKilled,       // it died of what another try may do better
  kFailed,       // it failed for good
};

struct Event {
  EventKind kind = EventKind::kStart;
  int64_t trial = 0;
  int64_t target = 0;  // the epochs of the rung
  std::string runner;  // of kStart: who started it
  double seconds = 0;  // of an end: how long the process ran
  std::string error;   // kKilled, kFailed
  TrialResult result;  // kResult
};

enum class TrialStatus { kNew, kRunning, kInterrupted, kPaused, kDone, kFailed };
std::string_view name(TrialStatus status);

struct Trial {
  TrialStatus status = TrialStatus::kNew;
  int64_t target = 0;
  std::string runner;  // while it runs
  int64_t starts = 0, kills = 0;
  double seconds = 0;                // of all its processes
  std::string error;                 // why it failed, or was killed last
  std::vector<TrialResult> results;  // of each rung that it reached

  bool ended() const { return status == TrialStatus::kDone || status == TrialStatus::kFailed; }
};

class SweepState {
 public:
  explicit SweepState(const Plan& plan);

  // Throws Error{kDataLoss} for an event that cannot be, of a trial that there is not.
  void apply(const Event& event);

  const std::vector<Trial>& trials() const { return trials_; }
  const Trial& trial(int64_t number) const { return trials_[static_cast<size_t>(number)]; }
  int64_t count(TrialStatus status) const;
  // The trials that have reached rung `index`, in the order in which they did.
  const std::vector<int64_t>& reached(size_t index) const { return reached_[index]; }

  // The figure by which trials are compared; nothing: it has none there.
  std::optional<double> value(int64_t trial, size_t rung) const;
  // The same at the last rung that it reached.
  std::optional<double> last_value(int64_t trial) const;
  // The best trial: of those that reached the highest rung that any did.
  std::optional<int64_t> best() const;
  // All trials, the better ones first; those without a figure last. A trial that got further comes
  // before all that did not.
  std::vector<int64_t> ranking() const;

  const std::vector<int64_t>& rungs() const { return rungs_; }

 private:
  size_t rung_of(const Event& event) const;

  const std::string metric_;
  const bool maximize_;
  const std::vector<int64_t> rungs_;
  std::vector<Trial> trials_;
  std::vector<std::vector<int64_t>> reached_;
};

// What is to be done next.
struct Decision {
  enum Kind {
    kRun,      // start the trial, up to `target`
    kPromote,  // nothing needs to run: note kPromote
    kWait,     // for what runs
    kEnd,      // nothing is left, and nothing runs
  };
  Kind kind = kEnd;
  int64_t trial = 0, target = 0;
};

// First what was interrupted, then the promotion to the highest rung that is due (ASHA: Li et al.
// 2020, "A system for massively parallel hyperparameter tuning", algorithm 2), then a new trial.
// When all has come that can and a rung is still empty, because the trials were few or have failed,
// the best of the rung below goes on alone. It depends on nothing but the order of the events.
Decision next(const Plan& plan, const SweepState& state);

}  // namespace trireme::sweep

#include "launcher/sweep/state.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace trireme::sweep {

std::string_view name(TrialStatus status) {
  switch (status) {
    case TrialStatus::kNew:
      return "not started";
    case TrialStatus::kRunning:
      return "running";
    case TrialStatus::kInterrupted:
      return "interrupted";
    case TrialStatus::kPaused:
      return "stopped";
    case TrialStatus::kDone:
      return "done";
    case TrialStatus::kFailed:
      return "failed";
  }
  TRIREME_CHECK(false, "a status without a name");
}

SweepState::SweepState(const Plan& plan)
    : metric_(plan.metric),
      maximize_(plan.maximize),
      rungs_(plan.rungs()),
      trials_(static_cast<size_t>(plan.trials)),
      reached_(rungs_.size()) {}

size_t SweepState::rung_of(const Event& event) const {
  const auto found = std::ranges::find(rungs_, event.target);
  if (found == rungs_.end()) throw data_loss("there is no rung of ", event.target, " epochs");
  return static_cast<size_t>(found - rungs_.begin());
}

void SweepState::apply(const Event& event) {
  if (event.trial < 0 || event.trial >= static_cast<int64_t>(trials_.size())) {
    throw data_loss("there is no trial ", event.trial, " of ", trials_.size());
  }
  Trial& trial = trials_[static_cast<size_t>(event.trial)];
  const size_t rung = rung_of(event);
  const bool reaches = event.kind == EventKind::kResult || event.kind == EventKind::kPromote;
  const bool fits = event.kind == EventKind::kPromote
                        ? !trial.results.empty() && trial.results.back().finished
                        : !trial.ended();
  if (!fits || (reaches && rung != trial.results.size())) {
    throw data_loss("trial ", event.trial, " is ", name(trial.status), " and has reached ",
                    trial.results.size(), " rungs: this event does not follow");
  }
  trial.target = event.target;
  trial.seconds += event.seconds;
  trial.runner.clear();
  switch (event.kind) {
    case EventKind::kStart:
      ++trial.starts;
      trial.status = TrialStatus::kRunning;
      trial.runner = event.runner;
      return;
    case EventKind::kInterrupted:
      trial.status = TrialStatus::kInterrupted;
      return;
    case EventKind::kKilled:
      ++trial.kills;
      trial.status = TrialStatus::kInterrupted;
      trial.error = event.error;
      return;
    case EventKind::kFailed:
      trial.status = TrialStatus::kFailed;
      trial.error = event.error;
      return;
    case EventKind::kResult:
      trial.results.push_back(event.result);
      trial.status = event.result.finished || rung + 1 == rungs_.size() ? TrialStatus::kDone
                                                                        : TrialStatus::kPaused;
      break;
    case EventKind::kPromote:
      trial.results.push_back(trial.results.back());
      break;
  }
  reached_[rung].push_back(event.trial);
}

int64_t SweepState::count(TrialStatus status) const {
  return std::ranges::count(trials_, status, &Trial::status);
}

std::optional<double> SweepState::value(int64_t number, size_t rung) const {
  const Trial& one = trial(number);
  if (rung >= one.results.size()) return std::nullopt;
  const auto found = one.results[rung].values.find(metric_);
  if (found == one.results[rung].values.end() || std::isnan(found->second)) return std::nullopt;
  return found->second;
}

std::optional<double> SweepState::last_value(int64_t number) const {
  const size_t rungs = trial(number).results.size();
  return rungs == 0 ? std::nullopt : value(number, rungs - 1);
}

std::vector<int64_t> SweepState::ranking() const {
  std::vector<int64_t> order(trials_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  std::ranges::stable_sort(order, [&](int64_t a, int64_t b) {
    const auto one = last_value(a), other = last_value(b);
    if (one.has_value() != other.has_value()) return one.has_value();
    if (!one) return false;
    const size_t far = trial(a).results.size(), near = trial(b).results.size();
    if (far != near) return far > near;
    return maximize_ ? *one > *other : *one < *other;
  });
  return order;
}

std::optional<int64_t> SweepState::best() const {
  const std::vector<int64_t> order = ranking();
  if (order.empty() || !last_value(order.front())) return std::nullopt;
  return order.front();
}

namespace {

// The best of the first `may` of a rung that has not gone on; nothing: none is due.
std::optional<int64_t> due_at(const Plan& plan, const SweepState& state, size_t rung, size_t may) {
  std::vector<int64_t> order = state.reached(rung);
  // Of equal ones the first to arrive.
  std::ranges::stable_sort(order, [&](int64_t a, int64_t b) {
    const auto one = state.value(a, rung), other = state.value(b, rung);
    if (!one || !other) return one.has_value() && !other.has_value();
    return plan.is_better(*one, *other);
  });
  for (size_t i = 0; i < may && i < order.size(); ++i) {
    const Trial& trial = state.trial(order[i]);
    const bool waits = trial.results.size() == rung + 1 && trial.target == state.rungs()[rung] &&
                       (trial.status == TrialStatus::kPaused || trial.status == TrialStatus::kDone);
    if (waits && state.value(order[i], rung)) return order[i];
  }
  return std::nullopt;
}

Decision promotion(const SweepState& state, int64_t trial, size_t rung) {
  const bool finished = state.trial(trial).status == TrialStatus::kDone;
  return {finished ? Decision::kPromote : Decision::kRun, trial, state.rungs()[rung + 1]};
}

}  // namespace

Decision next(const Plan& plan, const SweepState& state) {
  const std::vector<Trial>& trials = state.trials();
  const auto numbered = [&](auto found) { return static_cast<int64_t>(found - trials.begin()); };
  const auto interrupted = std::ranges::find(trials, TrialStatus::kInterrupted, &Trial::status);
  if (interrupted != trials.end()) {
    return {Decision::kRun, numbered(interrupted), interrupted->target};
  }
  for (size_t rung = state.rungs().size() - 1; rung-- > 0;) {
    const auto may = state.reached(rung).size() / static_cast<size_t>(plan.reduction);
    if (const auto trial = due_at(plan, state, rung, may)) return promotion(state, *trial, rung);
  }
  const auto fresh = std::ranges::find(trials, TrialStatus::kNew, &Trial::status);
  if (fresh != trials.end()) return {Decision::kRun, numbered(fresh), state.rungs().front()};
  if (state.count(TrialStatus::kRunning) > 0) return {Decision::kWait};
  for (size_t rung = state.rungs().size() - 1; rung-- > 0;) {
    if (!state.reached(rung + 1).empty()) break;
    const auto trial = due_at(plan, state, rung, state.reached(rung).size());
    if (trial) return promotion(state, *trial, rung);
  }
  return {Decision::kEnd};
}

}  // namespace trireme::sweep

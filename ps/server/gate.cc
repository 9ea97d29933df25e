#include "ps/server/gate.h"

#include <algorithm>

#include "core/base/error.h"
#include "proto/ps_state.pb.h"

namespace trireme::ps {

void Gate::check(const RequestHeader& push) const {
  const auto it = steps_.find(push.step);
  if (it == steps_.end() || static_cast<int>(it->second.size()) == push.parts) return;
  throw invalid_argument("worker ", push.worker, ", step ", push.step, ": others have it in ",
                         it->second.size(), " parts, found ", push.parts);
}

bool Gate::hold(std::shared_ptr<const Push> push) {
  const RequestHeader& header = push->header;
  if (!done_) done_ = before_first_step(header.step);
  if (header.step <= *done_) return false;
  std::vector<Part>& parts = steps_[header.step];
  parts.resize(static_cast<size_t>(header.parts));
  Part& part = parts[static_cast<size_t>(header.part)];
  if (part.applied) return false;
  part.held[header.worker] = std::move(push);
  return true;
}

// A worker whose clock is past the step without a contribution that is held here: what it pushed
// was lost, and nobody waits for it.
int Gate::settled(int64_t step, const Part& part, const WorkerLedger& ledger) const {
  int count = 0;
  for (int worker = 0; worker < ledger.workers(); ++worker) {
    if (part.held.contains(worker) || ledger.clock(worker).value_or(step - 1) >= step) ++count;
  }
  return count;
}

void Gate::advance(const WorkerLedger& ledger, const Apply& apply) {
  while (done_) {
    const int64_t step = *done_ + 1;
    const auto it = steps_.begin();
    if (it == steps_.end() || it->first > step) {
      // Nobody's contribution to this step is here; go past it when enough of them are lost.
      const int64_t passed = ledger.nth_clock(required_).value_or(*done_);
      const int64_t next = it == steps_.end() ? passed : std::min(passed, it->first - 1);
      if (next <= *done_) return;
      done_ = next;
      continue;
    }
    bool all = true;
    for (Part& part : it->second) {
      if (!part.applied && settled(step, part, ledger) >= required_) {
        std::vector<std::shared_ptr<const Push>> contributions;
        for (auto& [worker, push] : part.held) contributions.push_back(std::move(push));
        part.held.clear();
        part.applied = true;
        apply(std::move(contributions));
      }
      all = all && part.applied;
    }
    if (!all) return;
    done_ = step;
    steps_.erase(it);
  }
}

void Gate::restart(int64_t step) {
  steps_.clear();
  done_ = step;
}

std::string Gate::missing(int64_t step, const WorkerLedger& ledger) const {
  const int64_t next = done_ ? *done_ + 1 : step;
  std::string workers;
  const auto it = steps_.find(next);
  for (int worker = 0; worker < ledger.workers(); ++worker) {
    bool here = ledger.clock(worker).value_or(next - 1) >= next;
    if (!here && it != steps_.end()) {
      here = std::ranges::all_of(
          it->second, [&](const Part& part) { return part.applied || part.held.contains(worker); });
    }
    if (!here) workers += str_cat(workers.empty() ? "" : ", ", worker);
  }
  return str_cat("step ", next, " of worker", workers.find(',') == std::string::npos ? " " : "s ",
                 workers);
}

void Gate::for_each_held(
    const std::function<void(const std::shared_ptr<const Push>&)>& visit) const {
  for (const auto& [step, parts] : steps_) {
    for (const Part& part : parts) {
      for (const auto& [worker, push] : part.held) visit(push);
    }
  }
}

void Gate::save(proto::SlotState& state) const {
  state.set_has_done(done_.has_value());
  state.set_done(done_.value_or(0));
  for (const auto& [number, parts] : steps_) {
    proto::GateStep& step = *state.add_gate();
    step.set_step(number);
    step.set_parts(static_cast<int>(parts.size()));
    for (size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].applied) step.add_applied(static_cast<int>(i));
    }
  }
}

void Gate::load(const proto::SlotState& state) {
  done_.reset();
  if (state.has_done()) done_ = state.done();
  steps_.clear();
  for (const proto::GateStep& step : state.gate()) {
    std::vector<Part>& parts = steps_[step.step()];
    parts.resize(static_cast<size_t>(step.parts()));
    for (const int part : step.applied()) parts[static_cast<size_t>(part)].applied = true;
  }
}

}  // namespace trireme::ps

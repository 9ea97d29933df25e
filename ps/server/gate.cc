#include "ps/server/gate.h"

#include <algorithm>

#include "core/base/error.h"
#include "proto/ps_state.pb.h"

namespace trireme::ps {
namespace {

// That a shard may be behind or ahead of the others; more is of steps that were lost.
constexpr int64_t kMostOpenSteps = 4096;

}  // namespace

void Gate::check(const RequestHeader& push) const {
  const auto it = steps_.find(push.step);
  if (it == steps_.end() || static_cast<int>(it->second.size()) == push.parts) return;
  throw invalid_argument("worker ", push.worker, ", step ", push.step, ": others have it in ",
                         it->second.size(), " parts, found ", push.parts);
}

bool Gate::hold(std::shared_ptr<const Push> push, const ShardSet& shards) {
  const RequestHeader& header = push->header;
  if (!done_) done_ = before_first_step(header.step);
  if (header.step <= *done_) return false;
  std::vector<Part>& parts = steps_[header.step];
  parts.resize(static_cast<size_t>(header.parts));
  Part& part = parts[static_cast<size_t>(header.part)];
  const ShardSet waiting = shards - part.applied;
  const bool is_on_time = waiting == shards;
  std::vector<Contribution>& held = part.held[header.worker];
  for (Contribution& former : held) former.shards -= waiting;
  held.push_back({std::move(push), waiting});
  forget_empty(part);
  return is_on_time;
}

// A worker whose clock is past the step without a contribution that is held here: what it pushed
// was lost, and nobody waits for it.
// Returns the shards where enough workers are.
ShardSet Gate::settled(int64_t step, const Part& part, const WorkerLedger& ledger) const {
  int everywhere = 0;
  ShardSet allowed = shards_;
  std::vector<ShardSet> somewhere;
  for (int worker = 0; worker < ledger.workers(); ++worker) {
    ShardSet here;
    if (ledger.clock(worker).value_or(step - 1) >= step) here = shards_;
    if (const auto it = part.held.find(worker); it != part.held.end()) {
      for (const Contribution& held : it->second) here |= held.shards;
    }
    here &= shards_;
    if (worker == 0 && is_saved_ && is_saved_(step - 1)) allowed = here;
    if (here == shards_ && here.any()) {
      ++everywhere;
    } else if (here.any()) {
      somewhere.push_back(here);
    }
  }
  if (everywhere >= required_) return allowed;
  ShardSet enough;
  if (everywhere + static_cast<int>(somewhere.size()) < required_) return enough;
  for_each_shard(shards_, [&](int number) {
    const auto shard = static_cast<size_t>(number);
    const auto count =
        std::ranges::count_if(somewhere, [&](const ShardSet& s) { return s[shard]; });
    enough.set(shard, everywhere + count >= required_);
  });
  return enough & allowed;
}

void Gate::advance(const WorkerLedger& ledger, const ShardSet& frozen, const Apply& apply) {
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
      if (is_applied(part)) continue;
      const ShardSet ready = settled(step, part, ledger) - part.applied - frozen;
      if (ready.any()) apply(take(part, ready));
      all = all && is_applied(part);
    }
    if (!all) return;
    done_ = step;
    steps_.erase(it);
  }
}

std::vector<Contribution> Gate::take(Part& part, const ShardSet& ready) {
  std::vector<Contribution> taken;
  for (auto& [worker, contributions] : part.held) {
    for (Contribution& held : contributions) {
      if (held.shards.intersects(ready)) taken.push_back({held.push, held.shards & ready});
      held.shards -= ready;
    }
  }
  part.applied |= ready;
  forget_empty(part);
  return taken;
}

void Gate::forget_empty(Part& part) {
  for (auto& [worker, contributions] : part.held) {
    std::erase_if(contributions, [](const Contribution& held) { return held.shards.none(); });
  }
  std::erase_if(part.held, [](const auto& held) { return held.second.empty(); });
}

// Steps that went through here and not there, or the other way round, are open again.
void Gate::arrive(int shard, const Gate* source, const WorkerLedger& ledger) {
  const auto number = static_cast<size_t>(shard);
  const ShardSet before = shards_;
  shards_.set(number);
  if (source == nullptr) {
    for (auto& [step, parts] : steps_) {
      for (Part& part : parts) part.applied.set(number, part.applied.contains(before));
    }
    return;
  }
  if (!done_ && !source->done_) return;
  const int64_t first = ledger.first().value_or(0);
  const int64_t mine = done_.value_or(first), theirs = source->done_.value_or(first);
  const int64_t low = std::max(std::min(mine, theirs), std::max(mine, theirs) - kMostOpenSteps);
  const auto open = [&](int64_t step) -> std::vector<Part>& {
    std::vector<Part>& parts = steps_[step];
    if (parts.empty()) parts.resize(static_cast<size_t>(ledger.parts()));
    return parts;
  };
  for (int64_t step = low + 1; step <= mine; ++step) {
    for (Part& part : open(step)) part.applied |= before;
  }
  for (int64_t step = low + 1; step <= theirs; ++step) {
    for (Part& part : open(step)) part.applied.set(number);
  }
  for (const auto& [step, parts] : source->steps_) {
    if (step <= low) continue;
    std::vector<Part>& to = open(step);
    for (size_t i = 0; i < std::min(to.size(), parts.size()); ++i) {
      if (parts[i].applied[number]) to[i].applied.set(number);
    }
  }
  done_ = low;
}

void Gate::leave(int shard) {
  shards_.reset(static_cast<size_t>(shard));
  for (auto& [step, parts] : steps_) {
    for (Part& part : parts) {
      for (auto& [worker, contributions] : part.held) {
        for (Contribution& held : contributions) held.shards &= shards_;
      }
      forget_empty(part);
    }
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
      here = std::ranges::all_of(it->second, [&](const Part& part) {
        return is_applied(part) || part.held.contains(worker);
      });
    }
    if (!here) workers += str_cat(workers.empty() ? "" : ", ", worker);
  }
  return str_cat("step ", next, " of worker", workers.find(',') == std::string::npos ? " " : "s ",
                 workers);
}

void Gate::for_each_held(const std::function<void(const Contribution&)>& visit) const {
  for (const auto& [step, parts] : steps_) {
    for (const Part& part : parts) {
      for (const auto& [worker, contributions] : part.held) {
        for (const Contribution& held : contributions) visit(held);
      }
    }
  }
}

void Gate::save(proto::SlotState& state, int shards) const {
  state.set_has_done(done_.has_value());
  state.set_done(done_.value_or(0));
  for (const auto& [number, parts] : steps_) {
    proto::GateStep& step = *state.add_gate();
    step.set_step(number);
    step.set_parts(static_cast<int>(parts.size()));
    for (const Part& part : parts) {
      const bool many = shards > kVirtualShards;  // what has left would not find room
      step.add_applied_shards(pack_shards(many ? part.applied & shards_ : part.applied, shards));
    }
  }
}

void Gate::load(const proto::SlotState& state, int shards) {
  done_.reset();
  if (state.has_done()) done_ = state.done();
  steps_.clear();
  for (const proto::GateStep& step : state.gate()) {
    std::vector<Part>& parts = steps_[step.step()];
    parts.resize(static_cast<size_t>(step.parts()));
    for (const int part : step.applied())
      parts.at(static_cast<size_t>(part)).applied = all_shards(shards);
    const auto known = std::min(parts.size(), static_cast<size_t>(step.applied_shards_size()));
    for (size_t i = 0; i < known; ++i) {
      parts[i].applied = unpack_shards(step.applied_shards(static_cast<int>(i)), shards);
    }
  }
}

}  // namespace trireme::ps

#include "distributed/coordination/stall_detector.h"

#include <algorithm>

#include "core/base/error.h"
#include "distributed/coordination/wording.h"

namespace trireme {
namespace {

std::string collective_text(const MemberBeat& beat) {
  return beat.what.empty() ? str_cat("collective ", beat.entered) : beat.what;
}

}  // namespace

void StallDetector::reset(const std::vector<Peer>& peers, Time now) {
  ranks_.clear();
  for (const auto& peer : peers) ranks_.push_back({.peer = peer, .beat = {}, .heard = now});
  reported_ = 0;
}

void StallDetector::beat(int rank, const MemberBeat& beat, Time now) {
  auto& entry = ranks_[static_cast<size_t>(rank)];
  entry.beat = beat;
  entry.heard = now;
}

void StallDetector::excuse(Time now) {
  for (auto& rank : ranks_) rank.heard = std::max(rank.heard, now);
}

void StallDetector::leave(int rank) {
  auto& entry = ranks_[static_cast<size_t>(rank)];
  entry.left = true;
  entry.beat.finished = entry.beat.entered;
}

std::string StallDetector::where(int rank) const {
  const auto& beat = ranks_[static_cast<size_t>(rank)].beat;
  if (beat.entered == 0) return "before its first collective";
  return str_cat("at step ", beat.step, beat.is_waiting() ? ", in " : ", after ",
                 collective_text(beat));
}

std::optional<StallDetector::Report> StallDetector::check(Time now) {
  const auto is_silent = [&](const Rank& rank) {
    return !rank.left && now - rank.heard > limits_.silence;
  };
  // The collective that holds up the others is the first of those that somebody waits in. How long
  // is taken from the beats as they are: what has ended since the last beat must not be reported.
  const Rank* first = nullptr;
  for (const auto& rank : ranks_) {
    if (!rank.beat.is_waiting() || is_silent(rank)) continue;
    if (first == nullptr || rank.beat.entered < first->beat.entered ||
        (rank.beat.entered == first->beat.entered && rank.beat.waiting > first->beat.waiting)) {
      first = &rank;
    }
  }
  if (first == nullptr || first->beat.waiting <= std::min(limits_.warning, limits_.timeout)) {
    return std::nullopt;
  }
  const uint64_t sequence = first->beat.entered;
  const auto late = first->beat.waiting;
  if (reported_ != sequence) {
    reported_ = sequence;
    next_report_ = limits_.warning;
  }
  const bool expired = late > limits_.timeout;
  if (!expired && late < next_report_) return std::nullopt;
  while (next_report_ <= late)
    next_report_ += std::max(limits_.warning, std::chrono::milliseconds(1));

  Report report;
  report.expired = expired;
  std::vector<const Rank*> waiting;
  for (const auto& rank : ranks_) {
    const bool silent = is_silent(rank);
    if (silent || rank.beat.entered < sequence) report.missing.push_back(rank.peer.rank);
    if (silent) report.silent.push_back(rank.peer.rank);
    if (rank.beat.is_waiting() && !silent) waiting.push_back(&rank);
  }
  report.message = report.missing.empty() ? describe_deadlock(*first, late, waiting)
                                          : describe(*first, late, report.missing);
  return report;
}

// `missing`: in the order of the ranks.
std::string StallDetector::describe(const Rank& first, std::chrono::milliseconds late,
                                    const std::vector<int>& missing) const {
  const auto rank_of = [&](int rank) -> const Rank& { return ranks_[static_cast<size_t>(rank)]; };
  const bool all_left =
      std::all_of(missing.begin(), missing.end(), [&](int rank) { return rank_of(rank).left; });
  const std::string names = name_some(missing.size(), [&](size_t i) {
    const Rank& rank = rank_of(missing[i]);
    return rank.peer.to_string() + (rank.left && !all_left ? ", which has left," : "");
  });
  const char* has = missing.size() == 1 ? " has" : " have";
  std::vector<int> waiting;
  for (const auto& rank : ranks_) {
    if (rank.beat.is_waiting() &&
        !std::binary_search(missing.begin(), missing.end(), rank.peer.rank)) {
      waiting.push_back(rank.peer.rank);
    }
  }
  return str_cat(names, has, all_left ? str_cat(" left and", has) : "", " been missing for ",
                 seconds_text(late), " at step ", first.beat.step, ", ",
                 collective_text(first.beat), "; waiting: ", name_ranks(waiting));
}

std::string StallDetector::describe_deadlock(const Rank& first, std::chrono::milliseconds late,
                                             const std::vector<const Rank*>& waiting) const {
  const std::string names = name_some(waiting.size(), [&](size_t i) {
    return str_cat(waiting[i]->peer.to_string(), " in collective ", waiting[i]->beat.entered);
  });
  return str_cat("a transfer has been stuck for ", seconds_text(late), " at step ", first.beat.step,
                 ", ", collective_text(first.beat),
                 ", though every rank has entered it; waiting: ", names);
}

}  // namespace trireme

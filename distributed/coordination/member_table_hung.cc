// Workers that hang: alive, and not back where the others wait for them. Whoever started them is
// asked to start them again.
#include <algorithm>

#include "distributed/coordination/member_table.h"
#include "distributed/coordination/wording.h"

namespace trireme {
namespace {

// How long a member that was late for a collective may take to join again: until its generation
// ended it was late already.
constexpr std::chrono::milliseconds kReturnAfterReport{5000};
// Ticks that are further apart mean that the coordinator itself stood still.
constexpr std::chrono::milliseconds kPause{1000};
// Ticks that are no further apart are in time.
constexpr std::chrono::milliseconds kTickInTime{100};

}  // namespace

// A launcher that was stopped for a while (Ctrl-Z) must not take its own pause for that of the
// tasks; one whose thread runs late runs on a machine whose tasks run late too.
void MemberTable::note_tick(Time now) {
  if (last_tick_) {
    const auto apart = std::chrono::floor<std::chrono::milliseconds>(now - *last_tick_);
    lateness_.note(apart - kTickInTime, now);
    if (apart > kPause) {
      detector_.excuse(now);
      formed_ += apart;
      ended_ += apart;
      if (waiting_since_) *waiting_since_ += apart;
    }
  }
  last_tick_ = now;
}

// After the end of a generation every member that lives joins the next one, when its step is over.
void MemberTable::check_return(Time now) {
  if (running_ || waiting_.empty()) return;
  for (Member& member : members_) {
    if (!member.alive() || member.replaced || member.back) continue;
    const auto limit = member.named ? std::min(kReturnAfterReport, options_.collective_timeout)
                                    : options_.collective_timeout;
    if (now - ended_ < limit) continue;
    const auto cause = causes_.find(generation_);
    replace(member,
            str_cat(member.peer.to_string(), " has not come back for ", seconds_text(now - ended_),
                    " after the end of generation ", generation_,
                    cause == causes_.end() ? "" : str_cat(": ", cause->second.what())),
            now);
  }
}

void MemberTable::replace(Member& member, const std::string& why, Time now) {
  if (member.replaced || !options_.replace) return;
  member.replaced = true;
  if (!options_.replace({.type = TaskType::kWorker,
                         .index = member.home,
                         .start = static_cast<int64_t>(member.incarnation),
                         .why = why})) {
    return;
  }
  log_.push_back(str_cat(member.peer.to_string(), " hangs: its launcher is asked to replace it"));
  if (!waiting_.empty()) waiting_since_ = now;  // the others wait for the new one
}

// Those that never came may hang before they could join.
bool MemberTable::replace_missing(const std::string& why) {
  bool any = false;
  for (const int home : missing_homes()) {
    any |= options_.replace && options_.replace({.type = TaskType::kWorker,
                                                 .index = home,
                                                 .start = -1,
                                                 .running_for = options_.join_timeout * 4 / 5,
                                                 .why = why});
  }
  return any;
}

}  // namespace trireme

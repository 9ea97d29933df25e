#include "distributed/coordination/directory.h"

#include <algorithm>

#include "core/base/error.h"
#include "distributed/coordination/wording.h"

namespace trireme {
namespace {

// Ticks that are further apart mean that the directory itself stood still.
constexpr std::chrono::milliseconds kPause{500};
// And these, that its machine is busy.
constexpr std::chrono::milliseconds kLateTick{150};
constexpr int kNamedOneByOne = 64;  // of the servers that come at the beginning

// Of the time that a worker waits for a server: what remains is for the new one to begin.
constexpr int kHungPart = 3;

size_t at(int index) { return static_cast<size_t>(index); }

}  // namespace

Directory::Directory(DirectoryOptions options) : options_(std::move(options)) {}

void Directory::set_patience_of_workers(std::chrono::milliseconds timeout) {
  options_.hung_after = std::min(options_.hung_after, timeout / kHungPart);
}

// A server says TRIREME_INCARNATION + 1.
void Directory::replace(int server, const std::string& why) {
  ServerWatch& watch = watches_[at(server)];
  if (watch.replaced || !options_.replace) return;
  watch.replaced = true;
  const auto incarnation = static_cast<int64_t>(view_.servers[at(server)].incarnation);
  if (options_.replace({.type = TaskType::kParameterServer,
                        .index = server,
                        .start = incarnation - 1,
                        .why = why})) {
    log_.push_back(str_cat(name(server), " hangs: its launcher is asked to replace it"));
  }
}

bool Directory::all_are_heard(Time now) const {
  return std::ranges::all_of(view_.servers, [&](const ServerEntry& server) {
    const ServerWatch& watch = watches_[at(server.index)];
    return server.alive && !watch.replaced && now - watch.heard < options_.hung_after / 2;
  });
}

// One that hangs before it comes, at its first start or at a later one: nobody has heard of it, so
// only how long its process has been running tells.
void Directory::watch_absent(int server, Time now) {
  std::optional<Time>& since = watches_[at(server)].absent_since;
  if (!since) since = now;
  if (!options_.replace || now - *since <= options_.hung_after) return;
  since = now;
  const std::string why =
      str_cat("parameter server ", server, " has not come for ", seconds_text(options_.hung_after));
  if (options_.replace({.type = TaskType::kParameterServer,
                        .index = server,
                        .running_for = std::chrono::duration_cast<std::chrono::milliseconds>(
                            options_.hung_after),
                        .why = why})) {
    log_.push_back(str_cat(why, ": its launcher is asked to replace it"));
  }
}

std::string Directory::name(int index) const {
  const ServerEntry& server = view_.servers[at(index)];
  return str_cat("parameter server ", index, " (", server.host, ", ", server.address, ")");
}

void Directory::check(const Job& job) {
  if (job.servers < 1 || job.servers > kMaxServers) {
    throw invalid_argument("a job with ", job.servers, " parameter servers: expected 1 to ",
                           kMaxServers);
  }
  if (job.replicas < 1 || job.replicas > 2 || job.replicas > job.servers) {
    throw invalid_argument(job.replicas, " replicas on ", job.servers,
                           job.servers == 1 ? " parameter server" : " parameter servers",
                           ": expected 1, or 2 with at least two servers");
  }
  if (job_ && *job_ != job) {
    throw invalid_argument("this task says ", job.servers, " parameter servers with ", job.replicas,
                           " replicas, another one of the job ", job_->servers, " with ",
                           job_->replicas, ": give all tasks the same options");
  }
  if (job_) return;
  job_ = job;
  view_.servers.resize(at(job.servers));
  for (int i = 0; i < job.servers; ++i) view_.servers[at(i)].index = i;
  watches_.resize(at(job.servers));
}

void Directory::changed() {
  if (view_.number > 0) ++view_.number;
}

bool Directory::is_alive(int index, uint64_t incarnation) const {
  if (index < 0 || at(index) >= view_.servers.size()) return false;
  const ServerEntry& server = view_.servers[at(index)];
  return server.alive && server.incarnation == incarnation;
}

void Directory::attend(ServerEntry server, Time now, const std::vector<Snapshot>& snapshots) {
  TRIREME_CHECK(job_.has_value(), "check() must come first");
  if (server.index < 0 || server.index >= job_->servers) {
    throw invalid_argument("there is no parameter server ", server.index, " among ", job_->servers);
  }
  ServerEntry& known = view_.servers[at(server.index)];
  ServerWatch& watch = watches_[at(server.index)];
  if (watch.known && server.incarnation <= known.incarnation) {
    throw Error(ErrorCode::kDeadlineExceeded,
                str_cat("parameter server ", server.index, " of incarnation ", server.incarnation,
                        server.incarnation == known.incarnation
                            ? (known.alive ? " is here already" : " has been given up")
                            : " has been replaced by a newer one",
                        ": start it again"));
  }
  if (known.alive) lose(server.index, "was started again", now);
  server.alive = true;
  known = std::move(server);
  watch = {.known = true, .heard = now, .suspected = {}};
  note_arrival(known.index);
  if (view_.number == 0) {
    begin();
    return;
  }
  changed();
  take_waiting_slots(known.index, snapshots);
  give_backups(known.index);
  // One that took over slots may still need a backup, which has been there all the time.
  if (needs_backup()) {
    for (const ServerEntry& other : view_.servers) {
      if (other.alive && other.index != known.index) give_backups(other.index);
    }
  }
}

// Of many, not each is told: a line a server is much to read, and to write.
void Directory::note_arrival(int index) {
  if (view_.number > 0 || job_->servers <= kNamedOneByOne) {
    log_.push_back(name(index) + " is here");
    return;
  }
  const auto here = std::ranges::count_if(view_.servers, &ServerEntry::alive);
  if (here % kNamedOneByOne == 0) {
    log_.push_back(str_cat(here, " of ", job_->servers, " parameter servers are here"));
  }
}

bool Directory::needs_backup() const {
  return job_->replicas == 2 && std::ranges::any_of(view_.slots, [](const SlotEntry& slot) {
           return slot.primary >= 0 && slot.backup < 0;
         });
}

// The first view: server i is the primary of slot i, its neighbour the backup. All are empty, yet a
// backup counts only when its primary says so: from then on the log waits for it.
void Directory::begin() {
  for (const ServerEntry& server : view_.servers) {
    if (!server.alive) return;
  }
  const int servers = job_->servers;
  view_.slots.resize(at(servers));
  awaited_.resize(at(servers));
  without_backup_.resize(at(servers));
  for (int i = 0; i < servers; ++i) {
    view_.slots[at(i)] = {.primary = i,
                          .backup = job_->replicas == 2 ? (i + 1) % servers : -1,
                          .backup_in_sync = false,
                          .epoch = 1,
                          .restore = false};
    awaited_[at(i)] = i;
  }
  const int shards = directory_shards(servers);
  view_.slot_of_shard.resize(at(shards));
  for (int shard = 0; shard < shards; ++shard) {
    view_.slot_of_shard[at(shard)] = shard * servers / shards;
  }
  view_.number = 1;
  log_.push_back(str_cat("all ", servers, " parameter servers are here"));
}

void Directory::beat(int index, uint64_t incarnation, Time now) {
  if (!is_alive(index, incarnation)) return;
  watches_[at(index)].heard = now;
  watches_[at(index)].suspected.reset();
}

void Directory::detach(int index, uint64_t incarnation, bool goodbye, Time now) {
  if (!is_alive(index, incarnation)) return;
  lose(index, goodbye ? "has left" : "was lost: its connection ended", now, goodbye);
}

void Directory::suspect(int index, Time now) {
  if (index < 0 || at(index) >= view_.servers.size() || !view_.servers[at(index)].alive) return;
  if (!watches_[at(index)].suspected) watches_[at(index)].suspected = now;
}

void Directory::backup_is_in_sync(int index, uint64_t incarnation, int slot, int64_t epoch,
                                  uint64_t backup_incarnation) {
  if (!is_alive(index, incarnation) || slot < 0 || at(slot) >= view_.slots.size()) return;
  SlotEntry& entry = view_.slots[at(slot)];
  // It may speak of a backup that has been lost since, or started again.
  if (entry.primary != index || entry.epoch != epoch || entry.backup < 0 || entry.backup_in_sync ||
      !is_alive(entry.backup, backup_incarnation)) {
    return;
  }
  entry.backup_in_sync = true;
  changed();
  const bool all = std::ranges::all_of(
      view_.slots, [](const SlotEntry& one) { return one.backup >= 0 && one.backup_in_sync; });
  if (all) log_.push_back("every slot is on two parameter servers");
}

// By server: all its slots have.
std::vector<bool> Directory::have_another_replica() const {
  std::vector<bool> have(view_.servers.size(), true);
  for (const SlotEntry& slot : view_.slots) {
    if (slot.primary >= 0 && !(slot.backup >= 0 && slot.backup_in_sync)) {
      have[at(slot.primary)] = false;
    }
  }
  return have;
}

void Directory::lose(int index, const std::string& why, Time now, bool goodbye) {
  const std::string who = name(index);
  view_.servers[at(index)].alive = false;
  watches_[at(index)].suspected.reset();
  changed();
  std::vector<int> moved, waiting;
  for (int slot = 0; at(slot) < view_.slots.size(); ++slot) {
    const SlotEntry& entry = view_.slots[at(slot)];
    const bool was_primary = entry.primary == index;
    lose_slot(slot, index, now);
    if (was_primary) (entry.primary >= 0 ? moved : waiting).push_back(slot);
  }
  std::string line = str_cat(who, " ", why);
  if (!moved.empty()) {
    line += str_cat("; ", name_numbered("slot", moved), moved.size() == 1 ? " goes" : " go",
                    " on with the backup");
  }
  // All servers leave at the end of a job.
  if (!waiting.empty() && !goodbye) {
    line += str_cat("; ", name_numbered("slot", waiting), waiting.size() == 1 ? " waits" : " wait",
                    " until it is started again");
  }
  log_.push_back(line);
}

void Directory::lose_slot(int slot, int server, Time now) {
  SlotEntry& entry = view_.slots[at(slot)];
  if (entry.backup != server && entry.primary != server) return;
  without_backup_[at(slot)] = now;
  if (entry.primary == server) {
    awaited_[at(slot)] = server;
    // Whoever takes over has not heard of a move, or begins from an earlier time.
    if (view_.move && (view_.move->from == slot || view_.move->to == slot)) view_.move.reset();
    const bool promote = entry.backup >= 0 && entry.backup_in_sync;
    entry.primary = promote ? entry.backup : -1;
    if (promote) ++entry.epoch;
    entry.restore = false;
  }
  // A backup that is not in sync is of no use without its primary: it begins anew with the next.
  entry.backup = -1;
  entry.backup_in_sync = false;
}

void Directory::take_waiting_slots(int server, const std::vector<Snapshot>& snapshots) {
  for (int slot = 0; at(slot) < view_.slots.size(); ++slot) {
    SlotEntry& entry = view_.slots[at(slot)];
    if (entry.primary >= 0 || awaited_[at(slot)] != server) continue;
    const auto snapshot = std::ranges::find(snapshots, slot, &Snapshot::slot);
    if (snapshot == snapshots.end()) {
      lost_state_ = str_cat(name(server), " has come back without the rows of slot ", slot,
                            ": there is neither another replica nor a snapshot of them");
      return;
    }
    entry.primary = server;
    ++entry.epoch;
    entry.restore = true;
    log_.push_back(str_cat("slot ", slot, " goes on from the last snapshot on ", name(server),
                           ", of step ", snapshot->step, ", ", seconds_text(snapshot->age),
                           " old; what was trained since is lost"));
  }
}

void Directory::state_is_lost(int index, uint64_t incarnation, int slot, int64_t epoch,
                              const std::string& why) {
  if (!is_alive(index, incarnation) || slot < 0 || at(slot) >= view_.slots.size()) return;
  const SlotEntry& entry = view_.slots[at(slot)];
  if (entry.primary != index || entry.epoch != epoch) return;
  lost_state_ = str_cat(name(index), " has lost the rows of slot ", slot, ": ", why);
}

// A slot that moved to its backup does not move home when its server is back: both replicas apply
// the whole log, so the work is as even as before, and the primary would have to stop the log until
// the backup has the last of it, or a copy would be lost.
void Directory::give_backups(int server) {
  if (job_->replicas < 2) return;
  for (SlotEntry& entry : view_.slots) {
    if (entry.primary >= 0 && entry.primary != server && entry.backup < 0) entry.backup = server;
  }
}

void Directory::tick(Time now) {
  if (view_.number > 0) start_move();
  if (last_tick_) excuse(now - *last_tick_, now);
  last_tick_ = now;
  watch(now);
  find_backups(now);
}

// Silence is counted in the time in which this machine runs the directory: what the servers said
// while it did not waits to be read.
void Directory::excuse(Time::duration since_last_tick, Time now) {
  if (since_last_tick <= kLateTick) return;
  const bool stood_still = since_last_tick > kPause;
  for (ServerWatch& watch : watches_) {
    watch.heard = stood_still ? std::max(watch.heard, now)
                              : std::min(std::max(watch.heard, now), watch.heard + since_last_tick);
    if (stood_still) watch.absent_since.reset();
  }
}

void Directory::watch(Time now) {
  std::vector<bool> replicated = have_another_replica();
  for (int index = 0; at(index) < view_.servers.size(); ++index) {
    const ServerWatch& watch = watches_[at(index)];
    if (!view_.servers[at(index)].alive) {
      watch_absent(index, now);
      continue;
    }
    const auto silent = now - watch.heard;
    const auto why = [&] { return str_cat("has said nothing for ", seconds_text(silent)); };
    if (!replicated[at(index)]) {
      if (silent > options_.hung_after) replace(index, str_cat(name(index), " ", why()));
      continue;
    }
    const bool suspected = watch.suspected && *watch.suspected >= watch.heard &&
                           now - *watch.suspected > options_.silence_when_suspected;
    if (silent <= options_.silence && !suspected) continue;
    lose(index, why() + " and does not count any more", now);
    replace(index, str_cat(name(index), " ", why()));
    replicated = have_another_replica();  // it was the backup of others
  }
}

void Directory::find_backups(Time now) {
  if (!job_ || job_->replicas < 2) return;
  std::vector<int64_t> has;  // by server: slots; made when it is needed
  for (int slot = 0; at(slot) < view_.slots.size(); ++slot) {
    SlotEntry& entry = view_.slots[at(slot)];
    if (entry.primary < 0 || entry.backup >= 0) continue;
    if (now - without_backup_[at(slot)] < options_.patience) continue;
    if (has.empty()) has = slots_by_server();
    // The one that has the fewest slots.
    int best = -1;
    for (const ServerEntry& server : view_.servers) {
      if (!server.alive || server.index == entry.primary) continue;
      if (best < 0 || has[at(server.index)] < has[at(best)]) best = server.index;
    }
    if (best < 0) continue;
    entry.backup = best;
    ++has[at(best)];
    changed();
    log_.push_back(str_cat("slot ", slot, " gets its backup on ", name(best)));
  }
}

std::vector<int64_t> Directory::slots_by_server() const {
  std::vector<int64_t> count(view_.servers.size());
  for (const SlotEntry& slot : view_.slots) {
    if (slot.primary >= 0) ++count[at(slot.primary)];
    if (slot.backup >= 0) ++count[at(slot.backup)];
  }
  return count;
}

}  // namespace trireme

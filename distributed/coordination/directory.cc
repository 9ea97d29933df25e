#include "distributed/coordination/directory.h"

#include <algorithm>

#include "core/base/error.h"
#include "distributed/coordination/wording.h"

namespace trireme {
namespace {

// Ticks that are further apart mean that the directory itself stood still.
constexpr std::chrono::milliseconds kPause{500};
constexpr size_t kMostOutcomes = 1024;

// Of the time that a worker waits for a server: what remains is for the new one to begin.
constexpr int kHungPart = 3;

size_t at(int index) { return static_cast<size_t>(index); }

// "slots 0 and 2"
std::string slots_text(const std::vector<int>& slots) {
  std::vector<std::string> words;
  for (const int slot : slots) words.push_back(std::to_string(slot));
  return (slots.size() == 1 ? "slot " : "slots ") + join_words(words);
}

}  // namespace

Directory::Directory(DirectoryOptions options) : options_(std::move(options)) {}

void Directory::set_patience_of_workers(std::chrono::milliseconds timeout) {
  options_.hung_after = std::min(options_.hung_after, timeout / kHungPart);
}

// A server says TRIREME_INCARNATION + 1.
void Directory::replace(int server, const std::string& why) {
  Vigil& vigil = vigils_[at(server)];
  if (vigil.replaced || !options_.replace) return;
  vigil.replaced = true;
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
    const Vigil& vigil = vigils_[at(server.index)];
    return server.alive && !vigil.replaced && now - vigil.heard < options_.hung_after / 2;
  });
}

// One that hangs before it comes, at its first start or at a later one: nobody has heard of it, so
// only how long its process has been running tells.
void Directory::watch_absent(int server, Time now) {
  std::optional<Time>& since = vigils_[at(server)].absent_since;
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
  vigils_.resize(at(job.servers));
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
  Vigil& vigil = vigils_[at(server.index)];
  if (vigil.known && server.incarnation <= known.incarnation) {
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
  vigil = {.known = true, .heard = now, .suspected = {}};
  log_.push_back(name(known.index) + " is here");
  if (view_.number == 0) {
    begin();
    return;
  }
  changed();
  take_waiting_slots(known.index, snapshots);
  give_backups(known.index);
  // One that took over slots may still need a backup, which has been there all the time.
  for (const ServerEntry& other : view_.servers) {
    if (other.alive && other.index != known.index) give_backups(other.index);
  }
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
  view_.slot_of_shard.resize(kDirectoryShards);
  for (int shard = 0; shard < kDirectoryShards; ++shard) {
    view_.slot_of_shard[at(shard)] = shard * servers / kDirectoryShards;
  }
  view_.number = 1;
  log_.push_back(str_cat("all ", servers, " parameter servers are here"));
}

void Directory::beat(int index, uint64_t incarnation, Time now) {
  if (!is_alive(index, incarnation)) return;
  vigils_[at(index)].heard = now;
  vigils_[at(index)].suspected.reset();
}

void Directory::detach(int index, uint64_t incarnation, bool goodbye, Time now) {
  if (!is_alive(index, incarnation)) return;
  lose(index, goodbye ? "has left" : "was lost: its connection ended", now, goodbye);
}

void Directory::suspect(int index, Time now) {
  if (index < 0 || at(index) >= view_.servers.size() || !view_.servers[at(index)].alive) return;
  if (!vigils_[at(index)].suspected) vigils_[at(index)].suspected = now;
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

bool Directory::has_another_replica(int server) const {
  return std::ranges::all_of(view_.slots, [&](const SlotEntry& slot) {
    return slot.primary != server || (slot.backup >= 0 && slot.backup_in_sync);
  });
}

void Directory::lose(int index, const std::string& why, Time now, bool goodbye) {
  const std::string who = name(index);
  view_.servers[at(index)].alive = false;
  vigils_[at(index)].suspected.reset();
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
    line += str_cat("; ", slots_text(moved), moved.size() == 1 ? " goes" : " go",
                    " on with the backup");
  }
  // All servers leave at the end of a job.
  if (!waiting.empty() && !goodbye) {
    line += str_cat("; ", slots_text(waiting), waiting.size() == 1 ? " waits" : " wait",
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

// ---- moves

bool Directory::is_whole(int slot) const {
  const SlotEntry& entry = view_.slots[at(slot)];
  return entry.primary >= 0 && (job_->replicas < 2 || (entry.backup >= 0 && entry.backup_in_sync));
}

int64_t Directory::move_shard(int shard, int to) {
  if (view_.number == 0) {
    throw Error(ErrorCode::kUnavailable,
                "not all parameter servers of the job have come: nothing can move yet");
  }
  if (shard < 0 || shard >= kDirectoryShards) {
    throw invalid_argument("there is no virtual shard ", shard, ": expected 0 to ",
                           kDirectoryShards - 1);
  }
  if (to < 0 || at(to) >= view_.slots.size()) {
    throw invalid_argument("there is no slot ", to, ": expected 0 to ", view_.slots.size() - 1);
  }
  wanted_.push_back({.ticket = ++tickets_, .shard = shard, .to = to});
  start_move();
  return tickets_;
}

std::optional<std::string> Directory::outcome(int64_t ticket) const {
  const auto it = outcomes_.find(ticket);
  if (it == outcomes_.end()) return std::nullopt;
  return it->second;
}

void Directory::forget_move(int64_t ticket) {
  const auto it = std::ranges::find(wanted_, ticket, &WantedMove::ticket);
  if (it == wanted_.end()) return;
  if (it == wanted_.begin() && view_.move) {
    stop_move("it was given up");
  } else {
    wanted_.erase(it);
  }
  start_move();
}

void Directory::start_move() {
  while (!view_.move && !wanted_.empty()) {
    const WantedMove& next = wanted_.front();
    const int from = view_.slot_of_shard[at(next.shard)];
    if (from == next.to) {
      outcomes_[next.ticket] = "";
      wanted_.pop_front();
      continue;
    }
    if (!is_whole(from) || !is_whole(next.to)) return;
    view_.move = {.shard = next.shard, .from = from, .to = next.to, .id = ++moves_};
    changed();
  }
  while (outcomes_.size() > kMostOutcomes) outcomes_.erase(outcomes_.begin());
}

void Directory::stop_move(const std::string& error) {
  outcomes_[wanted_.front().ticket] = error;
  wanted_.pop_front();
  view_.move.reset();
  changed();
}

void Directory::shard_moved(int index, uint64_t incarnation, int64_t id, const std::string& error) {
  if (!is_alive(index, incarnation) || !view_.move || view_.move->id != id ||
      view_.slots[at(view_.move->from)].primary != index) {
    return;
  }
  const ShardMove move = *view_.move;
  if (!error.empty()) {
    log_.push_back(
        str_cat("virtual shard ", move.shard, " stays in slot ", move.from, ": ", error));
    stop_move(error);
  } else if (!is_whole(move.to)) {
    // It would be there on one server only.
    view_.move.reset();
    changed();
  } else {
    view_.slot_of_shard[at(move.shard)] = move.to;
    log_.push_back(str_cat("virtual shard ", move.shard, " has gone from slot ", move.from,
                           " to slot ", move.to));
    stop_move("");
  }
  start_move();
}

void Directory::tick(Time now) {
  if (view_.number > 0) start_move();
  if (last_tick_ && now - *last_tick_ > kPause) {
    // What the servers said meanwhile waits to be read: they were not silent.
    for (Vigil& vigil : vigils_) {
      vigil.heard = std::max(vigil.heard, now);
      vigil.absent_since.reset();
    }
  }
  last_tick_ = now;
  for (const ServerEntry& server : std::vector<ServerEntry>(view_.servers)) {
    const Vigil& vigil = vigils_[at(server.index)];
    if (!server.alive) {
      watch_absent(server.index, now);
      continue;
    }
    const auto silent = now - vigil.heard;
    const std::string why = str_cat("has said nothing for ", seconds_text(silent));
    if (!has_another_replica(server.index)) {
      if (silent > options_.hung_after)
        replace(server.index, str_cat(name(server.index), " ", why));
      continue;
    }
    const bool suspected = vigil.suspected && *vigil.suspected >= vigil.heard &&
                           now - *vigil.suspected > options_.silence_when_suspected;
    if (silent <= options_.silence && !suspected) continue;
    lose(server.index, why + " and does not count any more", now);
    replace(server.index, str_cat(name(server.index), " ", why));
  }
  if (!job_ || job_->replicas < 2) return;
  for (int slot = 0; at(slot) < view_.slots.size(); ++slot) {
    SlotEntry& entry = view_.slots[at(slot)];
    if (entry.primary < 0 || entry.backup >= 0) continue;
    if (now - without_backup_[at(slot)] < options_.patience) continue;
    // The one that has the fewest slots.
    int best = -1;
    int64_t fewest = 0;
    for (const ServerEntry& server : view_.servers) {
      if (!server.alive || server.index == entry.primary) continue;
      const int64_t has = std::ranges::count_if(view_.slots, [&](const SlotEntry& other) {
        return other.primary == server.index || other.backup == server.index;
      });
      if (best < 0 || has < fewest) best = server.index, fewest = has;
    }
    if (best < 0) continue;
    entry.backup = best;
    changed();
    log_.push_back(str_cat("slot ", slot, " gets its backup on ", name(best)));
  }
}

}  // namespace trireme

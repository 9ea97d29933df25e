#include "ps/server/entry_check.h"

#include <algorithm>
#include <array>
#include <utility>

#include "proto/ps.pb.h"
#include "proto/ps_state.pb.h"
#include "ps/server/row_batch.h"
#include "ps/table/shard_set.h"

namespace trireme::ps {
namespace {

// Of a log, and of bytes: no sum of two overflows.
constexpr int64_t kMostIndex = int64_t{1} << 61;

enum class Body {
  kNothing,
  kSetup,
  kRequest,
  kAssign,
  kStep,   // a Step of no worker
  kClock,  // a Step of a worker
  kRows,   // of a table and a shard
  kKeys,   // that wait, of a table and a shard
  kState,
  kArrival,
};

// All that is to be known of a kind: a new one gets a line here.
struct Rule {
  EntryKind kind;
  const char* name;
  bool moves;      // comes from another slot or a file, too
  bool has_shard;  // otherwise it is −1
  Body body;       // kRows and kKeys have a table; otherwise it is −1
};
constexpr std::array kRules = {
    Rule{EntryKind::kSetup, "setup", false, false, Body::kSetup},
    Rule{EntryKind::kPush, "push", false, false, Body::kRequest},
    Rule{EntryKind::kAssign, "assign", false, false, Body::kAssign},
    Rule{EntryKind::kEvict, "evict", false, false, Body::kStep},
    Rule{EntryKind::kClock, "clock", false, false, Body::kClock},
    Rule{EntryKind::kClear, "clear", false, false, Body::kStep},
    Rule{EntryKind::kRows, "rows", true, true, Body::kRows},
    Rule{EntryKind::kWaiting, "waiting keys", true, true, Body::kKeys},
    Rule{EntryKind::kFreeze, "freeze", false, true, Body::kNothing},
    Rule{EntryKind::kThaw, "thaw", false, true, Body::kNothing},
    Rule{EntryKind::kLeave, "leave", false, true, Body::kNothing},
    Rule{EntryKind::kStage, "stage", true, true, Body::kNothing},
    Rule{EntryKind::kArrive, "arrive", true, true, Body::kArrival},
    Rule{EntryKind::kState, "state", false, false, Body::kState},
    Rule{EntryKind::kHeld, "held push", false, false, Body::kRequest},
    Rule{EntryKind::kShardRows, "shard's rows", false, true, Body::kRows},
    Rule{EntryKind::kShardWaiting, "shard's waiting keys", false, true, Body::kKeys},
    Rule{EntryKind::kShardLoaded, "shard loaded", false, true, Body::kNothing},
};

// Says what is wrong with a thing from a source.
class Checker {
 public:
  Checker(std::string what, EntrySource source) : what_(std::move(what)), source_(source) {}

  template <typename... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    const auto code =
        source_ == EntrySource::kFile ? ErrorCode::kDataLoss : ErrorCode::kInvalidArgument;
    throw Error(code, str_cat(what_, ": ", parts...));
  }
  template <typename Number>
  void range(const char* name, Number value, Number least, Number most) const {
    if (value >= least && value <= most) return;
    fail("expected ", name, " from ", least, " to ", most, ", found ", value);
  }
  // Whatever is thrown inside is about this thing.
  template <typename Work>
  auto about(Work work) const {
    try {
      return work();
    } catch (const Error& error) {
      if (std::string_view(error.what()).starts_with(what_)) throw;
      fail(error.what());
    }
  }
  template <typename Proto>
  void parse(std::string_view bytes, const char* name, Proto& message) const {
    if (message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
    fail("expected a ", name, ", found ", bytes.size(), " bytes that are no such message");
  }

 private:
  const std::string what_;
  const EntrySource source_;
};

const JobSetup& require_setup(const Checker& check, const JobSetup* setup) {
  if (setup == nullptr) check.fail("expected the job's setup before it, found none in the slot");
  return *setup;
}

void check_key(const Checker& check, int64_t key, int table, int shard, const JobSetup& setup) {
  const TableSpec& spec = setup.tables[static_cast<size_t>(table)];
  if (key < 0 || (spec.is_dense() && key >= spec.rows)) {
    check.fail("table \"", spec.name, "\": expected a key from 0 ",
               spec.is_dense() ? str_cat("to ", spec.rows - 1) : "on", ", found ", key);
  }
  if (const int its = setup.shards.shard_of(table, key); shard >= 0 && its != shard) {
    check.fail("table \"", spec.name, "\": expected keys of virtual shard ", shard, ", found key ",
               key, ", which is of shard ", its);
  }
}

void check_rows(const Checker& check, const Message& body, int table, int shard,
                const JobSetup& setup) {
  for_each_row(body, setup.tables[static_cast<size_t>(table)], [&](const RowView& row) {
    check_key(check, row.key, table, shard, setup);
    check.range("a row's version", row.version, int64_t{0}, kMostSteps);
    check.range("a row's frequency", row.frequency, int64_t{0}, kMostIndex);
  });
}

void check_waiting(const Checker& check, const Message& body, int table, int shard,
                   const JobSetup& setup) {
  for (const WaitingKey& waiting : waiting_keys_of(body)) {
    check_key(check, waiting.key, table, shard, setup);
    check.range("a waiting key's version", waiting.version, int64_t{0}, kMostSteps);
    check.range("a waiting key's sightings", waiting.sightings, int64_t{0}, kMostIndex);
  }
}

void check_assign(const Checker& check, const Message& body, const JobSetup& setup) {
  proto::Assign assign;
  check.parse(body_text(body), "assignment", assign);
  check.range("a table", assign.table(), 0, static_cast<int>(setup.tables.size()) - 1);
  const TableSpec& spec = setup.tables[static_cast<size_t>(assign.table())];
  const size_t expected =
      static_cast<size_t>(assign.keys_size()) * static_cast<size_t>(spec.dim) * sizeof(float);
  if (assign.rows().size() != expected) {
    check.fail("table \"", spec.name, "\": expected ", expected, " bytes for ", assign.keys_size(),
               " rows of dimension ", spec.dim, ", found ", assign.rows().size());
  }
  for (const int64_t key : assign.keys()) check_key(check, key, assign.table(), -1, setup);
}

void check_step(const Checker& check, const Message& body, int workers, bool of_worker) {
  const Step step = step_of(body);
  check.range("a step", step.step, int64_t{0}, kMostSteps);
  check.range("a flag", step.flag, int64_t{0}, int64_t{1});
  if (of_worker) {
    check.range("a worker", step.worker, int64_t{0}, int64_t{workers} - 1);
  } else if (step.worker != -1) {
    check.fail("expected no worker (-1), found ", step.worker);
  }
}

Request check_push(const Checker& check, const Message& body, const JobSetup& setup) {
  Request request = parse_request(body, setup.tables, setup.shards);
  if (request.header.kind != RequestKind::kPush) {
    check.fail("expected a push in it, found a request of kind ",
               static_cast<uint32_t>(request.header.kind));
  }
  check.range("a worker", request.header.worker, 0, setup.workers - 1);
  return request;
}

// Of a state: requests that stand for themselves.
template <typename Requests>
void check_held(const Checker& check, const Requests& requests, const JobSetup* setup) {
  for (const std::string& bytes : requests) {
    const Message message = bytes_of(std::string_view(bytes));
    for (const Section& section :
         check_push(check, message, require_setup(check, setup)).sections) {
      if (section.header.has_keys == 0 && section.header.count > 0) {
        check.fail("expected the keys of a held push with it, found only their list's id");
      }
    }
  }
}

void check_worker(const Checker& check, const proto::WorkerState& worker) {
  check.range("a sequence", worker.floor(), uint64_t{0}, kMostSequences);
  for (const uint64_t s : worker.above()) check.range("a sequence", s, uint64_t{1}, kMostSequences);
  for (const uint64_t s : worker.dropped()) {
    check.range("a sequence", s, uint64_t{1}, kMostSequences);
  }
  if (const int sets = worker.above_shards_size(); sets != 0 && sets != worker.above_size()) {
    check.fail("expected the shards of ", worker.above_size(), " early pushes, found ", sets);
  }
  check.range("a worker's clock", worker.clock(), int64_t{0}, kMostSteps);
  check.range("parts of a step", worker.parts(), 0, kMostParts);
  if (!worker.has_clock() && worker.steps_size() > 0) {
    check.fail("expected the clock of a worker with open steps, found none");
  }
  for (const auto& step : worker.steps()) {
    check.range("an open step", step.step(), int64_t{1}, kMostSteps);
    check.range("parts of a step", step.parts(), 1, kMostParts);
    for (const int part : step.here()) check.range("a part", part, 0, step.parts() - 1);
  }
}

// Ledger and gate, which all states have.
void check_progress(const Checker& check, const proto::SlotState& state, const JobSetup* setup) {
  const int workers = setup == nullptr ? 0 : setup->workers;
  if (state.workers_size() != workers) {
    check.fail("expected what is known of the job's ", workers, " workers, found ",
               state.workers_size());
  }
  for (const proto::WorkerState& worker : state.workers()) check_worker(check, worker);
  check.range("a first step", state.first(), int64_t{0}, kMostSteps);
  check.range("a step that is done", state.done(), int64_t{0}, kMostSteps);
  check.range("a newest step", state.newest_step(), int64_t{0}, kMostSteps);
  if (!state.has_done() && state.gate_size() > 0) {
    check.fail("expected the step before those that wait, found none");
  }
  for (const proto::GateStep& step : state.gate()) {
    check.range("a waiting step", step.step(), state.done() + 1, kMostSteps + 1);
    check.range("parts of a step", step.parts(), 1, kMostParts);
    // A few bytes of a message must not become much memory.
    if (step.applied_shards_size() != step.parts()) {
      check.fail("expected the shards of ", step.parts(), " parts of a waiting step, found ",
                 step.applied_shards_size());
    }
    for (const int part : step.applied()) check.range("a part", part, 0, step.parts() - 1);
  }
}

const Rule& rule_of(const EntryHeader& header, EntrySource source) {
  const auto kind = static_cast<uint32_t>(header.kind);
  const auto* const rule = std::ranges::find(kRules, header.kind, &Rule::kind);
  if (rule == kRules.end()) {
    Checker("an entry of a log", source)
        .fail("kind ", kind, " is not known; use the same version of Trireme everywhere");
  }
  if (source != EntrySource::kPrimary && !rule->moves) {
    Checker("a piece of a shard", source)
        .fail("expected rows, found an entry of kind ", rule->name);
  }
  return *rule;
}

}  // namespace

Request check_entry(const EntryHeader& header, const Message& body, const JobSetup* setup,
                    EntrySource source, const std::shared_ptr<const OpTable>& ops) {
  const Rule& rule = rule_of(header, source);
  const Checker check(str_cat("entry \"", rule.name, "\" at position ", header.position,
                              " of epoch ", header.epoch, ", attempt ", header.attempt),
                      source);
  check.range("an epoch", header.epoch, int64_t{0}, kMostEpochs);
  check.range("an attempt", header.attempt, int64_t{0}, kMostIndex);
  check.range("a position", header.position, int64_t{0}, kMostIndex);
  // kHeld: a bit for each shard.
  if (header.kind != EntryKind::kHeld)
    check.range("an index", header.index, int64_t{0}, kMostIndex);
  // Without a setup nothing is in them.
  const int most = setup == nullptr ? kMostVirtualShards : setup->shards.shards();
  check.range("a virtual shard", header.shard, rule.has_shard ? 0 : -1,
              rule.has_shard ? most - 1 : -1);
  const bool has_table = rule.body == Body::kRows || rule.body == Body::kKeys;
  const auto tables =
      static_cast<int64_t>(has_table ? require_setup(check, setup).tables.size() : 0);
  check.range("a table", header.table, int64_t{has_table ? 0 : -1}, tables - 1);

  return check.about([&]() -> Request {
    const auto table = static_cast<int>(header.table);
    switch (rule.body) {
      case Body::kNothing:
        if (!body.bytes.empty())
          check.fail("expected no body, found ", body.bytes.size(), " bytes");
        break;
      case Body::kSetup:
        if (setup != nullptr) check.fail("expected one setup, found another one");
        checked_setup(body_text(body), ops);
        break;
      case Body::kRequest:
        return check_push(check, body, require_setup(check, setup));
      case Body::kAssign:
        check_assign(check, body, require_setup(check, setup));
        break;
      case Body::kStep:
      case Body::kClock:
        check_step(check, body, setup == nullptr ? 0 : setup->workers, rule.body == Body::kClock);
        break;
      case Body::kRows:
        check_rows(check, body, table, header.shard, *setup);
        break;
      case Body::kKeys:
        check_waiting(check, body, table, header.shard, *setup);
        break;
      case Body::kState:
        checked_state(body_text(body), source, ops);
        break;
      case Body::kArrival:
        checked_arrival(body_text(body), header.shard, setup, source);
        break;
    }
    return {};
  });
}

Request check_entry(const ReceivedEntry& entry, const JobSetup* setup, EntrySource source,
                    const std::shared_ptr<const OpTable>& ops) {
  const bool is_push =
      entry.header.kind == EntryKind::kPush || entry.header.kind == EntryKind::kHeld;
  if (!is_push && !entry.keys.empty()) {
    Checker("an entry of a log", source)
        .fail("expected no keys behind one that is no push, found ", entry.keys.size());
  }
  return check_entry(entry.header, entry.body, setup, source, ops);
}

std::shared_ptr<const JobSetup> checked_setup(std::string_view serialized,
                                              const std::shared_ptr<const OpTable>& ops) {
  auto setup = std::make_shared<const JobSetup>(serialized, ops);
  // What a table cannot be is found here, not on a shard's thread.
  for (const TableSpec& spec : setup->tables) TableShard(spec, 0, setup->shards.shards());
  return setup;
}

CheckedState checked_state(std::string_view serialized, EntrySource source,
                           const std::shared_ptr<const OpTable>& ops) {
  const Checker check("a slot's state", source);
  const auto state = std::make_shared<proto::SlotState>();
  check.parse(serialized, "state", *state);
  CheckedState checked{state, nullptr};
  if (state->has_setup()) {
    checked.setup =
        check.about([&] { return checked_setup(state->setup().SerializeAsString(), ops); });
  }
  check.range("an index", state->index(), int64_t{0}, kMostIndex);
  check_progress(check, *state, checked.setup.get());
  check.about([&] { check_held(check, state->held(), checked.setup.get()); });
  return checked;
}

std::shared_ptr<const proto::ShardArrival> checked_arrival(std::string_view serialized, int shard,
                                                           const JobSetup* setup,
                                                           EntrySource source) {
  const Checker check("the arrival of a shard", source);
  const auto arrival = std::make_shared<proto::ShardArrival>();
  check.parse(serialized, "shard's arrival", *arrival);
  if (serialized.empty()) return arrival;
  check.range("a virtual shard", arrival->shard(), shard, shard);
  if (arrival->has_state()) check_progress(check, arrival->state(), setup);
  check.about([&] { check_held(check, arrival->held(), setup); });
  return arrival;
}

}  // namespace trireme::ps

// Whoever knows the job's secret may be wrong or malicious: a message in which one thing is out of
// range is refused as a whole, and neither the server, nor the rows of others, nor a backup that
// takes over suffer from it. Real servers, real connections, the real log of a slot.
#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <random>
#include <set>

#include "distributed/coordination/coordinator.h"
#include "distributed/coordination/directory_client.h"
#include "proto/ps_state.pb.h"
#include "ps/client/ps_client.h"
#include "ps/server/ps_server.h"
#include "ps/server/shard_mover.h"
#include "tests/ps/server/mutations.h"
#include "tests/ps/server/slot_rig.h"
#include "tests/support/process.h"
#include "tests/support/server_views.h"

namespace trireme::ps::testing {
namespace {

using ::testing::HasSubstr;
using trireme::testing::TemporaryDirectory;
using Bytes = std::vector<std::byte>;

constexpr char kSecret[] = "s3cret";
constexpr int kWorkers = 4, kRightful = 2, kOther = 1;
constexpr int64_t kDim = 4;

std::vector<TableSpec> tables() {
  TableSpec waits{.name = "waits", .dim = 2};
  waits.admission.after = 1000;
  return {{.name = "sparse", .dim = kDim},
          {.name = "dense", .dim = 8, .rows = 16, .elements = 128},
          waits};
}

// SYNC for the dense table, so that gradients are held back and states have all their parts.
proto::Setup job_setup() {
  proto::Setup setup = setup_of(tables(), kWorkers, proto::Setup::ASYNC);
  setup.set_dense(proto::Setup::SYNC);
  return setup;
}

Bytes bytes_in(const Message& message) { return {message.bytes.begin(), message.bytes.end()}; }

template <typename Part>
Part part_at(const Bytes& bytes, size_t at) {
  Part part;
  std::memcpy(&part, bytes.data() + at, sizeof(part));
  return part;
}
// A mutation of `base` in the attempt that is under way, unless that is what was mutated.
Bytes in_attempt(Bytes bytes, const Bytes& base, int64_t attempt, int64_t position) {
  const size_t at = sizeof(RequestHeader) + offsetof(EntryHeader, attempt);
  constexpr size_t kBoth = 2 * sizeof(int64_t);
  if (bytes.size() < at + kBoth || std::memcmp(&bytes[at], &base[at], kBoth) != 0) return bytes;
  std::memcpy(&bytes[at], &attempt, sizeof(attempt));
  std::memcpy(&bytes[at + sizeof(attempt)], &position, sizeof(position));
  return bytes;
}

EntryHeader entry_in(const Bytes& bytes) {
  return part_at<EntryHeader>(bytes, sizeof(RequestHeader));
}

int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

Message push_of(int worker, uint64_t sequence, int64_t step, const std::vector<PushSection>& rows) {
  return push_message({.worker = worker, .incarnation = 9, .sequence = sequence, .step = step},
                      rows);
}
std::vector<PushSection> some_rows() {
  static const JobSetup setup(job_setup().SerializeAsString());
  const auto keys = in_wire_order(setup.shards, 0, {2001, 2002, 2003, 2004, 2005});
  const auto waits = in_wire_order(setup.shards, 2, {2001, 2002});
  return {
      {.table = 0, .dim = kDim, .keys = keys, .rows = std::vector<float>(keys.size() * kDim, 1)},
      {.table = 1, .dim = 8, .keys = {0, 1, 2}, .rows = std::vector<float>(24, 1)},
      {.table = 2, .dim = 2, .keys = waits, .rows = std::vector<float>(4, 1)}};
}

// Entries as a primary sends them, of all kinds.
class Recorder final : public LogSink {
 public:
  void send(LogEntry entry) override {
    MutexLock lock(mutex_);
    entries_.push_back(std::move(entry));
  }
  std::vector<LogEntry> take() {
    MutexLock lock(mutex_);
    return std::exchange(entries_, {});
  }

 private:
  Mutex mutex_;
  std::vector<LogEntry> entries_ GUARDED_BY(mutex_);
};

struct Conversation {
  LogEntry state;                 // first of all
  std::vector<LogEntry> entries;  // each may come right behind it
};

Conversation record() {
  SlotRig primary;
  primary.set_up(job_setup());
  const auto push = [&](int worker, uint64_t sequence, int64_t step) {
    EXPECT_EQ(primary.push(push_of(worker, sequence, step, some_rows())).code(), AnswerCode::kOk);
  };
  for (int worker = 0; worker < kWorkers; ++worker) push(worker, 1, 1);
  push(kOther, 2, 2);  // held back
  push(kOther, 4, 4);  // and one is missing before it
  Recorder recorder;
  primary->attach(recorder);
  Conversation made;
  for (LogEntry& entry : recorder.take()) {
    (entry.header.kind == EntryKind::kState ? made.state : made.entries.emplace_back()) = entry;
  }
  const auto waits = [&](auto call) {
    std::promise<bool> done;
    call([&](bool ok) { done.set_value(ok); });
    EXPECT_TRUE(done.get_future().get());
    for (LogEntry& entry : recorder.take()) made.entries.push_back(std::move(entry));
  };
  push(3, 2, 2);
  proto::Assign assign;
  assign.set_table(1);
  for (const int64_t key : {3, 4}) assign.add_keys(key);
  assign.set_rows(std::string(2 * 8 * sizeof(float), '\0'));
  assign.set_replace(true);
  waits([&](auto done) { primary->assign(assign.SerializeAsString(), done); });
  waits([&](auto done) { primary->evict(done); });
  primary->hear({.worker = kOther, .acknowledged_step = 7});
  const int shard = JobSetup(job_setup().SerializeAsString()).shards.shard_of(0, 2001);
  {
    std::promise<std::vector<LogEntry>> rows;
    primary->export_shard(shard, [&](auto entries) { rows.set_value(std::move(entries)); });
    for (LogEntry& entry : rows.get_future().get()) {
      // The same in the log, as a checkpoint that is restored has it.
      LogEntry loaded = entry;
      if (entry.header.kind == EntryKind::kShardRows) loaded.header.kind = EntryKind::kRows;
      if (entry.header.kind == EntryKind::kShardWaiting) loaded.header.kind = EntryKind::kWaiting;
      if (loaded.header.kind != entry.header.kind) made.entries.push_back(std::move(loaded));
      made.entries.push_back(std::move(entry));
    }
  }
  waits([&](auto done) { primary->freeze(shard, done); });
  std::promise<std::vector<LogEntry>> moved;
  primary->export_move(shard, [&](auto entries) { moved.set_value(std::move(entries)); });
  for (LogEntry& entry : moved.get_future().get()) made.entries.push_back(std::move(entry));
  primary->follow_map(all_shards(kVirtualShards), {}, -1);                // it stays: thawed
  primary->follow_map(all_shards(kVirtualShards) - only(shard), {}, -1);  // it has left
  waits([&](auto done) { primary->clear(5, false, done); });
  made.entries.push_back({.header = {.kind = EntryKind::kSetup},
                          .body = bytes_of(std::string_view(job_setup().SerializeAsString()))});
  primary->detach();
  return made;
}

class MutationTest : public ::testing::Test {
 protected:
  MutationTest() : coordinator_({.secret = kSecret, .job_id = "job", .log = [](auto&) {}}) {
    for (int i = 0; i < 2; ++i) {
      PsServerOptions options;
      options.coordinator = coordinator_.address();
      options.secret = kSecret;
      options.job_id = "job";
      options.index = i;
      options.servers = options.replicas = 2;
      options.incarnation = static_cast<uint64_t>(i) + 1;
      options.host = "here";
      options.threads = 2;
      options.memory_limit = int64_t{1} << 30;
      servers_.push_back(std::make_unique<PsServer>(options));
    }
    PsClientOptions options;
    options.coordinator = coordinator_.address();
    options.secret = kSecret;
    options.job_id = "job";
    options.worker = kRightful;
    options.workers = kWorkers;
    options.incarnation = 100;
    options.servers = options.replicas = 2;
    options.tables = tables();
    options.dense = Consistency::kSync;
    options.sparse = Consistency::kAsync;
    options.timeout = 30s;
    client_ = std::make_unique<PsClient>(options);
    push_rightful();
    view_ = wait_for_backups();
  }

  // Until a server that dies costs nothing.
  ServerView wait_for_backups() {
    DirectoryClient directory({.address = coordinator_.address(),
                               .secret = kSecret,
                               .job_id = "job",
                               .index = 99,
                               .servers = 2,
                               .replicas = 2});
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    for (;;) {
      const ServerView view = directory.view();
      if (trireme::testing::has_all_backups(view) || std::chrono::steady_clock::now() > deadline)
        return view;
      std::this_thread::sleep_for(10ms);
    }
  }

  std::shared_ptr<RpcConnection> connect(int server) const {
    return connect_rpc({.address = servers_[static_cast<size_t>(server)]->address(),
                        .secret = kSecret,
                        .job_id = "job",
                        .name = "the server"});
  }
  // kError also for a connection that the server has ended. Nothing: no answer yet, as of a pull
  // that waits for other workers.
  static std::optional<AnswerCode> say(RpcConnection& connection, const Bytes& bytes,
                                       std::chrono::milliseconds patience = 20s) {
    const auto promise = std::make_shared<std::promise<RpcResult>>();
    auto answered = promise->get_future();
    connection.call({{own(bytes)}}, 60s,
                    [promise](RpcResult result) { promise->set_value(std::move(result)); });
    if (answered.wait_for(patience) != std::future_status::ready) return std::nullopt;
    const RpcResult result = answered.get();
    if (result.error != nullptr || result.answer.bytes.size() < sizeof(AnswerHeader)) {
      return AnswerCode::kError;
    }
    const auto code = part_at<AnswerHeader>(bytes_in(result.answer), 0).code;
    if (code == AnswerCode::kError) {
      try {
        parse_answer(result.answer, RowType::kFloat32, {});
      } catch (const Error& error) {
        EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
      }
    }
    return code;
  }

  void push_rightful() {
    const std::vector<int64_t> keys = {300, 301, 302, 399, 12345};
    const std::vector<float> rows(keys.size() * kDim, 0.5F);
    const TableGradients pushed{0, client_->prepare(0, keys), rows.data()};
    client_->push(++step_, 0, 1, 1, {&pushed, 1});
  }
  // Sums of halves are exact.
  void expect_rightful_rows() {
    const std::vector<int64_t> keys = {300, 301, 302, 399, 12345, 400};
    std::vector<float> rows(keys.size() * kDim, -1);
    const TableKeys pulled{0, client_->prepare(0, keys)};
    float* const target = rows.data();
    client_->pull(0, {&pulled, 1}, {&target, 1});
    for (size_t i = 0; i < rows.size(); ++i) {
      ASSERT_EQ(rows[i], i / kDim == 5 ? 0.0F : 0.5F * static_cast<float>(step_)) << "row " << i;
    }
  }
  // Also when each server is the only one that is left.
  void expect_all_is_well() {
    push_rightful();
    expect_rightful_rows();
    wait_for_backups();
    servers_[0].reset();
    push_rightful();
    expect_rightful_rows();
  }

  Coordinator coordinator_;
  TemporaryDirectory folder_;
  std::vector<std::unique_ptr<PsServer>> servers_;
  std::unique_ptr<PsClient> client_;
  ServerView view_;
  int64_t step_ = 0;
};

// Sends entries to the backup of slot 0 as if it were its primary.
class FalsePrimary {
 public:
  FalsePrimary(std::shared_ptr<RpcConnection> connection, int64_t epoch, LogEntry state)
      : connection_(std::move(connection)), epoch_(epoch), state_(std::move(state)) {}

  // As the next entry of a log of which the backup has the state.
  Bytes next(LogEntry entry) const {
    const auto kind = entry.header.kind;
    entry.header.epoch = epoch_;
    entry.header.attempt = attempt_ + (kind == EntryKind::kState ? 1 : 0);
    entry.header.position = kind == EntryKind::kState ? 1 : 2;
    if (kind < EntryKind::kState) entry.header.index = state_.header.index + 1;
    if (kind == EntryKind::kShardLoaded) entry.header.index = state_.header.index;
    return bytes_in(joined(entry_request(entry, 0, 1)));
  }
  // From anew.
  Bytes state() {
    const Bytes bytes = next(state_);
    attempt_ = entry_in(bytes).attempt;
    return bytes;
  }
  RpcConnection& connection() { return *connection_; }
  void is_taken() { ++attempt_; }

 private:
  const std::shared_ptr<RpcConnection> connection_;
  const int64_t epoch_;
  const LogEntry state_;
  int64_t attempt_ = 0;

 public:
  void begin_behind(int64_t attempt) { attempt_ = attempt; }
};

// All that can be wrong with an entry, in its headers and its body.
void mutate(const Bytes& entry, const std::function<void(const Bytes&)>& visit) {
  const size_t headers = sizeof(RequestHeader) + sizeof(EntryHeader);
  mutate_numbers(entry, 0, headers, 4, visit);
  mutate_numbers(entry, sizeof(RequestHeader), headers, 8, visit);
  mutate_length(entry, visit);
  const EntryHeader header = entry_in(entry);
  const auto with_body = [&](const std::string& body) {
    const LogEntry changed{.header = header, .body = bytes_of(std::string_view(body))};
    visit(bytes_in(joined(entry_request(changed, 0, 1))));
  };
  const auto body = std::string_view(reinterpret_cast<const char*>(entry.data() + headers),
                                     static_cast<size_t>(header.body_bytes));
  if (header.kind == EntryKind::kState) {
    proto::SlotState state;
    ASSERT_TRUE(state.ParseFromArray(body.data(), static_cast<int>(body.size())));
    mutate_fields<proto::SlotState>(state, state, 3,
                                    [&](const auto& s) { with_body(s.SerializeAsString()); });
  } else if (header.kind == EntryKind::kArrive) {
    proto::ShardArrival arrival;
    ASSERT_TRUE(arrival.ParseFromArray(body.data(), static_cast<int>(body.size())));
    mutate_fields<proto::ShardArrival>(arrival, arrival, 3,
                                       [&](const auto& a) { with_body(a.SerializeAsString()); });
  } else if (header.kind == EntryKind::kAssign) {
    proto::Assign assign;
    ASSERT_TRUE(assign.ParseFromArray(body.data(), static_cast<int>(body.size())));
    mutate_fields<proto::Assign>(assign, assign, 1,
                                 [&](const auto& a) { with_body(a.SerializeAsString()); });
  } else if (header.kind == EntryKind::kSetup) {
    proto::Setup setup;
    ASSERT_TRUE(setup.ParseFromArray(body.data(), static_cast<int>(body.size())));
    mutate_fields<proto::Setup>(setup, setup, 2,
                                [&](const auto& s) { with_body(s.SerializeAsString()); });
  } else {
    mutate_numbers(entry, headers, headers + 512, 8, visit);
  }
}

// An entry is taken whole or not at all: after each that was refused, the right one still fits.
TEST_F(MutationTest, ABackupTakesNoEntryThatCannotBe) {
  const Conversation conversation = record();
  const int backup = view_.slots[0].backup;
  FalsePrimary primary(connect(backup), view_.slots[0].epoch, conversation.state);
  primary.begin_behind((view_.slots[0].epoch << 20) + 1000);
  RpcConnection& connection = primary.connection();

  std::string kinds;
  std::set<EntryKind> seen;
  int64_t sent = 0, refused = 0;
  [[maybe_unused]] const int64_t before = resident_bytes();
  std::vector<LogEntry> entries = conversation.entries;
  entries.push_back(conversation.state);
  for (const LogEntry& entry : entries) {
    if (!seen.insert(entry.header.kind).second) continue;
    kinds += str_cat(static_cast<int>(entry.header.kind), " ");
    ASSERT_EQ(say(connection, primary.state()), AnswerCode::kOk);
    const Bytes base = primary.next(entry);
    mutate(base, [&](const Bytes& mutated) {
      const EntryHeader right = entry_in(primary.next(entry));
      const Bytes bytes = in_attempt(mutated, base, right.attempt, right.position);
      ++sent;
      if (say(connection, bytes) != AnswerCode::kOk) {
        ++refused;
      } else {
        if (entry.header.kind == EntryKind::kState) primary.is_taken();
        ASSERT_EQ(say(connection, primary.state()), AnswerCode::kOk);
      }
    });
    if (entry.header.kind == EntryKind::kSetup) continue;  // the state brought one
    EXPECT_EQ(say(connection, primary.next(entry)), AnswerCode::kOk)
        << "kind " << static_cast<int>(entry.header.kind);
    primary.is_taken();
  }
  EXPECT_EQ(seen.size(), 18U) << "not all kinds: " << kinds;
  EXPECT_GT(refused, sent / 2);
#if !defined(__SANITIZE_ADDRESS__)  // which keeps what was freed for a while
  EXPECT_LT(resident_bytes() - before, int64_t{64} << 20);
#endif
  std::cout << sent << " entries, " << refused << " refused\n";
  expect_all_is_well();
}

// Several things wrong at a time, in any message to any server, as they come.
TEST_F(MutationTest, ServersOutliveRandomMessages) {
  const Conversation conversation = record();
  FalsePrimary primary(connect(view_.slots[0].backup), view_.slots[0].epoch, conversation.state);
  primary.begin_behind((view_.slots[0].epoch << 20) + 1000);
  std::vector<Bytes> messages = {bytes_in(push_of(kOther, 1, 1, some_rows()))};
  for (const LogEntry& entry : conversation.entries) messages.push_back(primary.next(entry));
  for (const LogEntry& entry : conversation.entries) {
    messages.push_back(bytes_in(joined(entry_request(entry, 0, 1, RequestKind::kMove))));
  }
  std::mt19937_64 random(7);
  std::vector<std::shared_ptr<RpcConnection>> connections = {connect(0), connect(1)};
  for (int i = 0; i < 6000; ++i) {
    if (i % 20 == 0) say(primary.connection(), primary.state());
    Bytes bytes = messages[random() % messages.size()];
    for (uint64_t changes = 1 + random() % 4; changes > 0; --changes) {
      const auto& values = boundary_values();
      const int64_t value = random() % 4 == 0 ? static_cast<int64_t>(random() >> random() % 64)
                                              : values[random() % values.size()];
      const size_t width = random() % 2 == 0 ? 4 : 8;
      // Who sends it stays: whoever knows the secret can speak for another worker.
      const size_t at = random() % (bytes.size() / 4) * 4;
      if (at + width > bytes.size() || (at < 32 && at + width > 24)) continue;
      std::memcpy(bytes.data() + at, &value, width);
    }
    if (random() % 16 == 0) bytes.resize(random() % bytes.size());
    say(*connections[random() % 2], bytes);
  }
  expect_all_is_well();
}

// Requests of a worker: rows, gradients, and all that is asked for.
TEST_F(MutationTest, APrimaryTakesNoRequestThatCannotBe) {
  std::vector<proto::ControlRequest> controls(8);
  *controls[0].mutable_setup() = job_setup();
  controls[1].mutable_open_snapshot()->set_step(1);
  controls[2].mutable_close_snapshot()->set_snapshot(3);
  controls[3].mutable_save_snapshot()->set_snapshot(3);
  controls[3].mutable_save_snapshot()->set_prefix(folder_ / "ckpt");
  controls[3].mutable_save_snapshot()->set_step(3);
  controls[4].mutable_restore_snapshot()->set_prefix(folder_ / "none");
  controls[5].mutable_last_sequence()->set_worker(1);
  controls[6].mutable_assign()->set_table(1);
  controls[6].mutable_assign()->add_keys(3);
  controls[6].mutable_assign()->set_rows(std::string(32, '\1'));
  controls[7].mutable_load();

  for (int slot = 0; slot < 2; ++slot) {
    const auto connection = connect(view_.slots[static_cast<size_t>(slot)].primary);
    const RequestHeader header{.slot = slot, .view = 1, .worker = kOther, .incarnation = 9};
    const auto visit = [&](const Bytes& bytes) {
      // Speaking for the worker whose rows are compared, is what the secret allows.
      if (bytes.size() >= sizeof(header) && part_at<RequestHeader>(bytes, 0).worker == kRightful) {
        return;
      }
      say(*connection, bytes, 10ms);
    };
    auto sections = some_rows();
    RequestHeader push = header;
    push.sequence = 1;
    push.step = 1;
    std::vector<Bytes> messages = {
        bytes_in(push_message(push, sections)),
        bytes_in(pull_message(header, 0, kDim, sections[0].keys)),
        bytes_in(pull_message(header, 0, kDim, sections[0].keys, false)),
    };
    for (const Bytes& message : messages) {
      mutate_numbers(message, 0, sizeof(header) + sizeof(SectionHeader), 4, visit);
      mutate_numbers(message, 0, message.size(), 8, visit);
      mutate_length(message, visit);
    }
    for (proto::ControlRequest& control : controls) {
      RequestHeader head = header;
      head.kind = RequestKind::kControl;
      const auto with = [&](const proto::ControlRequest& request) {
        // An empty prefix clears the tables: it is how that is asked for.
        if (request.has_restore_snapshot() && request.restore_snapshot().prefix().empty()) return;
        Bytes bytes(sizeof(head) + request.ByteSizeLong());
        std::memcpy(bytes.data(), &head, sizeof(head));
        request.SerializeToArray(bytes.data() + sizeof(head),
                                 static_cast<int>(bytes.size() - sizeof(head)));
        visit(bytes);
        if (&request == &control) return;
      };
      with(control);
      mutate_fields<proto::ControlRequest>(control, control, 3, with);
    }
  }
  expect_all_is_well();
}

// The pieces of a shard that moves: what arrives is in the slot as a whole, or not at all.
TEST(MoveMutationTest, ASlotTakesNoPieceThatCannotBe) {
  const Conversation conversation = record();
  const int shard = JobSetup(job_setup().SerializeAsString()).shards.shard_of(0, 2001);
  SlotRig to(int64_t{1} << 30, 2, all_shards(kVirtualShards) - only(shard));
  to.set_up(job_setup());
  int64_t attempt = 0, position = 0, refused = 0;
  to->follow_map(all_shards(kVirtualShards) - only(shard), {.shard = shard, .move = 1}, -1);
  const auto give = [&](const Bytes& bytes) {
    try {
      const Message message = own(bytes);
      const Request request = parse_request(message, {}, ShardMap({}));
      return to->receive_move(parse_entry(message, request.body), [](bool) {});
    } catch (const Error& error) {
      EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
      ++refused;
      return Slot::Receipt::kOutdated;
    }
  };
  std::vector<LogEntry> pieces;
  for (const LogEntry& entry : conversation.entries) {
    const auto kind = entry.header.kind;
    const bool moves = kind == EntryKind::kStage || kind == EntryKind::kRows ||
                       kind == EntryKind::kWaiting || kind == EntryKind::kArrive;
    if (moves && entry.header.shard == shard) pieces.push_back(entry);
  }
  std::ranges::stable_sort(pieces, {}, [](const LogEntry& entry) {
    return entry.header.kind == EntryKind::kStage    ? 0
           : entry.header.kind == EntryKind::kArrive ? 2
                                                     : 1;
  });
  ASSERT_GE(pieces.size(), 3U);
  const auto next = [&](LogEntry piece) {
    piece.header.epoch = 1;
    piece.header.attempt = move_attempt(1, attempt);
    piece.header.position = position + 1;
    return bytes_in(joined(entry_request(piece, 0, 1, RequestKind::kMove)));
  };
  const auto begin_before = [&](size_t piece) {
    ++attempt;
    position = 0;
    for (size_t i = 0; i < piece; ++i) {
      ASSERT_EQ(give(next(pieces[i])), Slot::Receipt::kTaken);
      ++position;
    }
  };
  for (size_t piece = 0; piece < pieces.size(); ++piece) {
    begin_before(piece);
    const Bytes base = next(pieces[piece]);
    mutate(base, [&](const Bytes& mutated) {
      const Bytes bytes = in_attempt(mutated, base, move_attempt(1, attempt), position + 1);
      if (give(bytes) != Slot::Receipt::kTaken) return;
      // A shard that has come whole is only moved again when it was elsewhere meanwhile.
      begin_before(piece);
    });
    EXPECT_EQ(give(next(pieces[piece])), Slot::Receipt::kTaken) << "piece " << piece;
    ++position;
  }
  EXPECT_GT(refused, 100);
  EXPECT_EQ(to->shard_set(), all_shards(kVirtualShards));
  to->follow_map(all_shards(kVirtualShards), {}, -1);
  EXPECT_EQ(to.rows({2001}).at(2001), std::vector<float>(kDim, 7));
  EXPECT_EQ(to.failure(), "");
}

}  // namespace
}  // namespace trireme::ps::testing

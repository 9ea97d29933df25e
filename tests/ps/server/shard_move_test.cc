// Virtual shards move from slot to slot while workers push and pull: nothing is lost, and nothing
// counts twice. Servers, workers and a coordinator in one process over real sockets.
#include <gmock/gmock.h>

#include <atomic>
#include <numeric>
#include <random>
#include <thread>

#include "distributed/coordination/coordinator.h"
#include "distributed/coordination/directory_client.h"
#include "ps/client/ps_client.h"
#include "ps/client/shard_balance.h"
#include "ps/server/ps_server.h"
#include "ps/server/shard_mover.h"
#include "ps/server/snapshot_file.h"
#include "tests/ps/server/slot_rig.h"
#include "tests/support/process.h"

namespace trireme::ps::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::Each;
using ::testing::HasSubstr;
using trireme::testing::TemporaryDirectory;

constexpr char kSecret[] = "s3cret";
constexpr int kDim = 4;
constexpr int64_t kKeys = 500, kDenseRows = 96;

class ShardMoveFixture {
 public:
  ShardMoveFixture(int servers, int replicas, bool keeps_snapshots = false)
      : replicas_(replicas),
        snapshots_(keeps_snapshots ? folder_ / "snapshots" : ""),
        coordinator_({.secret = kSecret, .job_id = "job", .log = [](const std::string&) {}}) {
    for (int i = 0; i < servers; ++i) servers_.emplace_back();
    for (int i = 0; i < servers; ++i) start(i);
  }

  void start(int index) {
    PsServerOptions options;
    options.coordinator = coordinator_.address();
    options.secret = kSecret;
    options.job_id = "job";
    options.index = index;
    options.servers = static_cast<int>(servers_.size());
    options.replicas = replicas_;
    options.incarnation = ++incarnations_;
    options.host = "here";
    options.threads = 2;
    options.memory_limit = int64_t{1} << 30;
    options.snapshot_directory = snapshots_;
    options.snapshot_interval = 1s;
    servers_[static_cast<size_t>(index)] = std::make_unique<PsServer>(options);
  }
  void stop(int index) { servers_[static_cast<size_t>(index)].reset(); }

  PsClientOptions client_options(int worker, int workers, Consistency consistency) const {
    PsClientOptions options;
    options.coordinator = coordinator_.address();
    options.secret = kSecret;
    options.job_id = "job";
    options.worker = worker;
    options.workers = workers;
    options.incarnation = 100 + static_cast<uint64_t>(worker);
    options.servers = static_cast<int>(servers_.size());
    options.replicas = replicas_;
    options.tables = {{.name = "sparse", .dim = kDim},
                      {.name = "dense", .dim = 8, .rows = kDenseRows, .elements = kDenseRows * 8}};
    options.dense = options.sparse = consistency;
    options.staleness = 2;
    options.timeout = 60s;
    options.resend_after = 200ms;
    return options;
  }
  ShardBalancer balancer() const {
    return ShardBalancer(
        {.coordinator = coordinator_.address(), .secret = kSecret, .job_id = "job"});
  }
  std::string folder(const std::string& name) const { return folder_ / name; }

 private:
  const int replicas_;
  const TemporaryDirectory folder_;
  const std::string snapshots_;
  Coordinator coordinator_;
  uint64_t incarnations_ = 0;
  std::vector<std::unique_ptr<PsServer>> servers_;
};

// One step of a worker: rows of whole numbers to some sparse keys and to all dense rows.
void push(PsClient& client, int64_t step, const std::vector<int64_t>& keys, float value = 1) {
  const std::vector<float> sparse(keys.size() * kDim, value);
  const std::vector<float> dense(static_cast<size_t>(kDenseRows * 8), value);
  const std::vector<TableGradients> gradients = {{0, client.prepare(0, keys), sparse.data()},
                                                 {1, client.all_keys(1), dense.data()}};
  client.push(step, 0, 1, 1, gradients);
}

struct AllRows {
  std::vector<float> sparse, dense;
};
AllRows pull_all(PsClient& client, int64_t step, int64_t snapshot = 0) {
  std::vector<int64_t> keys(kKeys);
  std::iota(keys.begin(), keys.end(), 0);
  AllRows rows{.sparse = std::vector<float>(static_cast<size_t>(kKeys * kDim)),
               .dense = std::vector<float>(static_cast<size_t>(kDenseRows * 8))};
  const std::vector<TableKeys> tables = {{0, client.prepare(0, keys)}, {1, client.all_keys(1)}};
  const std::vector<float*> targets = {rows.sparse.data(), rows.dense.data()};
  client.pull(step, tables, targets, snapshot);
  return rows;
}

std::vector<int64_t> keys_of(int worker, int64_t step) {
  std::mt19937_64 random(static_cast<uint64_t>(step * 16 + worker));
  std::vector<int64_t> keys(40);
  for (int64_t& key : keys) key = static_cast<int64_t>(random() % kKeys);
  return keys;
}

struct Case {
  Consistency consistency;
  int replicas;
};

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  const char* const names[] = {"Sync", "Bounded", "Async"};
  return str_cat(names[static_cast<int>(info.param.consistency)], info.param.replicas,
                 info.param.replicas == 1 ? "Replica" : "Replicas");
}

class ShardMoveTest : public ::testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(
    All, ShardMoveTest,
    ::testing::Values(Case{Consistency::kAsync, 1}, Case{Consistency::kAsync, 2},
                      Case{Consistency::kBounded, 1}, Case{Consistency::kBounded, 2},
                      Case{Consistency::kSync, 1}, Case{Consistency::kSync, 2}),
    name_of);

TEST_P(ShardMoveTest, EveryRowIsTheSumOfThePushes) {
  constexpr int kWorkers = 3;
  constexpr int kMoves = 40;
  ShardMoveFixture job(2, GetParam().replicas);
  const bool is_sync = GetParam().consistency == Consistency::kSync;
  std::atomic<int64_t> last{std::numeric_limits<int64_t>::max()};
  std::vector<std::atomic<int64_t>> done(kWorkers);
  std::vector<std::thread> workers;
  for (int w = 0; w < kWorkers; ++w) {
    workers.emplace_back([&, w] {
      PsClient client(job.client_options(w, kWorkers, GetParam().consistency));
      for (int64_t step = 1; step <= last; ++step) {
        push(client, step, keys_of(w, step));
        done[static_cast<size_t>(w)] = step;
        if (is_sync || step % 4 == 0) pull_all(client, step);
      }
    });
  }
  while (done[0] < 3) std::this_thread::yield();
  ShardBalancer balancer = job.balancer();
  std::mt19937_64 random(7);
  for (int i = 0; i < kMoves; ++i) {
    // To and fro, and often the same ones.
    const auto shard = static_cast<int>(random() % (i % 2 == 0 ? 64 : 3));
    const int from = balancer.view().slot_of_shard[static_cast<size_t>(shard)];
    balancer.move(shard, 1 - from);
  }
  int64_t newest = 0;
  for (const auto& step : done) newest = std::max(newest, step.load());
  last = newest + 5;
  for (std::thread& worker : workers) worker.join();

  std::vector<float> sparse(static_cast<size_t>(kKeys * kDim));
  float dense = 0;
  for (int w = 0; w < kWorkers; ++w) {
    ASSERT_EQ(done[static_cast<size_t>(w)], last);
    for (int64_t step = 1; step <= last; ++step) {
      for (const int64_t key : keys_of(w, step)) {
        for (int k = 0; k < kDim; ++k) sparse[static_cast<size_t>(key * kDim + k)] += 1;
      }
      dense += 1;
    }
  }
  PsClientOptions options = job.client_options(0, kWorkers, GetParam().consistency);
  options.incarnation = 1000;
  PsClient reader(options);
  EXPECT_EQ(reader.last_step(1), last);
  const AllRows rows = pull_all(reader, 0);
  EXPECT_EQ(rows.sparse, sparse);
  EXPECT_THAT(rows.dense, Each(dense));
}

// Two slots and the way between them, a piece at a time.
class TwoSlots {
 public:
  explicit TwoSlots(proto::Setup::Consistency consistency)
      : low_(0xffffffffU),
        from_(int64_t{1} << 40, 2, low_),
        to_(int64_t{1} << 40, 2, high()),
        setup_(setup_of({sum_table()}, 2, consistency)),
        map_(std::vector<TableSpec>{sum_table()}) {
    from_.set_up(setup_);
    to_.set_up(setup_);
  }

  SlotRig& from() { return from_; }
  SlotRig& to() { return to_; }
  ShardSet low() const { return low_; }
  ShardSet high() const { return all_shards(kVirtualShards) - low_; }
  int64_t key_in(int shard) const {
    int64_t key = 0;
    while (map_.shard_of(0, key) != shard) ++key;
    return key;
  }
  // What of {key: (value, value)} of each key is in `shards`.
  static Reply push(SlotRig& slot, int worker, int64_t step, const std::vector<int64_t>& keys,
                    float value, const ShardSet& shards) {
    const auto setup = slot->setup();
    PushSection section{.dim = 2, .keys = {}, .rows = {}};
    for (const int64_t key : in_wire_order(setup->shards, 0, keys)) {
      if (!shards[static_cast<size_t>(setup->shards.shard_of(0, key))]) continue;
      section.keys.push_back(key);
      section.rows.insert(section.rows.end(), 2, value);
    }
    RequestHeader header{.worker = worker,
                         .incarnation = 7,
                         .sequence = static_cast<uint64_t>(step),
                         .step = step,
                         .shards = shards.first_64()};
    return slot.push(push_message(header, {section}));
  }

  // All pieces of the shard are in the other slot; no view says so yet.
  void send(int shard, int64_t attempt = 1, size_t most = 1000) {
    from_->follow_map(low_, {}, shard);
    to_->follow_map(high(), {shard, 1}, -1);
    std::promise<bool> frozen;
    from_->freeze(shard, [&](bool ok) { frozen.set_value(ok); });
    ASSERT_TRUE(frozen.get_future().get());
    std::promise<std::vector<LogEntry>> exported;
    from_->export_move(shard, [&](std::vector<LogEntry> all) { exported.set_value(all); });
    int64_t position = 0;
    for (LogEntry& entry : exported.get_future().get()) {
      if (static_cast<size_t>(position) == most) return;
      entry.header.epoch = 1;
      entry.header.attempt = move_attempt(1, attempt);
      entry.header.position = ++position;
      const Message message = joined(entry_request(entry, 1, 1, RequestKind::kMove));
      const Request request = parse_request(message, {}, ShardMap({}));
      std::promise<bool> taken;
      ASSERT_EQ(to_->receive_move(parse_entry(message, request.body),
                                  [&](bool ok) { taken.set_value(ok); }),
                Slot::Receipt::kTaken);
      ASSERT_TRUE(taken.get_future().get());
    }
  }
  void finish(int shard) {
    from_->follow_map(low_ - only(shard), {}, -1);
    to_->follow_map(high() | only(shard), {}, -1);
  }

 private:
  const ShardSet low_;
  SlotRig from_, to_;
  const proto::Setup setup_;
  const ShardMap map_;
};

// A shard comes in the middle of a step: what it had had and what waits for the others comes with
// it, and what it had not is taken later.
TEST(ShardMoveSlotTest, AShardComesInTheMiddleOfASynchronousStep) {
  TwoSlots slots(proto::Setup::SYNC);
  const int64_t a = slots.key_in(5), b = slots.key_in(6), c = slots.key_in(40);
  const std::vector<int64_t> keys = {a, b, c};
  EXPECT_EQ(slots.push(slots.from(), 0, 1, keys, 1, slots.low()).code(), AnswerCode::kOk);
  EXPECT_EQ(slots.push(slots.to(), 0, 1, keys, 1, slots.high()).code(), AnswerCode::kOk);
  EXPECT_EQ(slots.push(slots.to(), 1, 1, keys, 10, slots.high()).code(), AnswerCode::kOk);
  slots.send(5);
  // Until a view says so it is served by neither.
  EXPECT_EQ(slots.push(slots.from(), 1, 1, keys, 10, slots.low()).code(), AnswerCode::kWrongView);
  EXPECT_EQ(slots.push(slots.to(), 1, 1, keys, 10, only(5)).code(), AnswerCode::kWrongView);
  slots.finish(5);
  EXPECT_EQ(slots.push(slots.from(), 1, 1, keys, 10, slots.low()).code(), AnswerCode::kWrongView);
  const ShardSet rest = slots.low() - only(5);
  for (int again = 0; again < 2; ++again) {
    for (int worker = 0; worker < 2; ++worker) {
      const float value = worker == 0 ? 1 : 10;
      EXPECT_EQ(slots.push(slots.from(), worker, 1, keys, value, rest).code(), AnswerCode::kOk);
      EXPECT_EQ(slots.push(slots.to(), worker, 1, keys, value, only(5)).code(), AnswerCode::kOk);
    }
  }
  EXPECT_EQ(slots.from().rows({b}), (Rows{{b, {11, 11}}}));
  EXPECT_EQ(slots.to().rows({a, c}), (Rows{{a, {11, 11}}, {c, {11, 11}}}));
  EXPECT_EQ(slots.to()->finished_step(), 1);
  EXPECT_EQ(slots.from().failure() + slots.to().failure(), "");
}

// One that was started again goes on behind what all shards have: a slot's answer is about those
// that it has, one on its way among them, and about no other.
TEST(ShardMoveSlotTest, AnswersOfAWorkersPushesSayWhichShardsTheyAreAbout) {
  TwoSlots slots(proto::Setup::ASYNC);
  const auto last = [](SlotRig& slot) {
    std::promise<Slot::LastPush> last;
    slot->last_push(0, [&](bool, const Slot::LastPush& has) { last.set_value(has); });
    return last.get_future().get();
  };
  const int64_t a = slots.key_in(5), c = slots.key_in(40);
  EXPECT_EQ(slots.push(slots.from(), 0, 1, {a, c}, 1, slots.low()).code(), AnswerCode::kOk);
  for (const int64_t step : {1, 2}) {
    EXPECT_EQ(slots.push(slots.to(), 0, step, {a, c}, 1, slots.high()).code(), AnswerCode::kOk);
  }
  EXPECT_EQ(last(slots.to()).sequence, 2);
  EXPECT_EQ(last(slots.to()).shards, slots.high());
  slots.send(5);
  EXPECT_EQ(last(slots.from()).shards, slots.low());
  EXPECT_EQ(last(slots.to()).sequence, 1);
  EXPECT_EQ(last(slots.to()).shards, slots.high() | only(5));
  slots.finish(5);
  EXPECT_EQ(last(slots.from()).shards, slots.low() - only(5));
  EXPECT_EQ(last(slots.to()).step, 1);
}

// The other slot is a step ahead: the shard still takes what it has not had.
TEST(ShardMoveSlotTest, AShardComesToASlotThatIsAhead) {
  TwoSlots slots(proto::Setup::SYNC);
  const int64_t a = slots.key_in(5), c = slots.key_in(40);
  const std::vector<int64_t> keys = {a, c};
  for (int worker = 0; worker < 2; ++worker) {
    EXPECT_EQ(slots.push(slots.from(), worker, 1, keys, 1, slots.low()).code(), AnswerCode::kOk);
    for (const int64_t step : {1, 2}) {
      EXPECT_EQ(slots.push(slots.to(), worker, step, keys, 1, slots.high()).code(),
                AnswerCode::kOk);
    }
  }
  EXPECT_EQ(slots.to()->finished_step(), 2);
  slots.send(5);
  slots.finish(5);
  EXPECT_EQ(slots.to()->finished_step(), 1);
  for (int worker = 0; worker < 2; ++worker) {
    EXPECT_EQ(slots.push(slots.to(), worker, 1, keys, 1, only(5)).code(), AnswerCode::kOk);
    EXPECT_EQ(slots.push(slots.to(), worker, 2, keys, 1, only(5)).code(), AnswerCode::kOk);
  }
  EXPECT_EQ(slots.to()->finished_step(), 2);
  EXPECT_EQ(slots.to().rows({a, c}), (Rows{{a, {4, 4}}, {c, {4, 4}}}));
}

// A view without the move: it stays, and what had come is forgotten; then it goes again.
TEST(ShardMoveSlotTest, AMoveThatIsTakenBackLeavesTheShardWhereItWas) {
  TwoSlots slots(proto::Setup::ASYNC);
  const int64_t a = slots.key_in(5);
  EXPECT_EQ(slots.push(slots.from(), 0, 1, {a}, 1, slots.low()).code(), AnswerCode::kOk);
  slots.send(5, 1, 2);  // not all of it
  slots.send(5, 2);     // all of it, anew
  slots.from()->follow_map(slots.low(), {}, -1);
  slots.to()->follow_map(slots.high(), {}, -1);
  EXPECT_EQ(slots.to()->shard_set(), slots.high());
  EXPECT_EQ(slots.push(slots.from(), 0, 2, {a}, 1, slots.low()).code(), AnswerCode::kOk);
  EXPECT_EQ(slots.from().rows({a}), (Rows{{a, {2, 2}}}));
  slots.send(5, 3);
  slots.finish(5);
  EXPECT_EQ(slots.to().rows({a}), (Rows{{a, {2, 2}}}));
  EXPECT_EQ(slots.from()->shard_set(), slots.low() - only(5));
}

// Each shard is in one slot's cut, whatever moves meanwhile, and what is open stays readable.
TEST(ShardMoveSnapshotTest, ASnapshotHasEachShardOnce) {
  ShardMoveFixture job(3, 1);
  PsClient client(job.client_options(0, 1, Consistency::kAsync));
  for (int64_t key = 0; key < kKeys; key += 50) {
    std::vector<int64_t> keys(50);
    std::iota(keys.begin(), keys.end(), key);
    push(client, key / 50 + 1, keys, 2);
  }
  std::atomic<bool> stop = false;
  std::thread moves([&] {
    ShardBalancer balancer = job.balancer();
    for (int i = 0; !stop; ++i) {
      const int shard = i * 5 % 64;
      const int from = balancer.view().slot_of_shard[static_cast<size_t>(shard)];
      balancer.move(shard, (from + 1) % 3);
    }
  });
  for (int i = 0; i < 10; ++i) {
    const int64_t snapshot = client.open_snapshot();
    EXPECT_THAT(pull_all(client, 0, snapshot).sparse, Each(2.0F));
    EXPECT_EQ(client.save_snapshot(snapshot, job.folder(str_cat("saved", i))).rows,
              kKeys + kDenseRows);
    client.close_snapshot(snapshot);
  }
  client.restore_snapshot(job.folder("saved3"));
  stop = true;
  moves.join();
  EXPECT_THAT(pull_all(client, 0).sparse, Each(2.0F));
}

// A shard that came after the last snapshot of its new slot does not go with that slot's server.
TEST(ShardMoveSnapshotTest, AShardThatHasMovedSurvivesWithoutABackup) {
  ShardMoveFixture job(2, 1, true);
  PsClientOptions options = job.client_options(0, 1, Consistency::kAsync);
  PsClient client(options);
  std::vector<int64_t> keys(kKeys);
  std::iota(keys.begin(), keys.end(), 0);
  push(client, 1, keys, 3);
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while (newest_snapshot(job.folder("snapshots/job"), 1).empty()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::sleep_for(10ms);
  }
  ShardBalancer balancer = job.balancer();
  for (int shard = 0; shard < 20; ++shard) balancer.move(shard, 1);
  job.stop(1);
  job.start(1);
  EXPECT_THAT(pull_all(client, 0).sparse, Each(3.0F));
  push(client, 2, keys, 1);
  EXPECT_THAT(pull_all(client, 0).sparse, Each(4.0F));
}

// Keys of real data: some are in every batch.
TEST(ShardBalanceTest, EvensOutASkewedLoad) {
  ShardMoveFixture job(2, 1);
  PsClient client(job.client_options(0, 1, Consistency::kAsync));
  // Shards of slot 0 are named five times as often.
  const ShardMap shards(client.tables());
  std::mt19937_64 random(3);
  int64_t step = 0;
  const auto train = [&](int steps) {
    for (int i = 0; i < steps; ++i) {
      std::vector<int64_t> keys;
      while (keys.size() < 200) {
        const auto key = static_cast<int64_t>(random() % 100'000);
        const int shard = shards.shard_of(0, key);
        if (shard < 32 || random() % 5 == 0) keys.push_back(key);
      }
      const std::vector<float> rows(keys.size() * kDim, 1);
      const TableGradients gradients{0, client.prepare(0, keys), rows.data()};
      client.push(++step, 0, 1, 1, {&gradients, 1});
    }
  };
  train(100);
  ShardBalancer balancer = job.balancer();
  const auto use = balancer.use(0ms);
  const BalancePlan plan = plan_balance(use, balancer.slots());
  EXPECT_GT(plan.before[0], 4 * plan.before[1]);
  EXPECT_LT(std::abs(plan.after[0] - plan.after[1]), (plan.before[0] + plan.before[1]) / 20);
  EXPECT_THAT(describe(plan, use), HasSubstr("from slot 0 to slot 1"));
  for (const PlannedMove& move : plan.moves) balancer.move(move.shard, move.to);

  const auto at_first = balancer.use(0ms);
  train(100);
  std::vector<int64_t> by_slot(2);
  for (const ShardUse& shard : balancer.use(0ms))
    by_slot[static_cast<size_t>(shard.slot)] += shard.rows;
  for (const ShardUse& shard : at_first) by_slot[static_cast<size_t>(shard.slot)] -= shard.rows;
  EXPECT_LT(std::abs(by_slot[0] - by_slot[1]), (by_slot[0] + by_slot[1]) / 10);
}

TEST(BalancePlanTest, NamesAShardThatNoMoveCanHelp) {
  std::vector<ShardUse> use;
  for (int shard = 0; shard < 64; ++shard) {
    use.push_back({.shard = shard, .slot = shard / 32, .rows = shard == 40 ? 10'000 : 10});
  }
  const BalancePlan plan = plan_balance(use, 2);
  EXPECT_THAT(describe(plan, use), HasSubstr("uneven: virtual shard 40 of slot 1 has 94.1%"));
  EXPECT_THAT(describe(plan, use), HasSubstr("a shard is not divided"));
  for (const PlannedMove& move : plan.moves) EXPECT_NE(move.shard, 40);
}

TEST(BalancePlanTest, LeavesAnEvenLoadAlone) {
  std::vector<ShardUse> use;
  for (int shard = 0; shard < 64; ++shard) {
    use.push_back({.shard = shard, .slot = shard % 3, .rows = 1'000 + shard});
  }
  EXPECT_TRUE(plan_balance(use, 3).moves.empty());
  EXPECT_TRUE(plan_balance({}, 3).moves.empty());
}

}  // namespace
}  // namespace trireme::ps::testing

// A snapshot shows the rows of its moment, whatever happens to them meanwhile.
#include <atomic>
#include <map>
#include <thread>

#include "core/base/philox.h"
#include "tests/ps/table/helpers.h"

namespace trireme::ps {
namespace {

using ::testing::ElementsAre;

Floats pull(const TableShard::Snapshot& snapshot, const Keys& keys, int64_t dim) {
  Floats rows(keys.size() * static_cast<size_t>(dim));
  snapshot.pull(keys, rows.data());
  return rows;
}

Keys keys_of(const TableShard::Snapshot& snapshot, int64_t changed_since = -1) {
  Keys keys;
  snapshot.for_each([&](const RowView& row) { keys.push_back(row.key); }, changed_since);
  return keys;
}

TEST(SnapshotTest, KeepsWhatThePushesChange) {
  TableShard shard(sum_table(2), 0, 1);
  add(shard, range(0, 1000), 1, 1);
  const auto snapshot = shard.open_snapshot();
  add(shard, range(500, 1500), 1, 2);
  EXPECT_EQ(snapshot->rows(), 1000);
  EXPECT_EQ(keys_of(*snapshot), range(0, 1000));
  snapshot->for_each([](const RowView& row) {
    EXPECT_EQ(row.version, 1);
    EXPECT_EQ(row.frequency, 1);
    EXPECT_THAT(row.weight, ElementsAre(1, 1));
    EXPECT_TRUE(row.slots.empty());
  });
  EXPECT_EQ(pull(*snapshot, {0, 700, 1200, 3}, 2), (Floats{1, 1, 1, 1, 0, 0, 1, 1}));
  EXPECT_EQ(pull(shard, {0, 700, 1200, 3}), (Floats{1, 1, 2, 2, 1, 1, 1, 1}));
}

TEST(SnapshotTest, KeepsWhatIsErasedEvictedAndCleared) {
  TableSpec spec = sum_table(1);
  spec.eviction.max_age = 1;
  TableShard shard(spec, 0, 1);
  add(shard, range(0, 300), 1, 1);
  auto snapshot = shard.open_snapshot();
  for (int64_t key = 0; key < 300; key += 2) shard.erase(key);
  add(shard, range(1000, 1100), 5, 2);  // into their places
  EXPECT_EQ(pull(*snapshot, range(0, 300), 1), Floats(300, 1));
  EXPECT_EQ(shard.evict(3), 150);
  EXPECT_EQ(keys_of(*snapshot), range(0, 300));
  shard.clear();
  add(shard, range(0, 10), 7, 4);
  EXPECT_EQ(keys_of(*snapshot), range(0, 300));
  EXPECT_EQ(pull(*snapshot, range(0, 301), 1).back(), 0);
  snapshot.reset();
  snapshot = shard.open_snapshot();
  EXPECT_EQ(pull(*snapshot, range(0, 10), 1), Floats(10, 7));
}

TEST(SnapshotTest, OutlivesTheShard) {
  auto shard = std::make_unique<TableShard>(sum_table(1), 0, 1);
  add(*shard, range(0, 100), 1);
  const auto snapshot = shard->open_snapshot();
  shard.reset();
  EXPECT_EQ(pull(*snapshot, range(0, 100), 1), Floats(100, 1));
}

TEST(SnapshotTest, IncrementalOnesLeaveOutWhatIsOlder) {
  TableShard shard(sum_table(1), 0, 1);
  add(shard, range(0, 100), 1, 1);
  add(shard, {7, 50, 99}, 1, 2);
  add(shard, {50}, 1, 3);
  const auto snapshot = shard.open_snapshot();
  EXPECT_THAT(keys_of(*snapshot, 1), ElementsAre(7, 50, 99));
  EXPECT_THAT(keys_of(*snapshot, 2), ElementsAre(50));
  EXPECT_THAT(keys_of(*snapshot, 3), ElementsAre());
}

TEST(SnapshotTest, ItsMemoryIsCountedAndGivenBack) {
  TableShard shard(sum_table(16), 0, 1);
  add(shard, range(0, 10000), 1);
  const int64_t bytes = shard.bytes();
  auto snapshot = shard.open_snapshot();
  EXPECT_LT(shard.bytes(), bytes + 1000) << "opening copies nothing";
  const int64_t bound = shard.growth(range(0, 10000));
  add(shard, range(0, 10000), 1);
  EXPECT_GT(shard.bytes(), bytes + 10000 * 64);
  EXPECT_LE(shard.bytes(), bytes + bound);
  add(shard, range(0, 10000), 1);
  EXPECT_LE(shard.bytes(), bytes + bound) << "copied once";
  shard.clear();
  EXPECT_GT(shard.bytes(), bytes) << "it keeps the old rows";
  snapshot.reset();
  EXPECT_LT(shard.bytes(), 1000);
}

TEST(SnapshotTest, ASecondOneOpensWhenTheFirstIsClosed) {
  TableShard shard(sum_table(1), 0, 1);
  add(shard, range(0, 100), 1);
  for (float round = 1; round < 5; ++round) {
    const auto snapshot = shard.open_snapshot();
    EXPECT_THROW(shard.open_snapshot(), std::exception);
    add(shard, range(0, 100), 1);
    EXPECT_EQ(pull(*snapshot, range(0, 100), 1), Floats(100, round));
  }
}

// One thread saves, one evaluates, and the owner goes on with everything that it can do.
TEST(SnapshotTest, OtherThreadsReadWhileTheOwnerGoesOn) {
  constexpr int64_t kKeys = 4000, kDim = 3;
  TableSpec spec = sum_table(kDim);
  spec.admission.after = 2;
  spec.eviction.max_age = 3;
  TableShard shard(spec, 0, 1);
  PhiloxGenerator random(1);
  const auto some_keys = [&] {
    Keys keys;
    for (int64_t key = 0; key < kKeys; ++key) {
      if (random.below(4) == 0) keys.push_back(key);
    }
    return keys;
  };
  int64_t step = 1;
  for (; step < 6; ++step) add(shard, some_keys(), 1, step);
  for (int round = 0; round < 12; ++round) {
    std::map<int64_t, std::tuple<int64_t, int64_t, float>> expected, waiting;
    shard.for_each([&](const RowView& row) {
      expected[row.key] = {row.version, row.frequency, row.weight[0]};
    });
    std::unique_ptr<TableShard::Snapshot> snapshot = shard.open_snapshot();
    std::atomic<int> reading = 2;
    std::thread saver([&] {
      for (int pass = 0; pass < 3; ++pass) {
        auto next = expected.begin();
        snapshot->for_each([&](const RowView& row) {
          ASSERT_NE(next, expected.end());
          EXPECT_EQ(row.key, next->first);
          EXPECT_EQ(std::tuple(row.version, row.frequency, row.weight[0]), next->second);
          EXPECT_EQ(row.weight[2], row.weight[0]);
          ++next;
        });
        EXPECT_EQ(next, expected.end());
        int64_t last = -1;
        snapshot->for_each_waiting([&](const WaitingKey& key) {
          EXPECT_GT(key.key, last);
          EXPECT_EQ(key.sightings, 1);
          EXPECT_FALSE(expected.contains(key.key));
          last = key.key;
        });
      }
      --reading;
    });
    std::thread evaluator([&] {
      for (int64_t begin = 0; begin < kKeys; begin += 50) {
        const Keys keys = range(begin, begin + 100);
        const Floats rows = pull(*snapshot, keys, kDim);
        for (size_t i = 0; i < keys.size(); ++i) {
          const auto at = expected.find(keys[i]);
          EXPECT_EQ(rows[i * kDim], at == expected.end() ? 0 : std::get<2>(at->second));
        }
      }
      --reading;
    });
    for (int i = 0; reading > 0 || i < 3; ++i) {
      add(shard, some_keys(), 1, ++step);
      if (i % 3 == 1) shard.evict(step);
      for (int64_t key = i % 7; key < kKeys; key += 97) shard.erase(key);
      add(shard, range(kKeys + 100 * i, kKeys + 100 * i + 300), 1, step);
      if (i % 40 == 39) shard.clear();
    }
    saver.join();
    // The last user closes it, while the owner goes on.
    std::thread closer([&] { snapshot.reset(); });
    add(shard, some_keys(), 1, ++step);
    closer.join();
    evaluator.join();
  }
}

}  // namespace
}  // namespace trireme::ps

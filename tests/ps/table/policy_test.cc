// Which keys get a row, and which rows go.
#include "tests/ps/table/helpers.h"

namespace trireme::ps {
namespace {

using ::testing::ElementsAre;

TEST(AdmissionTest, AfterNSightingsAKeyGetsItsRow) {
  TableSpec spec = sum_table(1);
  spec.admission.after = 3;
  TableShard shard(spec, 0, 1);
  EXPECT_EQ(add(shard, {1, 2}, 1), 2);
  EXPECT_EQ(add(shard, {1, 3}, 1), 2);
  EXPECT_EQ(shard.rows(), 0);
  EXPECT_EQ(shard.statistics().waiting, 3);
  EXPECT_EQ(add(shard, {1, 2}, 1), 1);
  EXPECT_THAT(keys_of(shard), ElementsAre(1));
  EXPECT_THAT(pull(shard, {1, 2}), ElementsAre(1, 0)) << "what came before was dropped";
  EXPECT_EQ(shard.statistics().waiting, 2);
  EXPECT_EQ(add(shard, {1}, 1), 0);
  EXPECT_THAT(pull(shard, {1}), ElementsAre(2));
}

TEST(AdmissionTest, AKeyThatWasErasedBeginsAgain) {
  TableSpec spec = sum_table(1);
  spec.admission.after = 2;
  TableShard shard(spec, 0, 1);
  add(shard, {1}, 1);
  shard.erase(1);
  EXPECT_EQ(add(shard, {1}, 1), 1);
  EXPECT_EQ(add(shard, {1}, 1), 0);
  shard.erase(1);
  EXPECT_EQ(add(shard, {1}, 1), 1);
}

TEST(AdmissionTest, ProbabilityAdmitsThatShareAndReplicasAgree) {
  TableSpec spec = sum_table(1);
  spec.admission.probability = 0.25;
  TableShard shard(spec, 0, 1), replica(spec, 0, 1);
  const Keys keys = range(0, 4000);
  EXPECT_NEAR(static_cast<double>(add(shard, keys, 1)), 3000, 150);
  const int64_t once = shard.rows();
  add(shard, keys, 1);
  EXPECT_NEAR(static_cast<double>(shard.rows()), 4000 * (1 - 0.75 * 0.75), 150);
  EXPECT_GT(shard.rows(), once) << "each sighting is another chance";
  // One key after the other, in another order of keys: the same rows.
  for (int round = 0; round < 2; ++round) {
    for (int64_t key = 3999; key >= 0; --key) add(replica, {key}, 1);
  }
  EXPECT_EQ(keys_of(replica), keys_of(shard));
}

TEST(AdmissionTest, WaitingKeysAreCopiedWithTheShard) {
  TableSpec spec = sum_table(1);
  spec.admission.after = 3;
  TableShard shard(spec, 0, 1), copy(spec, 0, 1);
  add(shard, {1, 2, 3}, 1, 4);
  add(shard, {3}, 1, 5);
  const auto snapshot = shard.open_snapshot();
  add(shard, {1, 2, 3}, 1, 6);
  snapshot->for_each_waiting([&](const WaitingKey& key) { copy.assign_waiting(key); });
  EXPECT_EQ(copy.statistics().waiting, 3);
  EXPECT_EQ(add(copy, {1, 2, 3}, 1, 6), 2);
  EXPECT_THAT(keys_of(copy), ElementsAre(3));
  EXPECT_EQ(keys_of(copy), keys_of(shard));
}

TEST(AdmissionTest, ADenseTableHasNoPolicy) {
  TableSpec spec = sum_table(1);
  spec.rows = spec.elements = 10;
  spec.admission.after = 5;
  spec.eviction = {.max_age = 1, .min_frequency = 9, .max_rows = 1};
  TableShard shard(spec, 0, 1);
  EXPECT_EQ(add(shard, range(0, 10), 1), 0);
  EXPECT_EQ(shard.evict(100, true), 0);
  EXPECT_EQ(shard.rows(), 10);
}

TEST(EvictionTest, RowsThatWereNotPushedForLongGo) {
  TableSpec spec = sum_table(1);
  spec.eviction.max_age = 10;
  TableShard shard(spec, 0, 1);
  add(shard, {1, 2, 3}, 1, 5);
  add(shard, {2}, 1, 9);
  EXPECT_EQ(shard.evict(15), 0);
  EXPECT_EQ(shard.evict(16), 2);
  EXPECT_THAT(keys_of(shard), ElementsAre(2));
  EXPECT_THAT(pull(shard, {1, 2}), ElementsAre(0, 2));
  EXPECT_EQ(shard.statistics().evicted, 2);
}

TEST(EvictionTest, WaitingKeysGrowOldToo) {
  TableSpec spec = sum_table(1);
  spec.admission.after = 2;
  spec.eviction.max_age = 10;
  TableShard shard(spec, 0, 1);
  add(shard, {1, 2}, 1, 1);
  EXPECT_EQ(shard.evict(20), 0) << "they are no rows";
  EXPECT_EQ(shard.statistics().waiting, 0);
}

TEST(EvictionTest, TheLeastFrequentGoWhenThereAreTooMany) {
  TableSpec spec = sum_table(1);
  spec.eviction.max_rows = 10;  // four shards: 3 rows each
  TableShard shard(spec, 0, 4);
  add(shard, {1, 2, 3, 4, 5, 6}, 1, 1);
  add(shard, {1, 2, 3}, 1, 2);
  add(shard, {1, 6}, 1, 3);
  EXPECT_EQ(shard.evict(3), 3);
  // 4 and 5 were pushed once; 2, 3 and 6 twice, of these 2 and 3 are older, and 2 is smaller.
  EXPECT_THAT(keys_of(shard), ElementsAre(1, 3, 6));
  EXPECT_EQ(shard.evict(4), 0);
}

TEST(EvictionTest, RareRowsGoOnCommandOrWhenThereAreTooMany) {
  TableSpec spec = sum_table(1);
  spec.eviction.min_frequency = 2;
  spec.eviction.max_rows = 4;
  TableShard shard(spec, 0, 1);
  add(shard, {1, 2, 3}, 1, 1);
  add(shard, {3}, 1, 1);
  EXPECT_EQ(shard.evict(1), 0) << "there is room";
  EXPECT_EQ(shard.evict(1, true), 2);
  EXPECT_THAT(keys_of(shard), ElementsAre(3));
  add(shard, {1, 2, 4, 5}, 1, 1);
  EXPECT_EQ(shard.evict(1), 4) << "all that are rare, not only those that are too many";
  EXPECT_THAT(keys_of(shard), ElementsAre(3));
}

// A replica that was filled from a snapshot has its rows in other places.
TEST(EvictionTest, DependsOnTheRowsNotOnTheirPlaces) {
  TableSpec spec = sum_table(1);
  spec.eviction.max_rows = 500;
  TableShard shard(spec, 0, 1), replica(spec, 0, 1);
  for (int64_t key = 999; key >= 0; --key) add(shard, {key * 7919 % 1000}, 1, 1 + key % 3);
  for (int64_t key = 0; key < 1000; key += 3) add(shard, {key}, 1, 5);
  shard.open_snapshot()->for_each([&](const RowView& row) { replica.assign(row); });
  EXPECT_EQ(shard.evict(6), 500);
  EXPECT_EQ(replica.evict(6), 500);
  EXPECT_EQ(keys_of(replica), keys_of(shard));
}

TEST(EvictionTest, MemoryOfRowsThatWentIsUsedAgain) {
  TableSpec spec = sum_table(8);
  spec.eviction.max_rows = 1000;
  TableShard shard(spec, 0, 1);
  add(shard, range(0, 2000), 1);
  const int64_t bytes = shard.bytes();
  for (int64_t i = 1; i < 50; ++i) {
    shard.evict(i);
    add(shard, range(i * 2000, i * 2000 + 1000), 1, i);
  }
  EXPECT_LT(shard.bytes(), bytes * 5 / 4);
}

}  // namespace
}  // namespace trireme::ps

// One shard of a table: rows that come, change, go and are found again.
#include "ps/table/table_shard.h"

#include "core/base/error.h"
#include "core/nn/initializers.h"
#include "tests/ps/table/helpers.h"

namespace trireme::ps {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
TEST(TableShardTest, WhatIsPushedIsPulled) {
  TableShard shard(sum_table(2), 0, 1);
  const Keys keys{1, 5, int64_t{1} << 62};
  const Floats gradients{1, 2, 3, 4, 5, 6};
  EXPECT_EQ(shard.push(keys, gradients.data(), {.step = 3}), 0);
  EXPECT_EQ(pull(shard, keys), gradients);
  EXPECT_THAT(pull(shard, {5, 6, 1}), ElementsAre(3, 4, 0, 0, 1, 2));
  EXPECT_EQ(shard.rows(), 3) << "a pull makes no row";
  shard.push(keys, gradients.data(), {.step = 4});
  shard.for_each([](const RowView& row) {
    EXPECT_EQ(row.version, 4);
    EXPECT_EQ(row.frequency, 2);
  });
}

TEST(TableShardTest, KeysWithoutARowHaveTheVariablesFirstValues) {
  for (const auto& initializer : {nn::uniform(-1, 1), nn::normal(), nn::constant(2)}) {
    TableSpec spec = sum_table(5);
    spec.initializer = initializer.fill({}, nn::initializer_key(7, "embedding/embeddings")).value();
    const Tensor whole = initializer(
        {{DType::kFloat32, {100, 5}}, {}, nn::initializer_key(7, "embedding/embeddings")});
    const Floats expected(whole.flat<float>().begin(), whole.flat<float>().end());
    TableShard shard(spec, 0, 1);
    EXPECT_EQ(pull(shard, range(0, 100)), expected);
    add(shard, range(0, 100), 0);
    EXPECT_EQ(shard.rows(), 100);
    EXPECT_EQ(pull(shard, range(0, 100)), expected) << "with a row they still are";
  }
}

TEST(TableShardTest, FindsAllRowsWhileItGrows) {
  TableShard shard(sum_table(1), 0, 1);
  for (int64_t n = 10000; n <= 50000; n += 10000) add(shard, range(0, n), 1);
  EXPECT_EQ(shard.rows(), 50000);
  const Floats rows = pull(shard, range(0, 60000));
  for (size_t i = 0; i < rows.size(); ++i) {
    ASSERT_EQ(rows[i], static_cast<float>(i < 50000 ? 5 - i / 10000 : 0)) << i;
  }
}

// The index grows little by little: rows that go meanwhile may be in the old or the new part.
TEST(TableShardTest, ForgetsRowsWhileItGrows) {
  TableShard shard(sum_table(1), 0, 1);
  constexpr int64_t kKeys = 40000;
  for (int64_t key = 0; key < kKeys; key += 10) {
    add(shard, range(key, key + 10), static_cast<float>(key + 1));
    shard.erase(key);
    shard.erase(key * 7919 % (key + 10));
    shard.erase(key / 2 + 1);
  }
  const Floats rows = pull(shard, range(0, kKeys));
  int64_t found = 0;
  shard.for_each([&](const RowView& row) {
    EXPECT_EQ(row.weight[0], static_cast<float>(row.key / 10 * 10 + 1));
    EXPECT_EQ(rows[static_cast<size_t>(row.key)], row.weight[0]);
    ++found;
  });
  EXPECT_EQ(found, shard.rows());
  EXPECT_EQ(std::count(rows.begin(), rows.end(), 0.0f), kKeys - found);
  EXPECT_LE(found, kKeys * 8 / 10);
}

TEST(TableShardTest, AResolutionFindsRowsThatCameLater) {
  TableShard shard(sum_table(1), 0, 1);
  const Keys keys = range(0, 200);
  Resolution resolution;
  EXPECT_EQ(pull(shard, keys, &resolution), Floats(200, 0));
  add(shard, keys, 1);
  EXPECT_EQ(pull(shard, keys, &resolution), Floats(200, 1));
  add(shard, keys, 1, 1, &resolution);
  EXPECT_EQ(shard.rows(), 200);
  EXPECT_EQ(pull(shard, keys), Floats(200, 2));
}

TEST(TableShardTest, AResolutionIsStaleWhenRowsWentOrTheShardIsAnother) {
  auto shard = std::make_unique<TableShard>(sum_table(1), 0, 1);
  const Keys keys = range(0, 100);
  Resolution resolution;
  add(*shard, keys, 1, 1, &resolution);
  shard->erase(50);
  add(*shard, {1000}, 7);  // takes the place of 50
  Floats expected(100, 1);
  expected[50] = 0;
  EXPECT_EQ(pull(*shard, keys, &resolution), expected);
  shard->clear();
  add(*shard, keys, 3, 1, &resolution);
  EXPECT_EQ(pull(*shard, keys), Floats(100, 3));
  shard = std::make_unique<TableShard>(sum_table(1), 0, 1);
  EXPECT_EQ(pull(*shard, keys, &resolution), Floats(100, 0));
  EXPECT_EQ(pull(*shard, range(0, 10), &resolution), Floats(10, 0)) << "another list";
}

TEST(TableShardTest, AssignReplacesOrNot) {
  TableSpec spec = sum_table(2);
  spec.update = {.op = "ApplyAdagrad",
                 .attributes = {{"epsilon", 1e-7}, {"weight_decay", 0.0}},
                 .slot_names = {"accumulator"},
                 .slot_initials = {0.1}};
  TableShard shard(spec, 0, 1);
  const Floats weight{1, 2}, slots{3, 4}, other{5, 6};
  shard.assign({.key = 9, .version = 5, .frequency = 6, .weight = weight, .slots = slots});
  shard.assign({.key = 9, .weight = other}, true);
  shard.for_each([&](const RowView& row) {
    EXPECT_EQ(row.version, 5);
    EXPECT_EQ(row.frequency, 6);
    EXPECT_THAT(row.weight, ElementsAre(1, 2));
    EXPECT_THAT(row.slots, ElementsAre(3, 4));
  });
  shard.assign({.key = 9, .version = 7, .weight = other});
  shard.for_each([&](const RowView& row) {
    EXPECT_EQ(row.version, 7);
    EXPECT_THAT(row.weight, ElementsAre(5, 6));
    EXPECT_THAT(row.slots, ElementsAre(0.1f, 0.1f)) << "their initial values";
  });
  EXPECT_EQ(shard.rows(), 1);
  EXPECT_THROW(shard.assign({.key = 1, .weight = Floats{1}}), Error);
  EXPECT_EQ(shard.rows(), 1);
}

TEST(TableShardTest, EraseForgetsAndReuses) {
  TableShard shard(sum_table(3), 0, 1);
  add(shard, range(0, 5000), 1);
  const int64_t bytes = shard.bytes();
  for (int round = 0; round < 5; ++round) {
    for (int64_t key = 0; key < 5000; key += 2) shard.erase(key);
    EXPECT_EQ(shard.rows(), 2500);
    EXPECT_EQ(pull(shard, {0, 1}),
              (Floats{0, 0, 0, 1 + float(round), 1 + float(round), 1 + float(round)}));
    add(shard, range(0, 5000), 1);
    EXPECT_EQ(shard.rows(), 5000);
  }
  EXPECT_LT(shard.bytes(), bytes + bytes / 5) << "places of rows that went are used again";
  shard.clear();
  EXPECT_EQ(shard.rows(), 0);
  EXPECT_EQ(keys_of(shard), Keys{});
  EXPECT_LT(shard.bytes(), 10000);
}

TEST(TableShardTest, StatisticsCountWhatIsThere) {
  TableShard shard(sum_table(2), 0, 1);
  add(shard, {1, 2}, 3, 5);
  add(shard, {2}, 1, 9);
  const ShardStatistics statistics = shard.statistics();
  EXPECT_EQ(statistics.rows, 2);
  EXPECT_EQ(statistics.oldest, 5);
  EXPECT_EQ(statistics.squares, 2 * 9 + 2 * 16);
  EXPECT_EQ(statistics.waiting, 0);
  EXPECT_EQ(statistics.bytes, shard.bytes());
}

TEST(TableShardTest, MemoryFollowsTheRows) {
  TableShard shard(sum_table(16), 0, 1);
  EXPECT_LT(shard.bytes(), 1000);
  add(shard, {1}, 1);
  EXPECT_LT(shard.bytes(), 6000);
  for (int64_t n = 1000; n <= 64000; n *= 2) {
    add(shard, range(0, n), 1);
    const int64_t rows = n * (24 + 16 * 4);
    EXPECT_GT(shard.bytes(), rows);
    EXPECT_LT(shard.bytes(), rows * 2) << n;
  }
}

TEST(TableShardTest, GrowthIsABound) {
  for (const int64_t dim : {1, 64}) {
    for (const bool with_snapshot : {false, true}) {
      TableShard shard(sum_table(dim), 0, 1);
      int64_t steps_without = 0;
      for (int64_t i = 0; i < 60; ++i) {
        std::unique_ptr<TableShard::Snapshot> snapshot;
        if (with_snapshot) snapshot = shard.open_snapshot();
        const Keys keys = range(i * 100, i * 100 + i * i);
        const int64_t before = shard.bytes(), bound = shard.growth(keys);
        add(shard, keys, 1);
        EXPECT_LE(shard.bytes() - before, bound) << i;
        if (!with_snapshot) {
          EXPECT_EQ(shard.growth(keys), 0) << "all are there";
        }
        steps_without += bound == 0;
      }
      EXPECT_LT(shard.growth({}), 1);
      if (!with_snapshot) {
        EXPECT_GT(steps_without, 0);
      }
    }
  }
}

TEST(TableShardTest, RefusesAnUpdateThatDoesNotFit) {
  const auto error = [](const TableSpec& spec) -> std::string {
    try {
      TableShard shard(spec, 0, 1);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
      return e.what();
    }
    return "";
  };
  TableSpec spec = sum_table(1);
  spec.update.op = "ApplyMagic";
  EXPECT_THAT(error(spec), ::testing::AllOf(HasSubstr("\"t\""), HasSubstr("ApplyMagic"),
                                            HasSubstr("ApplyAdam")));
  spec.update.op = "ApplyAdagrad";
  EXPECT_THAT(error(spec), HasSubstr("expected 1 slots"));
  spec.update.slot_names = {"a"};
  EXPECT_THAT(error(spec), HasSubstr("epsilon"));
}

}  // namespace
}  // namespace trireme::ps

#include "ps/client/key_set.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "core/base/error.h"

namespace trireme::ps {
namespace {

using ::testing::HasSubstr;

std::vector<int> shards_over(int slots) {
  std::vector<int> slot_of_shard;
  for (int shard = 0; shard < kVirtualShards; ++shard) {
    slot_of_shard.push_back(shard * slots / kVirtualShards);
  }
  return slot_of_shard;
}

std::vector<TableSpec> one_table(int64_t dim, int64_t rows = 0) {
  return {{.name = "t", .dim = dim, .rows = rows, .elements = rows * dim}};
}

// What the servers hold: the row of each key says the key and the element.
float weight(int64_t key, int64_t k) { return static_cast<float>(key * 10 + k); }

// Gathers and scatters, and compares with a map.
void check(const std::vector<TableSpec>& tables, const std::vector<int64_t>& keys, int slots,
           const KeySet& set) {
  const ShardMap shards(tables);
  const auto dim = static_cast<size_t>(tables[0].dim);
  std::vector<float> gradients(keys.size() * dim), rows(keys.size() * dim, -1);
  std::map<int64_t, std::vector<float>> sums;
  for (size_t i = 0; i < gradients.size(); ++i) {
    gradients[i] = static_cast<float>(i % 97) - 40;
    auto& sum = sums[keys[i / dim]];
    sum.resize(dim);
    sum[i % dim] += gradients[i];
  }
  size_t unique = 0;
  const std::vector<int> slot_of_shard = shards_over(slots);
  for (const SlotKeys& slot : set.slots()) {
    std::pair<int, int64_t> last(-1, -1);
    std::vector<float> gathered(slot.keys.size() * dim, 1e9F);
    set.gather(slot, gradients.data(), gathered.data());
    for (size_t u = 0; u < slot.keys.size(); ++u, ++unique) {
      const std::pair<int, int64_t> at(shards.shard_of(0, slot.keys[u]), slot.keys[u]);
      ASSERT_LT(last, at);
      last = at;
      ASSERT_EQ(slot_of_shard[static_cast<size_t>(at.first)], slot.slot);
      for (size_t k = 0; k < dim; ++k) {
        ASSERT_EQ(gathered[u * dim + k], sums[slot.keys[u]][k]) << slot.keys[u];
        gathered[u * dim + k] = weight(slot.keys[u], static_cast<int64_t>(k));
      }
    }
    ASSERT_EQ(slot.list_id, key_list_id(0, slot.keys));
    set.scatter(slot, gathered.data(), rows.data());
  }
  ASSERT_EQ(unique, sums.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    ASSERT_EQ(rows[i], weight(keys[i / dim], static_cast<int64_t>(i % dim)));
  }
}

std::shared_ptr<const KeySet> prepare(const std::vector<TableSpec>& tables,
                                      const std::vector<int64_t>& keys, int slots) {
  return make_key_set(0, tables[0], keys, ShardMap(tables), shards_over(slots));
}

TEST(KeySetTest, AddsRepeatedKeysAndFindsEachRowAgain) {
  std::mt19937_64 random(7);
  for (const int slots : {1, 2, 5}) {
    for (const int64_t dim : {1, 4}) {
      for (const int64_t range : {int64_t{3}, int64_t{20'000}, int64_t{1'000'000'000'000'000}}) {
        const auto tables = one_table(dim);
        std::vector<int64_t> keys(range == 3 ? 3000 : 40'000);
        for (int64_t& key : keys) key = static_cast<int64_t>(random() >> 1) % range;
        check(tables, keys, slots, *prepare(tables, keys, slots));
        // Unique, in another order; then in order.
        std::ranges::sort(keys);
        keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
        check(tables, keys, slots, *prepare(tables, keys, slots));
        std::ranges::shuffle(keys, random);
        check(tables, keys, slots, *prepare(tables, keys, slots));
      }
    }
  }
}

TEST(KeySetTest, SendsADenseTableAsItLies) {
  const auto tables = one_table(8, 100);
  std::vector<int64_t> all(100);
  std::iota(all.begin(), all.end(), 0);
  const auto full = make_full_key_set(0, tables[0], ShardMap(tables), shards_over(3));
  check(tables, all, 3, *full);
  check(tables, all, 3, *prepare(tables, all, 3));
  ASSERT_EQ(full->slots().size(), 3u);
  for (const SlotKeys& slot : full->slots()) EXPECT_TRUE(slot.is_contiguous());
  const auto same = prepare(tables, all, 3);
  for (const SlotKeys& slot : same->slots()) EXPECT_TRUE(slot.is_contiguous());
  EXPECT_EQ(full->slots()[1].list_id, same->slots()[1].list_id);
}

// After virtual shards have moved, a slot's rows are in several pieces.
TEST(KeySetTest, SendsADenseTableInPieces) {
  const auto tables = one_table(2, 640);
  std::vector<int> slot_of_shard = shards_over(2);
  slot_of_shard[60] = 0;
  const ShardMap shards(tables);
  const auto set = make_full_key_set(0, tables[0], shards, slot_of_shard);
  std::vector<float> rows(1280), copy(1280);
  std::iota(rows.begin(), rows.end(), 0.0F);
  for (const SlotKeys& slot : set->slots()) {
    EXPECT_EQ(slot.keys.size(), slot.slot == 0 ? 330u : 310u);
    std::vector<float> gathered(slot.keys.size() * 2);
    set->gather(slot, rows.data(), gathered.data());
    for (size_t u = 0; u < slot.keys.size(); ++u) EXPECT_EQ(gathered[u * 2], slot.keys[u] * 2);
    set->scatter(slot, gathered.data(), copy.data());
  }
  EXPECT_EQ(rows, copy);
}

TEST(KeySetTest, RefusesKeysThatATableCannotHave) {
  const auto refusal = [](const std::vector<TableSpec>& tables, std::vector<int64_t> keys) {
    try {
      prepare(tables, keys, 2);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(refusal(one_table(1), {3, -1}), HasSubstr("found -1 at place 1"));
  EXPECT_THAT(refusal(one_table(1, 10), {10}), HasSubstr("from 0 to 9, found 10"));
  EXPECT_EQ(prepare(one_table(1), {}, 2)->slots().size(), 0u);
}

}  // namespace
}  // namespace trireme::ps

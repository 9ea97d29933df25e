// Long random sequences of all calls, against a std::map that does the same in the obvious way.
#include <cmath>
#include <map>

#include "core/base/philox.h"
#include "tests/ps/table/helpers.h"

namespace trireme::ps {
namespace {

struct ModelRow {
  int64_t version = 0, frequency = 0;
  Floats weight, slots;
  bool operator==(const ModelRow&) const = default;
};
using Rows = std::map<int64_t, ModelRow>;

// What TableShard says that it does, for Adagrad.
class ModelTable {
 public:
  explicit ModelTable(const TableSpec& spec) : spec_(spec) {}

  Floats initial(int64_t key) const {
    Floats weight(dim());
    fill_random(spec_.initializer, static_cast<uint64_t>(key) * dim(), weight);
    return weight;
  }
  Floats weight(int64_t key) const {
    const auto at = rows.find(key);
    return at == rows.end() ? initial(key) : at->second.weight;
  }
  void push(int64_t key, const float* gradient, int64_t step, float lr) {
    auto at = rows.find(key);
    if (at == rows.end()) {
      if (++waiting[key].first < spec_.admission.after) {
        waiting[key].second = step;
        return;
      }
      waiting.erase(key);
      at = rows.insert({key, {0, 0, initial(key), Floats(dim(), 0.5f)}}).first;
    }
    ModelRow& row = at->second;
    row.version = step;
    ++row.frequency;
    for (size_t i = 0; i < dim(); ++i) {
      row.slots[i] += gradient[i] * gradient[i];
      row.weight[i] -= lr * gradient[i] / std::sqrt(row.slots[i] + 0.25f);
    }
  }
  void assign(int64_t key, const ModelRow& row, bool only_absent) {
    if (only_absent && rows.contains(key)) return;
    rows[key] = row;
    waiting.erase(key);
  }
  void erase(int64_t key) {
    rows.erase(key);
    waiting.erase(key);
  }
  int64_t evict(int64_t step, bool on_command) {
    const EvictionPolicy& policy = spec_.eviction;
    const auto before = static_cast<int64_t>(rows.size());
    const bool too_many = before > policy.max_rows;
    std::erase_if(waiting, [&](auto& w) { return w.second.second < step - policy.max_age; });
    std::erase_if(rows, [&](auto& row) {
      return row.second.version < step - policy.max_age ||
             ((too_many || on_command) && row.second.frequency < policy.min_frequency);
    });
    while (static_cast<int64_t>(rows.size()) > policy.max_rows) {
      rows.erase(std::min_element(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
        return std::tuple(a.second.frequency, a.second.version, a.first) <
               std::tuple(b.second.frequency, b.second.version, b.first);
      }));
    }
    return before - static_cast<int64_t>(rows.size());
  }

  Rows rows;
  std::map<int64_t, std::pair<int64_t, int64_t>> waiting;  // sightings, last step

 private:
  size_t dim() const { return static_cast<size_t>(spec_.dim); }
  TableSpec spec_;
};

// Keys that meet in the index now and then, and some that are far away.
int64_t random_key(PhiloxGenerator& random, int64_t space) {
  const auto key = static_cast<int64_t>(random.below(static_cast<uint64_t>(space)));
  return key % 5 == 0 ? key << 40 : key;
}

class TableModelTest : public ::testing::TestWithParam<std::tuple<uint64_t, int64_t>> {
 protected:
  TableModelTest() : random_(std::get<0>(GetParam())), space_(10 << random_.below(8)) {
    spec_ = {.name = "model", .dim = std::get<1>(GetParam())};
    spec_.update = {.op = "ApplyAdagrad",
                    .attributes = {{"epsilon", 0.25}, {"weight_decay", 0.0}},
                    .slot_names = {"accumulator"},
                    .slot_initials = {0.5}};
    spec_.initializer = {.kind = RandomFill::Kind::kUniform, .a = -1, .b = 1, .key = 99};
    spec_.admission.after = static_cast<int64_t>(1 + random_.below(3));
    spec_.eviction = {.max_age = 25, .min_frequency = 2, .max_rows = space_ / 2};
  }

  Keys some_keys() {
    std::map<int64_t, bool> keys;
    const auto n = static_cast<int64_t>(random_.below(static_cast<uint64_t>(space_)));
    for (int64_t i = 0; i < n; ++i) keys[random_key(random_, space_)] = true;
    Keys out;
    for (const auto& [key, unused] : keys) out.push_back(key);
    return out;
  }
  Floats some_floats(size_t rows, float lowest = 1) {
    Floats out(rows * static_cast<size_t>(spec_.dim));
    for (float& x : out) x = static_cast<float>(random_.below(9)) / 4 - lowest;
    return out;
  }

  static Rows rows_of(const std::function<void(const std::function<void(const RowView&)>&)>& each) {
    Rows rows;
    each([&](const RowView& row) {
      rows[row.key] = {row.version,
                       row.frequency,
                       {row.weight.begin(), row.weight.end()},
                       {row.slots.begin(), row.slots.end()}};
    });
    return rows;
  }

  PhiloxGenerator random_;
  int64_t space_;
  TableSpec spec_;
};

TEST_P(TableModelTest, DoesWhatAMapDoes) {
  TableShard shard(spec_, 0, 1);
  ModelTable model(spec_);
  std::unique_ptr<TableShard::Snapshot> snapshot;
  ModelTable at_snapshot(spec_);
  struct List {
    Keys keys;
    Resolution resolution;
  };
  std::vector<List> lists(4);
  int64_t step = 1;
  for (int call = 0; call < 400; ++call) {
    SCOPED_TRACE(::testing::Message() << "call " << call);
    List& list = lists[random_.below(lists.size())];
    if (list.keys.empty() || random_.below(8) == 0) list = {some_keys(), {}};
    Resolution* const resolution = random_.below(3) == 0 ? nullptr : &list.resolution;
    const uint64_t what = random_.below(100);
    if (what < 45) {
      step += static_cast<int64_t>(random_.below(3));
      const Floats gradients = some_floats(list.keys.size());
      const int64_t bound = shard.growth(list.keys, resolution), bytes = shard.bytes();
      shard.push(list.keys, gradients.data(), {.step = step, .learning_rate = 0.5}, resolution);
      EXPECT_LE(shard.bytes(), bytes + bound);
      for (size_t i = 0; i < list.keys.size(); ++i) {
        model.push(list.keys[i], gradients.data() + i * static_cast<size_t>(spec_.dim), step, 0.5f);
      }
    } else if (what < 75) {
      Floats expected;
      for (const int64_t key : list.keys) {
        const Floats weight = model.weight(key);
        expected.insert(expected.end(), weight.begin(), weight.end());
      }
      ASSERT_EQ(pull(shard, list.keys, resolution), expected);
    } else if (what < 82) {
      for (const int64_t key : some_keys()) {
        if (random_.below(4) > 0) continue;
        shard.erase(key);
        model.erase(key);
      }
    } else if (what < 86) {
      const bool only_absent = random_.below(2) == 0;
      for (const int64_t key : some_keys()) {
        if (random_.below(4) > 0) continue;
        const ModelRow row{step, static_cast<int64_t>(random_.below(5)), some_floats(1),
                           some_floats(1, 0)};
        shard.assign({key, row.version, row.frequency, row.weight, row.slots}, only_absent);
        model.assign(key, row, only_absent);
      }
    } else if (what < 91) {
      const bool on_command = random_.below(2) == 0;
      ASSERT_EQ(shard.evict(step, on_command), model.evict(step, on_command));
    } else if (what < 92) {
      shard.clear();
      model.rows.clear();
      model.waiting.clear();
    } else if (snapshot == nullptr) {
      snapshot = shard.open_snapshot();
      at_snapshot = ModelTable(spec_);
      at_snapshot.rows = model.rows;
      at_snapshot.waiting = model.waiting;
    } else if (what < 98) {
      ASSERT_EQ(snapshot->rows(), static_cast<int64_t>(at_snapshot.rows.size()));
      Floats rows(list.keys.size() * static_cast<size_t>(spec_.dim)), expected;
      snapshot->pull(list.keys, rows.data());
      for (const int64_t key : list.keys) {
        const Floats weight = at_snapshot.weight(key);
        expected.insert(expected.end(), weight.begin(), weight.end());
      }
      ASSERT_EQ(rows, expected);
      int64_t last = -1;
      const int64_t since = random_.below(2) == 0 ? -1 : step - 5;
      Rows recent = at_snapshot.rows;
      std::erase_if(recent, [&](auto& row) { return row.second.version <= since; });
      const Rows seen = rows_of([&](const auto& visit) {
        snapshot->for_each(
            [&](const RowView& row) {
              EXPECT_GT(row.key, last);
              last = row.key;
              visit(row);
            },
            since);
      });
      ASSERT_EQ(seen, recent);
      auto next = at_snapshot.waiting.begin();
      snapshot->for_each_waiting([&](const WaitingKey& key) {
        ASSERT_NE(next, at_snapshot.waiting.end());
        EXPECT_EQ(std::tuple(key.key, key.sightings, key.version),
                  std::tuple(next->first, next->second.first, next->second.second));
        ++next;
      });
      EXPECT_EQ(next, at_snapshot.waiting.end());
    } else {
      snapshot.reset();
    }
    ASSERT_EQ(shard.rows(), static_cast<int64_t>(model.rows.size()));
  }
  ASSERT_EQ(rows_of([&](const auto& visit) { shard.for_each(visit); }), model.rows);
  EXPECT_EQ(shard.statistics().waiting, static_cast<int64_t>(model.waiting.size()));
}

INSTANTIATE_TEST_SUITE_P(Seeds, TableModelTest,
                         ::testing::Combine(::testing::Range<uint64_t>(1, 13),
                                            ::testing::Values<int64_t>(1, 2, 130)));

}  // namespace
}  // namespace trireme::ps

#include "ps/client/key_set.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

namespace trireme::ps {
namespace {

struct NumberedKey {
  int64_t key = 0;
  uint32_t number = 0;
};

constexpr size_t kFewKeys = 256;  // a comparing sort is quicker
constexpr int kDigitBits = 11;

// By key; equal ones stay in their order. Digit by digit from the last (LSD radix sort), several
// times as fast as comparing. REQUIRES: no key is negative.
void sort_by_key(std::span<NumberedKey> keys, std::vector<NumberedKey>& room) {
  if (keys.size() < kFewKeys) {
    std::ranges::stable_sort(keys, {}, &NumberedKey::key);
    return;
  }
  constexpr size_t kDigits = size_t{1} << kDigitBits;
  int64_t used = 0;  // bits that any key has
  for (const NumberedKey& key : keys) used |= key.key;
  room.resize(std::max(room.size(), keys.size()));
  std::span<NumberedKey> from = keys, to = std::span(room).first(keys.size());
  for (int shift = 0; shift < 64 && (used >> shift) != 0; shift += kDigitBits) {
    const auto digit = [shift](const NumberedKey& key) {
      return static_cast<size_t>(key.key >> shift) & (kDigits - 1);
    };
    std::array<uint32_t, kDigits> next{};
    for (const NumberedKey& key : from) ++next[digit(key)];
    uint32_t begin = 0;
    for (uint32_t& count : next) begin += std::exchange(count, begin);
    for (const NumberedKey& key : from) to[next[digit(key)]++] = key;
    std::swap(from, to);
  }
  if (from.data() != keys.data()) std::ranges::copy(from, keys.begin());
}

}  // namespace

// Sorts by (virtual shard, key): first into shards by counting, which keeps ascending keys in
// order, then each shard by key where that is still needed.
class KeySetMaker {
 public:
  KeySetMaker(int table, const TableSpec& spec, const ShardMap& shards,
              std::span<const int> slot_of_shard)
      : spec_(spec), shards_(shards), slot_of_shard_(slot_of_shard) {
    set_->table_ = table;
    set_->dim_ = spec.dim;
    set_->slot_of_shard_.assign(slot_of_shard.begin(), slot_of_shard.end());
  }

  std::shared_ptr<const KeySet> make(std::span<const int64_t> keys) {
    check(keys);
    set_->given_ = static_cast<int64_t>(keys.size());
    group(keys);
    const bool unique_and_sorted =
        std::ranges::adjacent_find(keys, std::ranges::greater_equal{}) == keys.end();
    if (!unique_and_sorted) sort_groups();
    place_.resize(keys.size());
    for (int slot = 0; slot < slots(); ++slot) add_slot(slot, unique_and_sorted);
    return set_;
  }

  // Shards of a dense table are ranges of its keys.
  std::shared_ptr<const KeySet> make_full() {
    set_->given_ = spec_.rows;
    std::vector<SlotKeys> parts;
    for (int64_t key = 0; key < spec_.rows; ++key) {
      const int slot = slot_of_shard_[shard_of(key)];
      if (parts.empty() || parts.back().slot != slot) {
        parts.push_back({.slot = slot, .first = key});
      }
      parts.back().keys.push_back(key);
    }
    std::ranges::stable_sort(parts, {}, &SlotKeys::slot);
    // A slot with several ranges, after some moved, names its inputs one by one.
    for (SlotKeys& part : parts) {
      if (set_->slots_.empty() || set_->slots_.back().slot != part.slot) {
        set_->slots_.push_back(std::move(part));
        continue;
      }
      SlotKeys& whole = set_->slots_.back();
      if (whole.is_contiguous()) name_inputs(whole, whole.first, 0);
      name_inputs(part, part.first, whole.keys.size());
      whole.keys.insert(whole.keys.end(), part.keys.begin(), part.keys.end());
      whole.inputs.insert(whole.inputs.end(), part.inputs.begin(), part.inputs.end());
      whole.places.insert(whole.places.end(), part.places.begin(), part.places.end());
    }
    for (SlotKeys& slot : set_->slots_) slot.list_id = key_list_id(set_->table_, slot.keys);
    return set_;
  }

 private:
  static void name_inputs(SlotKeys& part, int64_t first, size_t place) {
    part.inputs.resize(part.keys.size());
    part.places.resize(part.keys.size());
    std::iota(part.inputs.begin(), part.inputs.end(), static_cast<uint32_t>(first));
    std::iota(part.places.begin(), part.places.end(), static_cast<uint32_t>(place));
  }
  size_t shard_of(int64_t key) const {
    return static_cast<size_t>(shards_.shard_of(set_->table_, key));
  }
  int slots() const { return *std::ranges::max_element(slot_of_shard_) + 1; }

  void check(std::span<const int64_t> keys) const {
    if (keys.size() >= std::numeric_limits<uint32_t>::max()) {
      throw invalid_argument("table \"", spec_.name, "\": ", keys.size(),
                             " keys in one batch: expected fewer than 2^32");
    }
    const int64_t limit = spec_.is_dense() ? spec_.rows : std::numeric_limits<int64_t>::max();
    for (size_t i = 0; i < keys.size(); ++i) {
      if (keys[i] >= 0 && keys[i] < limit) continue;
      throw invalid_argument("table \"", spec_.name, "\": expected keys from 0 ",
                             spec_.is_dense() ? str_cat("to ", limit - 1) : "on", ", found ",
                             keys[i], " at place ", i, " of the batch");
    }
  }

  // grouped_: the keys, shard by shard; begin_: where each shard's are.
  void group(std::span<const int64_t> keys) {
    const auto shards = static_cast<size_t>(shards_.shards());
    shard_.resize(keys.size());
    begin_.assign(shards + 1, 0);
    for (size_t i = 0; i < keys.size(); ++i) {
      shard_[i] = static_cast<uint16_t>(shard_of(keys[i]));
      ++begin_[shard_[i] + size_t{1}];
    }
    std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
    std::vector<size_t> next(begin_.begin(), begin_.end() - 1);
    grouped_.resize(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      grouped_[next[shard_[i]]++] = {keys[i], static_cast<uint32_t>(i)};
    }
  }

  void sort_groups() {
    std::vector<NumberedKey> room;
    for (size_t s = 0; s + 1 < begin_.size(); ++s) {
      sort_by_key(std::span(grouped_).subspan(begin_[s], begin_[s + 1] - begin_[s]), room);
    }
  }

  void add_slot(int slot, bool unique_and_sorted) {
    size_t given = 0;
    for (size_t s = 0; s < slot_of_shard_.size(); ++s) {
      if (slot_of_shard_[s] == slot) given += begin_[s + 1] - begin_[s];
    }
    if (given == 0) return;
    SlotKeys part{.slot = slot};
    part.keys.reserve(given);
    for (size_t s = 0; s < slot_of_shard_.size(); ++s) {
      if (slot_of_shard_[s] != slot) continue;
      for (size_t j = begin_[s]; j < begin_[s + 1]; ++j) {
        const auto [key, number] = grouped_[j];
        const bool repeated = j > begin_[s] && part.keys.back() == key;
        part.has_repeats |= repeated;
        if (!repeated) part.keys.push_back(key);
        place_[number] = static_cast<uint32_t>(part.keys.size() - 1);
      }
    }
    part.list_id = key_list_id(set_->table_, part.keys);
    fill_places(part, given, unique_and_sorted);
    set_->slots_.push_back(std::move(part));
  }

  // In the order of what was given: both sides are then read and written nearly in order.
  void fill_places(SlotKeys& part, size_t given, bool unique_and_sorted) {
    const bool all = given == place_.size();
    part.places.reserve(given);
    if (!all) part.inputs.reserve(given);
    for (size_t i = 0; i < place_.size(); ++i) {
      if (!all && slot_of_shard_[shard_[i]] != part.slot) continue;
      part.places.push_back(place_[i]);
      if (!all) part.inputs.push_back(static_cast<uint32_t>(i));
    }
    // Already as they are sent: a dense table's, or few.
    const auto in_order = [](const std::vector<uint32_t>& numbers) {
      return std::ranges::adjacent_find(
                 numbers, [](uint32_t a, uint32_t b) { return a + 1 != b; }) == numbers.end();
    };
    if (!unique_and_sorted || !in_order(part.places) || !in_order(part.inputs)) return;
    part.first = all ? 0 : part.inputs.front();
    part.places.clear();
    part.inputs.clear();
  }

  const TableSpec& spec_;
  const ShardMap& shards_;
  const std::span<const int> slot_of_shard_;
  const std::shared_ptr<KeySet> set_ = std::make_shared<KeySet>();
  std::vector<size_t> begin_;
  std::vector<NumberedKey> grouped_;
  std::vector<uint16_t> shard_;  // by number of the key
  std::vector<uint32_t> place_;  // the same: where its row is among its slot's
};

void KeySet::gather(const SlotKeys& slot, const float* rows, float* gathered) const {
  const auto dim = static_cast<size_t>(dim_);
  if (slot.is_contiguous()) {
    std::copy_n(rows + static_cast<size_t>(slot.first) * dim, slot.keys.size() * dim, gathered);
    return;
  }
  if (slot.has_repeats) std::fill_n(gathered, slot.keys.size() * dim, 0.0F);
  for (size_t j = 0; j < slot.places.size(); ++j) {
    const float* const from = rows + (slot.inputs.empty() ? j : slot.inputs[j]) * dim;
    float* const to = gathered + slot.places[j] * dim;
    if (slot.has_repeats) {
      for (size_t k = 0; k < dim; ++k) to[k] += from[k];
    } else {
      std::copy_n(from, dim, to);
    }
  }
}

void KeySet::scatter(const SlotKeys& slot, const float* gathered, float* rows) const {
  const auto dim = static_cast<size_t>(dim_);
  if (slot.is_contiguous()) {
    std::copy_n(gathered, slot.keys.size() * dim, rows + static_cast<size_t>(slot.first) * dim);
    return;
  }
  for (size_t j = 0; j < slot.places.size(); ++j) {
    const size_t input = slot.inputs.empty() ? j : slot.inputs[j];
    std::copy_n(gathered + slot.places[j] * dim, dim, rows + input * dim);
  }
}

std::shared_ptr<const KeySet> make_key_set(int table, const TableSpec& spec,
                                           std::span<const int64_t> keys, const ShardMap& shards,
                                           std::span<const int> slot_of_shard) {
  return KeySetMaker(table, spec, shards, slot_of_shard).make(keys);
}

std::shared_ptr<const KeySet> split_anew(const KeySet& set, const TableSpec& spec,
                                         const ShardMap& shards,
                                         std::span<const int> slot_of_shard) {
  std::vector<int64_t> given(static_cast<size_t>(set.given()));
  for (const SlotKeys& slot : set.slots()) {
    if (slot.is_contiguous()) {
      std::ranges::copy(slot.keys, given.begin() + slot.first);
      continue;
    }
    for (size_t j = 0; j < slot.places.size(); ++j) {
      given[slot.inputs.empty() ? j : slot.inputs[j]] = slot.keys[slot.places[j]];
    }
  }
  return make_key_set(set.table(), spec, given, shards, slot_of_shard);
}

SlotKeys keys_in(const SlotKeys& keys, int table, const ShardMap& shards, const ShardSet& wanted,
                 std::vector<uint32_t>& kept) {
  constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
  SlotKeys some{.slot = keys.slot, .has_repeats = keys.has_repeats};
  std::vector<uint32_t> place(keys.keys.size(), kNone);
  kept.clear();
  for (size_t i = 0; i < keys.keys.size(); ++i) {
    if (!wanted[static_cast<size_t>(shards.shard_of(table, keys.keys[i]))]) continue;
    place[i] = static_cast<uint32_t>(some.keys.size());
    some.keys.push_back(keys.keys[i]);
    kept.push_back(static_cast<uint32_t>(i));
  }
  some.list_id = key_list_id(table, some.keys);
  const size_t rows = keys.is_contiguous() ? keys.keys.size() : keys.places.size();
  for (size_t j = 0; j < rows; ++j) {
    const uint32_t at = place[keys.is_contiguous() ? j : keys.places[j]];
    if (at == kNone) continue;
    const size_t input = keys.is_contiguous()  ? static_cast<size_t>(keys.first) + j
                         : keys.inputs.empty() ? j
                                               : keys.inputs[j];
    some.inputs.push_back(static_cast<uint32_t>(input));
    some.places.push_back(at);
  }
  return some;
}

std::shared_ptr<const KeySet> make_full_key_set(int table, const TableSpec& spec,
                                                const ShardMap& shards,
                                                std::span<const int> slot_of_shard) {
  return KeySetMaker(table, spec, shards, slot_of_shard).make_full();
}

}  // namespace trireme::ps

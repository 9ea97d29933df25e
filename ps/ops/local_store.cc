#include "ps/ops/local_store.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace trireme::ps {
namespace {

std::vector<int64_t> all_keys(const TableSpec& spec) {
  std::vector<int64_t> keys(static_cast<size_t>(spec.rows));
  std::iota(keys.begin(), keys.end(), 0);
  return keys;
}

}  // namespace

LocalStore::LocalStore(std::vector<TableSpec> tables) : specs_(std::move(tables)) {
  for (const TableSpec& spec : specs_) tables_.push_back(std::make_unique<TableShard>(spec, 0, 1));
}

void LocalStore::pull(int64_t, std::span<const TableRows<float>> rows) {
  for (const TableRows<float>& wanted : rows) {
    const TableSpec& spec = specs_[static_cast<size_t>(wanted.table)];
    if (!spec.is_dense()) {
      table(wanted.table).pull(wanted.keys, wanted.rows);
      continue;
    }
    std::vector<float> padded(static_cast<size_t>(spec.rows * spec.dim));
    table(wanted.table).pull(all_keys(spec), padded.data());
    std::copy_n(padded.begin(), spec.elements, wanted.rows);
  }
}

void LocalStore::push(int64_t step, int, int, double learning_rate,
                      std::span<const TableRows<const float>> gradients) {
  std::map<int, std::map<int64_t, std::vector<float>>> sums;  // by table and key
  for (const TableRows<const float>& given : gradients) {
    const TableSpec& spec = specs_[static_cast<size_t>(given.table)];
    auto& rows = sums[given.table];
    const auto add = [&](int64_t key, const float* from, int64_t count) {
      std::vector<float>& sum = rows[key];
      sum.resize(static_cast<size_t>(spec.dim));
      for (int64_t i = 0; i < count; ++i) sum[static_cast<size_t>(i)] += from[i];
    };
    for (int64_t row = 0; row < spec.rows; ++row) {
      add(row, given.rows + row * spec.dim, std::min(spec.dim, spec.elements - row * spec.dim));
    }
    for (size_t i = 0; i < given.keys.size(); ++i) {
      add(given.keys[i], given.rows + static_cast<int64_t>(i) * spec.dim, spec.dim);
    }
  }
  for (const auto& [index, by_key] : sums) {
    std::vector<int64_t> keys;
    std::vector<float> rows;
    for (const auto& [key, sum] : by_key) {
      keys.push_back(key);
      rows.insert(rows.end(), sum.begin(), sum.end());
    }
    table(index).push(keys, rows.data(), {.step = step, .learning_rate = learning_rate});
  }
}

void LocalStore::assign(int index, std::span<const float> values) {
  const TableSpec& spec = specs_[static_cast<size_t>(index)];
  TRIREME_CHECK(spec.elements == static_cast<int64_t>(values.size()), "values of \"", spec.name,
                "\"");
  std::vector<float> padded(values.begin(), values.end());
  padded.resize(static_cast<size_t>(spec.rows * spec.dim));
  for (int64_t row = 0; row < spec.rows; ++row) {
    const std::span<const float> weight(padded.data() + row * spec.dim,
                                        static_cast<size_t>(spec.dim));
    table(index).assign({.key = row, .weight = weight, .slots = {}});
  }
}

}  // namespace trireme::ps

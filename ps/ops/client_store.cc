#include "ps/ops/client_store.h"

#include <algorithm>

namespace trireme::ps {
namespace {

bool is_padded(const TableSpec& spec) { return spec.rows * spec.dim != spec.elements; }

}  // namespace

ClientStore::ClientStore(std::shared_ptr<PsClient> client, int64_t pushed)
    : client_(std::move(client)), pushed_(pushed), dense_(client_->tables().size()) {}

template <typename Call>
void ClientStore::guarded(Call call) {
  try {
    call();
  } catch (const Error& error) {
    if (!fault_) fault_ = error;
    throw;
  }
}

std::shared_ptr<const KeySet> ClientStore::key_set(int table, std::span<const int64_t> keys) {
  const auto found = std::ranges::find_if(prepared_, [&](const Prepared& prepared) {
    return prepared.table == table && std::ranges::equal(prepared.keys, keys);
  });
  if (found != prepared_.end()) return found->set;
  prepared_.push_back({table, {keys.begin(), keys.end()}, client_->prepare(table, keys)});
  return prepared_.back().set;
}

ClientStore::Dense& ClientStore::dense(int table) {
  Dense& dense = dense_[static_cast<size_t>(table)];
  if (dense.keys) return dense;
  dense.keys = client_->all_keys(table);
  const TableSpec& spec = tables()[static_cast<size_t>(table)];
  if (is_padded(spec)) dense.padded.assign(static_cast<size_t>(spec.rows * spec.dim), 0.0F);
  return dense;
}

void ClientStore::pull(int64_t step, std::span<const TableRows<float>> rows) {
  // Lists of what is only read do not come again in a push.
  if (step == 0 || step != step_) prepared_.clear();
  step_ = step;
  guarded([&] {
    pulled_.clear();
    targets_.clear();
    for (const TableRows<float>& wanted : rows) {
      if (tables()[static_cast<size_t>(wanted.table)].is_dense()) {
        Dense& all = dense(wanted.table);
        pulled_.push_back({wanted.table, all.keys});
        targets_.push_back(all.padded.empty() ? wanted.rows : all.padded.data());
      } else {
        pulled_.push_back({wanted.table, key_set(wanted.table, wanted.keys)});
        targets_.push_back(wanted.rows);
      }
    }
    client_->pull(step == 0 ? pushed_ + 1 : step, pulled_, targets_);
    for (const TableRows<float>& wanted : rows) {
      const TableSpec& spec = tables()[static_cast<size_t>(wanted.table)];
      if (!spec.is_dense() || !is_padded(spec)) continue;
      std::copy_n(dense(wanted.table).padded.begin(), spec.elements, wanted.rows);
    }
  });
}

void ClientStore::push(int64_t step, int part, int parts, double learning_rate,
                       std::span<const TableRows<const float>> gradients) {
  guarded([&] {
    pushed_rows_.clear();
    for (const TableRows<const float>& given : gradients) {
      const TableSpec& spec = tables()[static_cast<size_t>(given.table)];
      if (!spec.is_dense()) {
        pushed_rows_.push_back({given.table, key_set(given.table, given.keys), given.rows});
        continue;
      }
      Dense& all = dense(given.table);
      const float* from = given.rows;
      if (is_padded(spec)) {
        // What was pulled into the padding is the server's zeros.
        std::copy_n(given.rows, spec.elements, all.padded.begin());
        std::fill(all.padded.begin() + spec.elements, all.padded.end(), 0.0F);
        from = all.padded.data();
      }
      pushed_rows_.push_back({given.table, all.keys, from});
    }
    client_->push(step, part, parts, learning_rate, pushed_rows_);
  });
  if (part + 1 == parts) pushed_ = std::max(pushed_, step);
}

}  // namespace trireme::ps

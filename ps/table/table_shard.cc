#include "ps/table/table_shard.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "core/base/error.h"
#include "ps/table/admission.h"
#include "ps/table/eviction.h"
#include "ps/table/initial_row.h"
#include "ps/table/prefetch.h"
#include "ps/table/row_table.h"
#include "ps/table/row_update.h"
#include "ps/table/table_snapshot.h"

namespace trireme::ps {
namespace {

// Keys that are worked on together: found, then copied or changed while they are in the cache.
constexpr size_t kBlock = 64;

// Different for each shard of the process: a Resolution of a shard that was here before is stale.
uint64_t next_epoch() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

class TableShard::Impl {
 public:
  Impl(const TableSpec& spec, int count)
      : spec_(spec),
        dim_(static_cast<size_t>(spec.dim)),
        most_rows_(spec.is_dense() ? 0 : (spec.eviction.max_rows + count - 1) / count),
        update_(make_row_update(spec)),
        admission_(spec),
        table_(spec.dim * (1 + spec.slots())) {}

  // For each block of keys, in order: finds their rows, kNoRow for keys that have none; calls
  // resolve(keys, rows), which may find more of them or make them; and work(begin, rows).
  template <typename Resolve, typename Work>
  void for_each_block(std::span<const int64_t> keys, Resolution* resolution, Resolve resolve,
                      Work work) const {
    const bool known = is_good(keys, resolution);
    if (resolution != nullptr && !known) {
      resolution->rows.resize(keys.size());
      resolution->epoch = 0;  // until all of them are known
    }
    std::array<uint32_t, kBlock> block;
    for (size_t begin = 0; begin < keys.size(); begin += kBlock) {
      const size_t n = std::min(kBlock, keys.size() - begin);
      uint32_t* const rows = resolution != nullptr ? resolution->rows.data() + begin : block.data();
      if (!known) table_.find(keys.subspan(begin, n), rows);
      resolve(keys.subspan(begin, n), rows);
      work(begin, std::span<const uint32_t>(rows, n));
    }
    if (resolution != nullptr) resolution->epoch = epoch_;
  }

  bool is_good(std::span<const int64_t> keys, const Resolution* resolution) const {
    return resolution != nullptr && resolution->epoch == epoch_ &&
           resolution->rows.size() == keys.size();
  }

  void pull(std::span<const int64_t> keys, float* out, Resolution* resolution) const {
    const bool known = is_good(keys, resolution);
    const auto resolve = [&](std::span<const int64_t> some, uint32_t* rows) {
      if (!known) return;
      // It had no row when the list was resolved; that may have changed since.
      for (size_t i = 0; i < some.size(); ++i) {
        if (rows[i] == kNoRow) rows[i] = table_.find(some[i]);
      }
    };
    for_each_block(keys, resolution, resolve, [&](size_t begin, std::span<const uint32_t> rows) {
      copy_rows(keys.subspan(begin), rows, out + begin * dim_);
    });
  }

  int64_t push(std::span<const int64_t> keys, const float* gradients, const PushContext& context,
               Resolution* resolution) {
    const bool has_cut = table_.store().has_cut();
    admission_.waiting().store().has_cut();
    int64_t refused = 0;
    const auto resolve = [&](std::span<const int64_t> some, uint32_t* rows) {
      for (size_t i = 0; i < some.size(); ++i) {
        if (rows[i] != kNoRow) continue;
        rows[i] = table_.find(some[i]);  // it may have come since the list was resolved
        if (rows[i] != kNoRow) continue;
        if (admission_.admit(some[i], context.step)) {
          rows[i] = add_row(some[i]);
        } else {
          ++refused;
        }
      }
    };
    for_each_block(keys, resolution, resolve, [&](size_t begin, std::span<const uint32_t> rows) {
      if (has_cut) {
        for (const uint32_t row : rows) {
          if (row != kNoRow) table_.store().before_write(row);
        }
      }
      update_->apply(table_.store(), rows, gradients + begin * dim_, context);
    });
    return refused;
  }

  int64_t growth(std::span<const int64_t> keys, const Resolution* resolution) const {
    const auto n = static_cast<int64_t>(keys.size());
    const auto bound = [&](int64_t more) {
      int64_t bytes = table_.growth(more, n - more);
      if (!admission_.admits_all()) bytes += admission_.waiting().growth(more, n - more);
      return bytes;
    };
    if (bound(n) == 0) return 0;
    int64_t absent = 0;
    if (is_good(keys, resolution)) {
      absent = std::count(resolution->rows.begin(), resolution->rows.end(), kNoRow);
    } else {
      std::array<uint32_t, kBlock> rows;
      for (size_t begin = 0; begin < keys.size(); begin += kBlock) {
        const size_t count = std::min(kBlock, keys.size() - begin);
        table_.find(keys.subspan(begin, count), rows.data());
        absent +=
            std::count(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(count), kNoRow);
      }
    }
    return bound(absent);
  }

  void assign(const RowView& view, bool only_absent) {
    const size_t slots = dim_ * static_cast<size_t>(spec_.slots());
    if (view.weight.size() != dim_ || (!view.slots.empty() && view.slots.size() != slots)) {
      throw invalid_argument("table \"", spec_.name, "\", row ", view.key, ": expected ", dim_,
                             " elements and ", slots, " of slots, found ", view.weight.size(),
                             " and ", view.slots.size());
    }
    table_.store().has_cut();
    admission_.waiting().store().has_cut();
    uint32_t row = table_.find(view.key);
    if (row == kNoRow) {
      row = table_.add(view.key);
      admission_.forget(view.key);
    } else if (only_absent) {
      return;
    } else {
      table_.store().before_write(row);
    }
    table_.store().header(row) = {view.key, view.version, view.frequency};
    float* const values = table_.store().values(row);
    std::copy(view.weight.begin(), view.weight.end(), values);
    if (view.slots.empty()) {
      fill_slots(spec_, values + dim_);
    } else {
      std::copy(view.slots.begin(), view.slots.end(), values + dim_);
    }
  }

  void assign_waiting(const WaitingKey& waiting) {
    RowTable& table = admission_.waiting();
    table.store().has_cut();
    uint32_t row = table.find(waiting.key);
    if (row == kNoRow) {
      row = table.add(waiting.key);
    } else {
      table.store().before_write(row);
    }
    table.store().header(row) = {waiting.key, waiting.version, waiting.sightings};
  }

  void erase(int64_t key) {
    table_.store().has_cut();
    admission_.waiting().store().has_cut();
    admission_.forget(key);
    const uint32_t row = table_.find(key);
    if (row == kNoRow) return;
    table_.remove(row);
    epoch_ = next_epoch();
  }

  void clear() {
    // An open snapshot keeps the old rows.
    table_.clear();
    admission_.waiting().clear();
    epoch_ = next_epoch();
  }

  int64_t evict(int64_t step, bool on_command) {
    if (spec_.is_dense()) return 0;
    RowTable& waiting = admission_.waiting();
    waiting.store().has_cut();
    table_.store().has_cut();
    if (const int64_t age = spec_.eviction.max_age; age > 0) {
      waiting.for_each([&](uint32_t row) {
        if (waiting.store().header(row).version < step - age) waiting.remove(row);
      });
    }
    const auto gone = rows_to_evict(table_, spec_.eviction, most_rows_, step, on_command);
    for (const uint32_t row : gone) table_.remove(row);
    if (!gone.empty()) epoch_ = next_epoch();
    evicted_ += static_cast<int64_t>(gone.size());
    return static_cast<int64_t>(gone.size());
  }

  std::unique_ptr<Snapshot> open_snapshot() {
    return make_snapshot(spec_, table_.open_cut(), admission_.waiting().open_cut());
  }

  void for_each(const std::function<void(const RowView&)>& visit) const {
    table_.for_each([&](uint32_t row) { visit(view_of(spec_, table_.store().at(row))); });
  }

  void for_each_waiting(const std::function<void(const WaitingKey&)>& visit) const {
    const RowTable& waiting = admission_.waiting();
    waiting.for_each([&](uint32_t row) {
      const RowHeader& header = *reinterpret_cast<const RowHeader*>(waiting.store().at(row));
      visit({header.key, header.version, header.frequency});
    });
  }

  ShardStatistics statistics() const {
    ShardStatistics out{.rows = table_.rows(),
                        .bytes = bytes(),
                        .waiting = admission_.waiting().rows(),
                        .evicted = evicted_};
    out.oldest = INT64_MAX;
    for_each([&](const RowView& row) {
      out.oldest = std::min(out.oldest, row.version);
      for (const float w : row.weight) out.squares += double{w} * double{w};
    });
    if (out.rows == 0) out.oldest = 0;
    return out;
  }

  int64_t rows() const { return table_.rows(); }
  int64_t bytes() const { return table_.bytes() + admission_.waiting().bytes(); }
  const TableSpec& spec() const { return spec_; }

 private:
  uint32_t add_row(int64_t key) {
    const uint32_t row = table_.add(key);
    float* const values = table_.store().values(row);
    fill_weight(spec_, key, values);
    fill_slots(spec_, values + dim_);
    return row;
  }

  void copy_rows(std::span<const int64_t> keys, std::span<const uint32_t> rows, float* out) const {
    const RowStore& store = table_.store();
    const size_t bytes = sizeof(RowHeader) + dim_ * sizeof(float);
    for (size_t i = 0; i < rows.size(); ++i) {
      if (i + kRowsAhead < rows.size() && rows[i + kRowsAhead] != kNoRow) {
        prefetch_row(store.at(rows[i + kRowsAhead]), bytes);
      }
      if (rows[i] == kNoRow) {
        fill_weight(spec_, keys[i], out + i * dim_);
      } else if (dim_ == 1) {
        out[i] = *store.values(rows[i]);
      } else {
        std::memcpy(out + i * dim_, store.values(rows[i]), dim_ * sizeof(float));
      }
    }
  }

  const TableSpec spec_;
  const size_t dim_;
  const int64_t most_rows_;
  const std::unique_ptr<const RowUpdate> update_;
  Admission admission_;
  RowTable table_;
  uint64_t epoch_ = next_epoch();
  int64_t evicted_ = 0;
};

TableShard::TableShard(const TableSpec& spec, int index, int count) {
  TRIREME_CHECK(spec.dim > 0 && 0 <= index && index < count, "shard ", index, " of ", count);
  impl_ = std::make_unique<Impl>(spec, count);
}
TableShard::~TableShard() = default;

void TableShard::pull(std::span<const int64_t> keys, float* rows, Resolution* resolution) const {
  impl_->pull(keys, rows, resolution);
}
int64_t TableShard::push(std::span<const int64_t> keys, const float* gradients,
                         const PushContext& context, Resolution* resolution) {
  return impl_->push(keys, gradients, context, resolution);
}
int64_t TableShard::growth(std::span<const int64_t> keys, const Resolution* resolution) const {
  return impl_->growth(keys, resolution);
}
void TableShard::assign(const RowView& row, bool only_absent) { impl_->assign(row, only_absent); }
void TableShard::assign_waiting(const WaitingKey& key) { impl_->assign_waiting(key); }
void TableShard::erase(int64_t key) { impl_->erase(key); }
void TableShard::clear() { impl_->clear(); }
int64_t TableShard::evict(int64_t step, bool on_command) { return impl_->evict(step, on_command); }
std::unique_ptr<TableShard::Snapshot> TableShard::open_snapshot() { return impl_->open_snapshot(); }
void TableShard::for_each(const std::function<void(const RowView&)>& visit) const {
  impl_->for_each(visit);
}
void TableShard::for_each_waiting(const std::function<void(const WaitingKey&)>& visit) const {
  impl_->for_each_waiting(visit);
}
ShardStatistics TableShard::statistics() const { return impl_->statistics(); }
int64_t TableShard::rows() const { return impl_->rows(); }
int64_t TableShard::bytes() const { return impl_->bytes(); }
const TableSpec& TableShard::spec() const { return impl_->spec(); }

}  // namespace trireme::ps

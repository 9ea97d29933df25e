#include "ps/table/table_snapshot.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "ps/table/initial_row.h"

namespace trireme::ps {
namespace {

using Entry = RowCut::Entry;

// How many rows are read while the owner may have to wait: some microseconds.
size_t rows_at_once(size_t row_bytes) {
  return std::clamp<size_t>((size_t{16} << 10) / row_bytes, 1, 64);
}

// Calls visit(row) for the rows of `entries`, in their order.
template <typename Visit>
void read_all(const RowCut& cut, std::span<const Entry> entries, int64_t changed_since,
              Visit visit) {
  const size_t at_once = rows_at_once(cut.row_bytes());
  const std::unique_ptr<std::byte[]> buffer(new std::byte[at_once * cut.row_bytes()]);
  for (size_t begin = 0; begin < entries.size(); begin += at_once) {
    const auto some = entries.subspan(begin, std::min(at_once, entries.size() - begin));
    const size_t copied = cut.read(some, changed_since, buffer.get());
    for (size_t i = 0; i < copied; ++i) visit(buffer.get() + i * cut.row_bytes());
  }
}

class TableSnapshot final : public TableShard::Snapshot {
 public:
  TableSnapshot(const TableSpec& spec, std::shared_ptr<RowCut> rows,
                std::shared_ptr<RowCut> waiting)
      : spec_(spec), cut_(std::move(rows)), waiting_(std::move(waiting)) {}

  void pull(std::span<const int64_t> keys, float* rows) const override {
    const std::vector<Entry>& entries = sorted();
    const auto dim = static_cast<size_t>(spec_.dim);
    std::vector<Entry> found;
    std::vector<size_t> places;
    // Keys mostly come in order: each is looked for behind the one before.
    auto from = entries.begin();
    for (size_t i = 0; i < keys.size(); ++i) {
      if (i > 0 && keys[i] < keys[i - 1]) from = entries.begin();
      from = std::lower_bound(from, entries.end(), keys[i],
                              [](const Entry& entry, int64_t key) { return entry.key < key; });
      if (from != entries.end() && from->key == keys[i]) {
        found.push_back(*from);
        places.push_back(i);
      } else {
        fill_weight(spec_, keys[i], rows + i * dim);
      }
    }
    auto place = places.begin();
    read_all(*cut_, found, INT64_MIN, [&](const std::byte* row) {
      std::memcpy(rows + *place++ * dim, row + sizeof(RowHeader), dim * sizeof(float));
    });
  }

  void for_each(const std::function<void(const RowView&)>& visit,
                int64_t changed_since) const override {
    read_all(*cut_, sorted(), changed_since,
             [&](const std::byte* row) { visit(view_of(spec_, row)); });
  }

  int64_t rows() const override { return cut_->rows(); }

  void for_each_waiting(const std::function<void(const WaitingKey&)>& visit) const override {
    read_all(*waiting_, waiting_->sorted(), INT64_MIN, [&](const std::byte* row) {
      const RowHeader& header = *reinterpret_cast<const RowHeader*>(row);
      visit({header.key, header.version, header.frequency});
    });
  }

 private:
  // Made when it is first asked for: not by the owner's thread, which opened the snapshot.
  const std::vector<Entry>& sorted() const {
    std::call_once(once_, [this] { sorted_ = cut_->sorted(); });
    return sorted_;
  }

  const TableSpec spec_;
  const std::shared_ptr<RowCut> cut_, waiting_;
  mutable std::once_flag once_;
  mutable std::vector<Entry> sorted_;
};

}  // namespace

RowView view_of(const TableSpec& spec, const std::byte* row) {
  const RowHeader& header = *reinterpret_cast<const RowHeader*>(row);
  const auto* values = reinterpret_cast<const float*>(row + sizeof(RowHeader));
  const auto dim = static_cast<size_t>(spec.dim);
  return {.key = header.key,
          .version = header.version,
          .frequency = header.frequency,
          .weight = {values, dim},
          .slots = {values + dim, dim * static_cast<size_t>(spec.slots())}};
}

std::unique_ptr<TableShard::Snapshot> make_snapshot(const TableSpec& spec,
                                                    std::shared_ptr<RowCut> rows,
                                                    std::shared_ptr<RowCut> waiting) {
  return std::make_unique<TableSnapshot>(spec, std::move(rows), std::move(waiting));
}

}  // namespace trireme::ps

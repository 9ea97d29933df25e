// Whole rows, slots and all, as they go to a new backup or come from a checkpoint: flat arrays
//   count | keys i64[count] | versions i64[count] | frequencies i64[count] | f32[count, width]
// where width is the table's dim times one and its slots.
//
// RowBatch: one thread.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "ps/protocol/rpc.h"
#include "ps/table/table_shard.h"

namespace trireme::ps {

class RowBatch {
 public:
  explicit RowBatch(const TableSpec& spec)
      : width_(static_cast<size_t>(spec.dim) * static_cast<size_t>(1 + spec.slots())) {}

  void add(const RowView& row);
  size_t bytes() const { return keys_.size() * (3 * sizeof(int64_t) + width_ * sizeof(float)); }
  bool empty() const { return keys_.empty(); }
  Message take();  // and begins anew

 private:
  const size_t width_;
  std::vector<int64_t> keys_, versions_, frequencies_;
  std::vector<float> values_;
};

// REQUIRES (else Error{kInvalidArgument}): `body` is a batch of rows of this table.
void for_each_row(const Message& body, const TableSpec& spec,
                  const std::function<void(const RowView&)>& visit);

Message bytes_of(std::span<const WaitingKey> keys);
// REQUIRES (else Error{kInvalidArgument}): a whole number of them.
std::span<const WaitingKey> waiting_keys_of(const Message& body);

// A batch is about this long.
inline constexpr size_t kBatchBytes = size_t{2} << 20;

}  // namespace trireme::ps

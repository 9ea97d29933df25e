// Applies gradients to rows: finds the rule of an Apply… op once, and then works through the rows
// of a push without asking again.
//
// Immutable; any thread.
#pragma once

#include <memory>
#include <span>

#include "ps/table/row_store.h"
#include "ps/table/table_shard.h"

namespace trireme::ps {

class RowUpdate {
 public:
  virtual ~RowUpdate() = default;
  // `gradients`: [rows, dim]; rows that are kNoRow are left out. Counts and dates the others.
  virtual void apply(const RowStore& store, std::span<const uint32_t> rows, const float* gradients,
                     const PushContext& context) const = 0;
};

// Throws Error{kInvalidArgument} when the op is unknown, its attributes are not there, or the
// table's slots are not those that it has.
std::unique_ptr<const RowUpdate> make_row_update(const TableSpec& spec);

}  // namespace trireme::ps

// A push as it came: its rows stay in the received message until they are applied.
#pragma once

#include <memory>
#include <vector>

#include "ps/protocol/wire.h"
#include "ps/server/key_cache.h"
#include "ps/server/memory_budget.h"

namespace trireme::ps {

struct Push {
  RequestHeader header;
  Message message;
  struct Section {
    std::shared_ptr<const ResolvedList> list;
    const std::byte* rows = nullptr;  // in `message`
    bool has_keys = false;            // there, too

    // Of the rows of a range.
    std::span<const std::byte> rows_of(const ResolvedList::Range& range, RowType type,
                                       int64_t dim) const {
      const size_t each = row_bytes(type, dim);
      return {rows + static_cast<size_t>(range.begin) * each, range.count() * each};
    }
  };
  std::vector<Section> sections;  // those with keys
  MemoryBudget::Reservation memory;
};

}  // namespace trireme::ps

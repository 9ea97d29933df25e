// The first values of a row of a table. Immutable; any thread.
#pragma once

#include <algorithm>
#include <span>

#include "ps/table/table_spec.h"

namespace trireme::ps {

inline void fill_weight(const TableSpec& spec, int64_t key, float* weight) {
  // Modulo 2^64, as it comes: large keys of wide tables begin again.
  const uint64_t first = static_cast<uint64_t>(key) * static_cast<uint64_t>(spec.dim);
  fill_random(spec.initializer, first, {weight, static_cast<size_t>(spec.dim)});
}

// `slots`: [slots, dim].
inline void fill_slots(const TableSpec& spec, float* slots) {
  for (size_t k = 0; k < spec.update.slot_names.size(); ++k) {
    const auto& initials = spec.update.slot_initials;
    const double value = k < initials.size() ? initials[k] : 0;
    slots = std::fill_n(slots, spec.dim, static_cast<float>(value));
  }
}

}  // namespace trireme::ps

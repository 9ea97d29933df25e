// What all tasks know of a table of parameters: a sparse one, whose rows exist as keys are seen, or
// a dense variable, which is a table too: cut into rows of `dim` elements with the keys 0, 1, ….
//
// Plain values. The order of a job's tables is the same on every task; a table is meant by its
// index.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/random_fill.h"
#include "core/graph/attributes.h"

namespace trireme {
class OpTable;
}

namespace trireme::ps {

// The op of an update rule (core/rules), dense and without guard, that changes a row. "AssignAdd":
// the sum of all that is pushed.
struct UpdateSpec {
  std::string op = "AssignAdd";
  Attributes attributes;
  std::vector<std::string> slot_names;  // "m"
  std::vector<double> slot_initials;    // of each element
  // Where the op stands; null: Trireme's own.
  std::shared_ptr<const OpTable> ops = nullptr;
};

// The first value of row `key`: the elements key·dim, key·dim + 1, … of the fill, so that a table
// starts with the values that a variable of one process would have.
using RowInitializer = RandomFill;

// Which keys get a row. A key that has none is pulled as its initial value, and what is pushed to
// it is dropped.
struct AdmissionPolicy {
  int64_t after = 1;       // sightings (pushes that name the key)
  double probability = 1;  // of each sighting, by a hash of key and sighting
};

// Which rows go. 0: not for this reason.
struct EvictionPolicy {
  int64_t max_age = 0;        // steps since the last push
  int64_t min_frequency = 0;  // pushes; looked at when max_rows is exceeded or on command
  int64_t max_rows = 0;       // of the whole table, shared evenly by its shards
};

struct TableSpec {
  std::string name;  // "embedding", or the variable's: "dense/kernel"
  int64_t dim = 1;
  // Dense: keys 0 … rows − 1, of which `elements` elements count. 0: sparse, any key from 0 on.
  int64_t rows = 0;
  int64_t elements = 0;
  UpdateSpec update;
  RowInitializer initializer;
  AdmissionPolicy admission;
  EvictionPolicy eviction;

  bool is_dense() const { return rows > 0; }
  int slots() const { return static_cast<int>(update.slot_names.size()); }
};

}  // namespace trireme::ps

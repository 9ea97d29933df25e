// Counts how often keys without a row were seen, and says when one gets its row.
//
// What it says depends on the key and its sightings only, so that replicas agree. One thread, as
// RowTable.
#pragma once

#include <cstdint>

#include "ps/table/row_table.h"
#include "ps/table/table_spec.h"

namespace trireme::ps {

class Admission {
 public:
  explicit Admission(const TableSpec& spec);

  // Whether there is anything to count.
  bool admits_all() const { return after_ <= 1 && probability_ >= 1; }
  // One more sighting of a key that has no row. Admitted, it is forgotten here.
  bool admit(int64_t key, int64_t step);
  void forget(int64_t key);

  // The keys that wait: frequency is the number of sightings, version the step of the last.
  RowTable& waiting() { return waiting_; }
  const RowTable& waiting() const { return waiting_; }

 private:
  int64_t after_;
  double probability_;
  uint64_t random_key_;
  RowTable waiting_{0};
};

}  // namespace trireme::ps

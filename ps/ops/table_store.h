// Where a training's tables are kept, as the kernels of this process see it: on parameter servers,
// or, for tests and for what only reads, in this process.
//
// One thread at a time: that of the plan's communication stream while a step runs, else whoever
// runs the steps.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "ps/table/table_spec.h"

namespace trireme::ps {

// Some rows of one table. Of a sparse table `keys` may come in any order and more than once, and
// `rows` is [keys, dim]; of a dense one `keys` is empty and `rows` are its elements.
template <typename T>
struct TableRows {
  int table = 0;
  std::span<const int64_t> keys;
  T* rows = nullptr;
};

class TableStore {
 public:
  virtual ~TableStore() = default;
  virtual const std::vector<TableSpec>& tables() const = 0;

  // The rows as step `step` (from 1) may see them. 0: for reading only, as they are after what this
  // worker has pushed.
  virtual void pull(int64_t step, std::span<const TableRows<float>> rows) = 0;
  // Part `part` of `parts` of the gradients of a step; applied once, whatever is sent again.
  virtual void push(int64_t step, int part, int parts, double learning_rate,
                    std::span<const TableRows<const float>> gradients) = 0;
  // How many pushes of this worker came too late for their step and were dropped.
  virtual int64_t dropped_pushes() const { return 0; }
};

// The store of this process, for kernels: plans are made before it is there. set() is called
// between steps.
class TableStoreSlot {
 public:
  void set(std::shared_ptr<TableStore> store) { store_ = std::move(store); }
  TableStore& store() const {
    TRIREME_CHECK(store_ != nullptr, "a graph with tables runs before they are there");
    return *store_;
  }

 private:
  std::shared_ptr<TableStore> store_;
};

// Throws Error{kInternal} when there is no such table.
int table_index(std::span<const TableSpec> tables, const std::string& name);

}  // namespace trireme::ps

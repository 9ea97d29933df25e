// Tables in this process: for reading what a checkpoint holds, and for tests of what trains.
#pragma once

#include <memory>
#include <vector>

#include "ps/ops/table_store.h"
#include "ps/table/table_shard.h"

namespace trireme::ps {

class LocalStore : public TableStore {
 public:
  explicit LocalStore(std::vector<TableSpec> tables);

  const std::vector<TableSpec>& tables() const override { return specs_; }
  void pull(int64_t step, std::span<const TableRows<float>> rows) override;
  // Gradients of equal keys are added, those of one table too when it comes more than once.
  void push(int64_t step, int part, int parts, double learning_rate,
            std::span<const TableRows<const float>> gradients) override;

  TableShard& table(int index) { return *tables_.at(static_cast<size_t>(index)); }
  // First values of a dense table.
  void assign(int table, std::span<const float> values);

 private:
  std::vector<TableSpec> specs_;
  std::vector<std::unique_ptr<TableShard>> tables_;
};

}  // namespace trireme::ps

// The tables of a training on parameter servers, as this worker's kernels reach them.
//
// Owned by whoever runs the training; see TableStore for threads.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ps/client/ps_client.h"
#include "ps/ops/table_store.h"

namespace trireme::ps {

class ClientStore : public TableStore {
 public:
  // `pushed`: steps that this worker pushed before.
  explicit ClientStore(std::shared_ptr<PsClient> client, int64_t pushed = 0);
  ~ClientStore() override;  // waits for what is on its way

  const std::vector<TableSpec>& tables() const override { return client_->tables(); }
  void pull(int64_t step, std::span<const TableRows<float>> rows) override;
  void push(int64_t step, int part, int parts, double learning_rate,
            std::span<const TableRows<const float>> gradients) override;
  int64_t dropped_pushes() const override { return client_->dropped_pushes(); }

  // Begins to pull rows for `step`, the one after that which is about to run: its pull takes them
  // when it comes. Rows that others, or this worker's own next push, change meanwhile are taken as
  // they were: not for sync consistency. Between steps.
  struct KeyList {
    int table = 0;
    std::span<const int64_t> keys;
  };
  void prefetch(int64_t step, std::span<const KeyList> lists);

  PsClient& client() { return *client_; }
  int64_t pushed() const { return pushed_; }
  void set_pushed(int64_t step) { pushed_ = step; }
  // The error of the servers that ended a step; nothing: another one did.
  const std::optional<Error>& fault() const { return fault_; }

 private:
  // What was prepared for the pull of a step serves its push.
  struct Prepared {
    int table = 0;
    std::vector<int64_t> keys;
    std::shared_ptr<const KeySet> set;
  };
  // A dense table's keys; and rows with the padding of the last one, where there is any.
  struct Dense {
    std::shared_ptr<const KeySet> keys;
    std::vector<float> padded;
  };

  // Rows that are on their way.
  struct Ahead;

  std::shared_ptr<const KeySet> key_set(int table, std::span<const int64_t> keys);
  Dense& dense(int table);
  int64_t reading_step(std::span<const TableRows<float>> rows) const;
  template <typename Call>
  void guarded(Call call);

  std::shared_ptr<PsClient> client_;
  int64_t pushed_;
  int64_t step_ = 0;  // that prepared_ belongs to
  std::vector<Prepared> prepared_;
  std::vector<Dense> dense_;
  std::optional<Error> fault_;
  std::shared_ptr<Ahead> ahead_;  // of the next step, or null
  // Kept from call to call, so that a step allocates nothing here.
  std::vector<TableKeys> pulled_;
  std::vector<float*> targets_;
  std::vector<TableGradients> pushed_rows_;
};

}  // namespace trireme::ps

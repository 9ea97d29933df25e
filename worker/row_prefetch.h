// Has the rows of the next batch on their way while a step is computed, where rows may be a step
// old. Owned by the task; used by its main thread. Private to worker/.
#pragma once

#include <memory>
#include <vector>

#include "core/data/dataset.h"
#include "core/nn/model.h"
#include "core/runtime/session.h"
#include "ps/ops/client_store.h"

namespace trireme {

class RowPrefetch {
 public:
  // Null where the model's steps look up no rows. REQUIRES: the training graph is built. `model`
  // outlives the object.
  static std::unique_ptr<RowPrefetch> make(nn::Model& model,
                                           std::shared_ptr<ps::ClientStore> store);

  // Asks for what `batch` will look up in that step.
  void fetch(int64_t step, const data::Element& batch);

 private:
  RowPrefetch() = default;

  std::shared_ptr<ps::ClientStore> store_;
  size_t features_ = 0;  // components of a batch before its labels
  // From a batch to the keys that its step looks up: lists, and the table of each.
  std::unique_ptr<Function> next_keys_;
  std::vector<Tensor> keys_;
  std::vector<int> key_tables_;
};

}  // namespace trireme

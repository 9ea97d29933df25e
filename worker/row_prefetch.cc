#include "worker/row_prefetch.h"

#include <sstream>

#include "core/ops/ops.h"
#include "ps/ops/table_store.h"

namespace trireme {

std::unique_ptr<RowPrefetch> RowPrefetch::make(nn::Model& model,
                                               std::shared_ptr<ps::ClientStore> store) {
  Node* pull = nullptr;
  for (const auto& node : model.graph().nodes()) {
    if (node->op().name == "PsPull") pull = node.get();
  }
  if (pull == nullptr || pull->attribute<Ints>("dims").empty()) return nullptr;
  std::unique_ptr<RowPrefetch> prefetch(new RowPrefetch);
  prefetch->store_ = std::move(store);
  const size_t lists = pull->attribute<Ints>("dims").size();
  std::istringstream names(pull->attribute<std::string>("tables"));
  std::vector<Value> keys;
  std::vector<int>& tables = prefetch->key_tables_;
  for (std::string name; tables.size() < lists && std::getline(names, name);) {
    tables.push_back(ps::table_index(prefetch->store_->tables(), name));
    keys.push_back(ops::cast(pull->input(static_cast<int>(keys.size()) + 1), DType::kInt64));
  }
  const auto& features = model.train_graph().forward.features;
  prefetch->features_ = features.size();
  prefetch->next_keys_ = model.session().function(features, std::move(keys));
  return prefetch;
}

void RowPrefetch::fetch(int64_t step, const data::Element& batch) {
  next_keys_->run(std::span(batch).first(features_), keys_);
  std::vector<ps::ClientStore::KeyList> wanted;
  for (size_t i = 0; i < keys_.size(); ++i) {
    wanted.push_back({key_tables_[i], keys_[i].flat<int64_t>()});
  }
  store_->prefetch(step, wanted);
}

}  // namespace trireme

#include "distributed/strategy/strategy.h"

#include "core/base/batch_share.h"
#include "core/base/error.h"

namespace trireme {

Strategy::Strategy(const StrategyDef& def, StrategyOptions options)
    : def_(def), options_(std::move(options)) {
  if (options_.devices.empty()) options_.devices.emplace_back();
  if (options_.micro_batches < 1) {
    throw invalid_argument("strategy: expected at least 1 micro-batch, found ",
                           options_.micro_batches);
  }
  if (options_.compression == Compression::kTopK &&
      !(options_.top_k_ratio > 0 && options_.top_k_ratio <= 1)) {
    throw invalid_argument("strategy: the share of top-k must be in (0, 1], found ",
                           options_.top_k_ratio);
  }
  if (options_.compression != Compression::kNone && options_.deterministic) {
    throw invalid_argument(
        "strategy: compression rounds what each worker sends; it cannot be deterministic for any "
        "number of them");
  }
  if (options_.bucket_bytes < 1 || options_.first_bucket_bytes < 1) {
    throw invalid_argument("strategy: buckets must have at least 1 byte");
  }
}

void Strategy::require_one_device(std::string_view hint) const {
  if (devices() == 1) return;
  throw invalid_argument("strategy ", name(), ": expected 1 device, found ", devices(), hint);
}

void Strategy::rewrite_updates(nn::TrainGraph& graph) const {
  std::vector<Node*> communication;
  for (const auto& node : graph.graph->nodes()) {
    if (node->op().traits.is_communication) communication.push_back(node.get());
  }
  for (Node* target : graph.targets()) {
    if (target->op().traits.is_communication) continue;  // a push: it has an order of its own
    for (Node* node : communication) target->add_control_input(node);
  }
}

void Strategy::fill_share(int64_t rows, int worker, int workers, nn::StepShare& share) const {
  const RowRange mine = batch_share(rows, worker, workers);
  share.examples = rows;
  share.global_rows = rows;
  share.shards.resize(static_cast<size_t>(shards()));
  for (int i = 0; i < shards(); ++i) {
    const RowRange part = batch_share(mine.size(), i, shards());
    share.shards[static_cast<size_t>(i)] = {
        .first_example = mine.begin + part.begin,
        .weight = static_cast<double>(part.size()) / static_cast<double>(rows)};
  }
}

}  // namespace trireme

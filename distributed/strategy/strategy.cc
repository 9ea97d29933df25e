#include "distributed/strategy/strategy.h"

#include <algorithm>

#include "core/base/batch_share.h"
#include "core/base/error.h"
#include "distributed/strategy/gradient_builder.h"

namespace trireme {
std::string_view name(StrategyKind kind) {
  switch (kind) {
    case StrategyKind::kOneDevice:
      return "one_device";
    case StrategyKind::kMirrored:
      return "mirrored";
    case StrategyKind::kMultiWorker:
      return "multi_worker";
    case StrategyKind::kCentralStorage:
      return "central_storage";
    case StrategyKind::kParameterServer:
      return "parameter_server";
    case StrategyKind::kHybrid:
      return "hybrid";
  }
  return "?";
}

Strategy::Strategy(StrategyOptions options) : options_(std::move(options)) {
  if (options_.devices.empty()) options_.devices.emplace_back();
  const size_t devices = options_.devices.size();
  if (options_.micro_batches < 1) {
    throw invalid_argument("strategy: expected at least 1 micro-batch, found ",
                           options_.micro_batches);
  }
  if (options_.kind == StrategyKind::kOneDevice && devices > 1) {
    throw invalid_argument("strategy one_device: expected 1 device, found ", devices,
                           "; mirrored or central_storage use several");
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
  if (options_.kind == StrategyKind::kParameterServer) {
    const std::string_view wrong = options_.compression != Compression::kNone ? "compression"
                                   : options_.deterministic                   ? "deterministic"
                                   : options_.sync_batch_norm                 ? "sync_batch_norm"
                                                                              : "";
    if (!wrong.empty()) {
      throw invalid_argument("strategy parameter_server: ", wrong,
                             " is of all-reduce, which it has not; use multi_worker or hybrid");
    }
  }
  if (uses_servers() && devices > 1) {
    throw invalid_argument("strategy ", name(options_.kind), ": expected 1 device, found ",
                           devices);
  }
  if (options_.bucket_bytes < 1 || options_.first_bucket_bytes < 1) {
    throw invalid_argument("strategy: buckets must have at least 1 byte");
  }
}

int Strategy::ranks() const {
  return options_.kind == StrategyKind::kCentralStorage ? 1
                                                        : static_cast<int>(options_.devices.size());
}

bool Strategy::communicates() const {
  return options_.kind == StrategyKind::kMultiWorker || options_.kind == StrategyKind::kHybrid ||
         ranks() > 1;
}

bool Strategy::uses_servers() const {
  return options_.kind == StrategyKind::kParameterServer || options_.kind == StrategyKind::kHybrid;
}

void Strategy::build_gradients(nn::TrainGraph& graph) const {
  GradientBuilder(graph, *this).build();
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
  // With parameter servers a worker's loss is that of its own examples.
  share.examples = options_.kind == StrategyKind::kParameterServer ? mine.size() : rows;
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

#include "core/nn/step_function.h"

#include <algorithm>

#include "core/base/error.h"

namespace trireme::nn {
namespace {

// Swaps the batch's tensors into the first feeds, and back when it goes: a second handle on their
// buffers would keep the iterator from writing over them.
class Loan {
 public:
  Loan(data::Element& batch, std::vector<Tensor>& feeds) : batch_(batch), feeds_(feeds) { swap(); }
  ~Loan() { swap(); }
  Loan(const Loan&) = delete;

 private:
  void swap() {
    for (size_t i = 0; i < batch_.size(); ++i) std::swap(batch_[i], feeds_[i]);
  }
  data::Element& batch_;
  std::vector<Tensor>& feeds_;
};

}  // namespace

StepFunction::StepFunction(Session& session, const TrainGraph& graph) {
  std::vector<Value> feeds = {graph.learning_rate, graph.step};
  std::vector<Value> fetches;
  has_shards_ = graph.shard_keys.defined();
  if (has_shards_) {
    feeds.insert(feeds.end(), {graph.shard_keys, graph.shard_weights, graph.vote});
    has_places_ = graph.row_places.defined();
    if (has_places_) feeds.insert(feeds.end(), {graph.row_places, graph.row_shape});
    fetches.push_back(graph.votes);
  } else {
    feeds.push_back(graph.forward.random_key);
  }
  has_norm_ = graph.needs_gradient_norm && graph.gradient_norm.defined();
  if (has_norm_) fetches.push_back(graph.gradient_norm);
  prepare(session, graph.forward, feeds, fetches, graph.targets());
  feeds_.push_back(Tensor::scalar<float>(0));
  feeds_.push_back(Tensor::scalar<int64_t>(0));
  if (has_shards_) {
    const int64_t shards = graph.shard_weights.shape()[0];
    feeds_.push_back(Tensor::zeros(DType::kInt64, {shards, 2}));
    feeds_.push_back(Tensor::zeros(DType::kFloat32, {shards}));
    feeds_.push_back(Tensor::scalar<float>(0));
    if (has_places_) {
      feeds_.push_back(Tensor::zeros(DType::kInt64, {0}));
      feeds_.push_back(Tensor::zeros(DType::kFloat32, {0, 2}));
    }
  } else {
    feeds_.push_back(Tensor::zeros(DType::kInt64, {2}));
  }
}

StepFunction::StepFunction(Session& session, const Forward& forward) {
  prepare(session, forward, {}, {}, {});
}

void StepFunction::prepare(Session& session, const Forward& forward,
                           const std::vector<Value>& extra_feeds,
                           const std::vector<Value>& extra_fetches, std::vector<Node*> targets) {
  std::vector<Value> feeds = forward.data();
  data_feeds_ = feeds.size();
  feeds.insert(feeds.end(), extra_feeds.begin(), extra_feeds.end());
  std::vector<Value> fetches = {forward.loss};
  by_row_ = {false};
  size_t numbers = 1;
  for (const MetricValue& metric : forward.metrics) {
    fetches.push_back(metric.value);
    by_row_.push_back(metric.by_row());
    numbers += metric.quantity.numbers();
  }
  rows_.resize(static_cast<size_t>(std::ranges::count(by_row_, true)));
  values_.resize(numbers);
  value_fetches_ = fetches.size();
  fetches.insert(fetches.end(), extra_fetches.begin(), extra_fetches.end());
  function_ = session.function(std::move(feeds), std::move(fetches), std::move(targets));
  feeds_.resize(data_feeds_);
}

void StepFunction::fill(const StepInputs& inputs) {
  const std::span<Tensor> feeds = std::span(feeds_).subspan(data_feeds_);
  feeds[0].flat<float>()[0] = static_cast<float>(inputs.learning_rate);
  feeds[1].flat<int64_t>()[0] = inputs.step + 1;
  const auto keys = feeds[2].flat<int64_t>();
  if (!has_shards_) {
    keys[0] = inputs.step;
    return;
  }
  const auto weights = feeds[3].flat<float>();
  TRIREME_CHECK(weights.size() == inputs.shards.size(), "the graph has ", weights.size(),
                " shards, the step ", inputs.shards.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    keys[2 * i] = inputs.step;
    keys[2 * i + 1] = inputs.shards[i].first_example;
    weights[i] = static_cast<float>(inputs.shards[i].weight);
  }
  feeds[4].flat<float>()[0] = inputs.vote;
  if (has_places_) fill_places(inputs);
}

// Rows of this process lie side by side in the global batch. One without an example computes on a
// row that counts nowhere.
void StepFunction::fill_places(const StepInputs& inputs) {
  Tensor& places = feeds_[data_feeds_ + 5];
  Tensor& shape = feeds_[data_feeds_ + 6];
  if (places.elements() != examples_) places = Tensor(DType::kInt64, {examples_});
  if (shape.shape()[0] != inputs.global_rows + 1) {
    shape = Tensor::zeros(DType::kFloat32, {inputs.global_rows + 1, 2});
  }
  const bool counts =
      std::ranges::any_of(inputs.shards, [](const BatchShard& shard) { return shard.weight > 0; });
  const int64_t first = inputs.shards[0].first_example + 1;
  const auto numbers = places.flat<int64_t>();
  for (size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = counts ? first + static_cast<int64_t>(i) : 0;
  }
}

void StepFunction::run(data::Element& batch, const StepInputs& inputs, const data::Element* next,
                       bool prefetched) {
  TRIREME_CHECK(batch.size() == data_feeds_, "a batch of ", batch.size(), " components for ",
                data_feeds_, " placeholders");
  examples_ = batch[0].shape()[0];
  if (feeds_.size() > data_feeds_) fill(inputs);
  // A second handle would keep the results from being written over.
  std::ranges::fill(rows_, Tensor());
  {
    const Loan loan(batch, feeds_);
    FeedsAhead ahead{.prefetched = prefetched};
    if (next != nullptr) ahead.next = *next;
    function_->run(feeds_, results_, ahead);
  }
  auto value = values_.begin();
  auto rows = rows_.begin();
  for (size_t i = 0; i < value_fetches_; ++i) {
    if (by_row_[i]) {
      *rows++ = results_[i];
    } else {
      for (const float number : results_[i].flat<float>()) *value++ = number;
    }
  }
  if (has_shards_) votes_ = results_[value_fetches_].flat<float>()[0];
  if (has_norm_) gradient_norm_ = results_.back().flat<float>()[0];
}

}  // namespace trireme::nn

#include "core/nn/step_function.h"

#include "core/base/error.h"

namespace trireme::nn {
namespace {

constexpr size_t kDataFeeds = 2;

// Swaps the batch's tensors into the feeds, and back when it goes: a second handle on their buffers
// would keep the iterator from writing over them.
class Loan {
 public:
  Loan(data::Element& batch, std::vector<Tensor>& feeds) : batch_(batch), feeds_(feeds) { swap(); }
  ~Loan() { swap(); }
  Loan(const Loan&) = delete;

 private:
  void swap() {
    for (size_t i = 0; i < kDataFeeds; ++i) std::swap(batch_[i], feeds_[i]);
  }
  data::Element& batch_;
  std::vector<Tensor>& feeds_;
};

}  // namespace

StepFunction::StepFunction(Session& session, const TrainGraph& graph) {
  prepare(session, graph.forward, {graph.learning_rate, graph.step, graph.forward.random_key},
          graph.targets());
  feeds_.push_back(Tensor::scalar<float>(0));
  feeds_.push_back(Tensor::scalar<int64_t>(0));
  feeds_.push_back(Tensor::zeros(DType::kInt64, {2}));
}

StepFunction::StepFunction(Session& session, const Forward& forward) {
  prepare(session, forward, {}, {});
}

void StepFunction::prepare(Session& session, const Forward& forward, std::vector<Value> extra_feeds,
                           std::vector<Node*> targets) {
  std::vector<Value> feeds = {forward.features, forward.labels};
  feeds.insert(feeds.end(), extra_feeds.begin(), extra_feeds.end());
  std::vector<Value> fetches = {forward.loss};
  for (const NamedValue& metric : forward.metrics) fetches.push_back(metric.value);
  values_.resize(fetches.size());
  function_ = session.function(std::move(feeds), std::move(fetches), std::move(targets));
  feeds_.resize(kDataFeeds);
}

void StepFunction::run(data::Element& batch, const StepInputs& inputs) {
  TRIREME_CHECK(batch.size() >= kDataFeeds, "a batch of ", batch.size(), " components");
  examples_ = batch[0].shape()[0];
  if (feeds_.size() > kDataFeeds) {
    feeds_[2].flat<float>()[0] = static_cast<float>(inputs.learning_rate);
    feeds_[3].flat<int64_t>()[0] = inputs.step + 1;
    feeds_[4].flat<int64_t>()[0] = inputs.step;
    feeds_[4].flat<int64_t>()[1] = inputs.first_example;
  }
  {
    const Loan loan(batch, feeds_);
    function_->run(feeds_, results_);
  }
  for (size_t i = 0; i < values_.size(); ++i) values_[i] = results_[i].as_double(0);
}

}  // namespace trireme::nn

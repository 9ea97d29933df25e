#include "core/data/stage_rates.h"

#include <algorithm>
#include <chrono>

#include "core/base/error.h"
#include "core/data/node.h"

namespace trireme::data {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

bool is_batch(const std::string& name) {
  return name.starts_with("batch") || name == "padded_batch" || name == "group_by_window" ||
         name == "bucket_by_sequence_length";
}

struct Stage {
  NodePtr node;
  bool batched = false;  // an element's rows are examples
};

std::vector<Stage> stages_of(const NodePtr& last) {
  std::vector<Stage> stages;
  for (NodePtr node = last; node != nullptr;
       node = node->children().empty() ? nullptr : node->children()[0]) {
    if (node->name() != "prefetch" && node->name() != "rename") stages.push_back({node});
  }
  std::ranges::reverse(stages);
  bool batched = false;
  for (Stage& stage : stages) {
    batched = (batched || is_batch(stage.node->name())) && stage.node->name() != "unbatch";
    stage.batched = batched;
  }
  return stages;
}

int64_t examples_of(const Element& element, bool batched) {
  return batched && element[0].shape().rank() > 0 ? element[0].shape()[0] : 1;
}

// `next` reads an element; false at the end, `again` then begins anew.
template <typename Next, typename Again>
StageRate measure(double seconds, bool batched, const Next& next, const Again& again) {
  Element element;
  if (!next(element)) throw invalid_argument("bench data: the data set is empty");  // warms up
  StageRate rate;
  int64_t chunk = 1;  // between looks at the clock: examples take nanoseconds or milliseconds
  const auto begin = Clock::now();
  do {
    for (int64_t i = 0; i < chunk; ++i) {
      if (!next(element)) {
        again();
        continue;
      }
      ++rate.elements;
      rate.examples += examples_of(element, batched);
    }
    rate.seconds = seconds_since(begin);
    if (rate.seconds < seconds / 64) chunk *= 2;
  } while (rate.seconds < seconds);
  return rate;
}

}  // namespace

std::vector<StageRate> measure_stages(const Dataset& dataset, double seconds) {
  constexpr int kRounds = 3;
  const std::vector<Stage> stages = stages_of(dataset.node());
  std::vector<StageRate> best(stages.size());
  // Rounds over all stages, so that what disturbs the machine for a while disturbs none alone.
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < stages.size(); ++i) {
      const Node& node = *stages[i].node;
      Context context;
      Position at;
      const StageRate rate = measure(
          seconds / kRounds, stages[i].batched,
          [&](Element& out) {
            if (!node.read(context, at, out)) return false;
            ++at.index;
            return true;
          },
          [&] {
            at = {0, at.epoch + 1};
          });
      const auto per_example = [](const StageRate& r) {
        return r.seconds / static_cast<double>(std::max<int64_t>(r.examples, 1));
      };
      if (round == 0 || per_example(rate) < per_example(best[i])) best[i] = rate;
    }
  }
  double before_us = 0;
  for (size_t i = 0; i < stages.size(); ++i) {
    best[i].stage = stages[i].node->name();
    const double us =
        best[i].seconds * 1e6 / static_cast<double>(std::max<int64_t>(best[i].examples, 1));
    best[i].own_us_per_example = std::max(us - before_us, 0.0);
    before_us = us;
  }
  return best;
}

StageRate measure_chain(const Dataset& dataset, double seconds) {
  const bool batched = stages_of(dataset.node()).back().batched;
  Iterator iterator = dataset.iterator();
  uint64_t pass = 0;
  StageRate rate = measure(
      seconds, batched, [&](Element& out) { return iterator.next(out); },
      [&] { iterator.seek(0, ++pass); });
  rate.stage = "pipeline";
  rate.own_us_per_example =
      rate.seconds * 1e6 / static_cast<double>(std::max<int64_t>(rate.examples, 1));
  return rate;
}

}  // namespace trireme::data

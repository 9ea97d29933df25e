#include "core/nn/metrics.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/ops/ops.h"

namespace trireme::nn {
Metric sparse_categorical_accuracy(std::string name) {
  return {name, [](Value predictions, Value labels) {
            labels = class_labels("accuracy", predictions, labels);
            if (labels.dtype() != DType::kInt64) labels = ops::cast(labels, DType::kInt64);
            return ops::cast(ops::equal(ops::argmax(predictions), labels), DType::kFloat32);
          }};
}

Metric categorical_accuracy(std::string name) {
  return {name, [](Value predictions, Value labels) {
            labels = match_labels("accuracy", predictions, labels);
            return ops::cast(ops::equal(ops::argmax(predictions), ops::argmax(labels)),
                             DType::kFloat32);
          }};
}

Metric binary_accuracy(std::string name, double threshold) {
  return {name, [threshold](Value predictions, Value labels) {
            labels = match_labels("accuracy", predictions, labels);
            Graph& graph = predictions.graph();
            const Value cut = ops::scalar(graph, DType::kFloat32, threshold);
            const Value half = ops::scalar(graph, DType::kFloat32, 0.5);
            const Value hit = ops::equal(ops::cast(ops::greater(predictions, cut), DType::kFloat32),
                                         ops::cast(ops::greater(labels, half), DType::kFloat32));
            return mean_per_example(ops::cast(hit, DType::kFloat32));
          }};
}

Metric area_under_curve_metric(std::string name) {
  Metric metric{.name = std::move(name),
                .labels = LabelDomain::kZeroOrOne,
                .kind = Metric::Kind::kAreaUnderCurve};
  metric.function = [what = metric.name](Value predictions, Value labels) {
    const Shape& shape = predictions.shape();
    if (shape.rank() < 1 || shape.rank() > 2 || (shape.rank() == 2 && shape[1] != 1)) {
      throw invalid_argument(what, ": expected one logit an example, found ", predictions.type());
    }
    labels = ops::reshape(match_labels(what, predictions, labels), {-1, 1});
    const Value one = ops::scalar(predictions.graph(), DType::kFloat32, 1);
    return ops::concat({ops::reshape(predictions, {-1, 1}), labels + one}, 1);
  };
  return metric;
}

Metric mean_absolute_error() {
  const std::string name = "mean_absolute_error";
  return {.name = name,
          .function =
              [name](Value predictions, Value labels) {
                labels = match_labels(name, predictions, labels);
                return mean_per_example(ops::abs(predictions - labels));
              },
          .labels = LabelDomain::kFinite,
          .label_power = 1};
}

Metric mean_squared_error_metric() {
  const Loss loss = mean_squared_error();
  return {.name = loss.name,
          .function = loss.function,
          .labels = loss.labels,
          .label_power = loss.label_power};
}

Metric accuracy(const Loss& loss) {
  switch (loss.labels) {
    case LabelDomain::kClass:
      return sparse_categorical_accuracy();
    case LabelDomain::kDistribution:
      return categorical_accuracy();
    case LabelDomain::kUnitInterval:
    case LabelDomain::kZeroOrOne:
      return binary_accuracy("accuracy", loss.takes_logits ? 0 : 0.5);
    case LabelDomain::kAny:
    case LabelDomain::kFinite:
      break;
  }
  throw invalid_argument("metric \"accuracy\" has no meaning for the loss \"", loss.name,
                         "\"; use mean_absolute_error");
}

Metric in_label_units(Metric metric, std::shared_ptr<const double> unit) {
  metric.finish = in_label_units(std::move(metric.finish), metric.label_power, std::move(unit));
  return metric;
}

namespace {

class AccuracyOptions : public MetricOptions {
 public:
  Metric make(const Loss& loss) const override { return accuracy(loss); }
};

class SparseCategoricalAccuracyOptions : public MetricOptions {
 public:
  Metric make(const Loss&) const override {
    return sparse_categorical_accuracy("sparse_categorical_accuracy");
  }
};

class CategoricalAccuracyOptions : public MetricOptions {
 public:
  Metric make(const Loss&) const override { return categorical_accuracy("categorical_accuracy"); }
};

class BinaryAccuracyOptions : public MetricOptions {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "threshold",
                   .help = "an output above it means 1",
                   .default_text = "0 with a loss that takes logits, else 0.5"},
                  threshold_);
  }
  Metric make(const Loss& loss) const override {
    return binary_accuracy("binary_accuracy", threshold_.value_or(loss.takes_logits ? 0 : 0.5));
  }

 private:
  std::optional<double> threshold_;
};

class AreaUnderCurveOptions : public MetricOptions {
 public:
  Metric make(const Loss&) const override { return area_under_curve_metric(); }
};

class MeanAbsoluteErrorOptions : public MetricOptions {
 public:
  Metric make(const Loss&) const override { return mean_absolute_error(); }
};

class MeanSquaredErrorOptions : public MetricOptions {
 public:
  Metric make(const Loss&) const override { return mean_squared_error_metric(); }
};

}  // namespace

void register_core_metrics(Catalog<MetricOptions>& catalog) {
  catalog.add<AccuracyOptions>("accuracy", "accuracy",
                               "The accuracy that belongs to the labels that the loss takes.");
  catalog.add<MeanAbsoluteErrorOptions>("mean_absolute_error", "MeanAbsoluteError",
                                        "Mean of |output − label|.");
  catalog.add<AreaUnderCurveOptions>("auc", "AUC",
                                     "The chance that an example with the label 1 gets a higher "
                                     "output than one with the label 0.");
  catalog.add<SparseCategoricalAccuracyOptions>(
      "sparse_categorical_accuracy", "SparseCategoricalAccuracy",
      "How often the largest output is that of the class whose number is the label.");
  catalog.add<CategoricalAccuracyOptions>(
      "categorical_accuracy", "CategoricalAccuracy",
      "How often the largest output and the largest label are those of one class.");
  catalog.add<BinaryAccuracyOptions>("binary_accuracy", "BinaryAccuracy",
                                     "How often an output is on its label's side of a threshold.");
  catalog.add<MeanSquaredErrorOptions>("mean_squared_error", "MeanSquaredError",
                                       "Mean of (output − label)².");
}

Metric metric_from_name(std::string_view name, const Loss& loss) {
  Catalog<MetricOptions> catalog;
  register_core_metrics(catalog);
  return catalog.make(name)->make(loss);
}

RunningMeans::RunningMeans(std::vector<Quantity> quantities) : quantities_(std::move(quantities)) {
  size_t means = 0;
  for (const Quantity& quantity : quantities_) {
    if (quantity.kind == Metric::Kind::kMean) {
      places_.push_back(means++);
    } else {
      places_.push_back(scores_.size());
      scores_.emplace_back();
    }
  }
  sums_.resize(means + 1);
}

void RunningMeans::reset() {
  sums_.assign(sums_.size(), 0);
  for (RankedScores& scores : scores_) scores.clear();
}

void RunningMeans::add(std::span<const double> means, int64_t examples,
                       std::span<const Tensor> rows) {
  TRIREME_CHECK(means.size() + 1 == sums_.size() && rows.size() == scores_.size(),
                "a batch's figures of other metrics");
  const auto weight = static_cast<double>(examples);
  for (size_t i = 0; i < means.size(); ++i) sums_[i] += means[i] * weight;
  sums_.back() += weight;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto numbers = rows[i].flat<float>();
    for (size_t row = 0; row + 1 < numbers.size(); row += 2) {
      // Rows of a global batch that no example of this process fills are 0.
      if (numbers[row + 1] != 0) scores_[i].add(numbers[row], numbers[row + 1] > 1.5f);
    }
  }
}

std::optional<double> RunningMeans::value(size_t i) const {
  const Quantity& quantity = quantities_[i];
  const size_t place = places_[i];
  if (quantity.kind == Metric::Kind::kAreaUnderCurve) return scores_[place].area_under_curve();
  if (sums_.back() == 0) return std::nullopt;
  const double mean = sums_[place] / sums_.back();
  return quantity.finish ? quantity.finish(mean) : mean;
}

std::optional<double> RunningMeans::recent_value(size_t i) const {
  if (quantities_[i].kind == Metric::Kind::kMean) return value(i);
  return scores_[places_[i]].recent_area_under_curve();
}

// The sums, then each metric's scores behind their number.
std::vector<double> RunningMeans::state() const {
  std::vector<double> state = sums_;
  for (const RankedScores& scores : scores_) {
    const std::vector<double> numbers = scores.state();
    state.push_back(static_cast<double>(numbers.size()));
    state.insert(state.end(), numbers.begin(), numbers.end());
  }
  return state;
}

bool RunningMeans::restore(std::span<const double> state) {
  if (state.size() < sums_.size()) return false;
  std::span<const double> rest = state.subspan(sums_.size());
  std::vector<std::span<const double>> parts;
  for (size_t i = 0; i < scores_.size(); ++i) {
    if (rest.empty() || !(rest[0] >= 2 && rest[0] < static_cast<double>(rest.size()))) return false;
    const auto size = static_cast<size_t>(rest[0]);
    parts.push_back(rest.subspan(1, size));
    rest = rest.subspan(1 + size);
  }
  if (!rest.empty()) return false;
  std::copy_n(state.begin(), sums_.size(), sums_.begin());
  for (size_t i = 0; i < scores_.size(); ++i) scores_[i].restore(parts[i]);
  return true;
}

void RunningMeans::merge_workers(int rank, int workers,
                                 const std::function<void(std::span<double>)>& add_up,
                                 std::span<double> also) {
  constexpr size_t kMostBins = size_t{1} << 19;  // of all workers: 16 MiB to add up
  constexpr size_t kAtOnce = size_t{1} << 16;    // the coordinator takes up to 100,000
  const auto mine = static_cast<size_t>(rank), all = static_cast<size_t>(workers);
  // How many numbers each worker has of its scores, each in its own place: so sums give to all what
  // each has.
  std::vector<std::vector<double>> states;
  std::vector<double> known = sums_;
  known.resize(sums_.size() + scores_.size() * all);
  for (size_t i = 0; i < scores_.size(); ++i) {
    scores_[i].reduce_to(kMostBins / all);
    states.push_back(scores_[i].state());
    known[sums_.size() + i * all + mine] = static_cast<double>(states[i].size());
  }
  known.insert(known.end(), also.begin(), also.end());
  add_up(known);
  std::copy_n(known.begin(), sums_.size(), sums_.begin());
  std::copy_n(known.end() - static_cast<std::ptrdiff_t>(also.size()), also.size(), also.begin());
  for (size_t i = 0; i < scores_.size(); ++i) {
    const auto sizes = std::span(known).subspan(sums_.size() + i * all, all);
    std::vector<size_t> begins = {0};
    for (const double size : sizes) begins.push_back(begins.back() + static_cast<size_t>(size));
    std::vector<double> numbers(begins.back());
    std::ranges::copy(states[i], numbers.begin() + static_cast<std::ptrdiff_t>(begins[mine]));
    for (size_t begin = 0; begin < numbers.size(); begin += kAtOnce) {
      add_up(std::span(numbers).subspan(begin, std::min(kAtOnce, numbers.size() - begin)));
    }
    scores_[i].clear();
    for (size_t worker = 0; worker < all; ++worker) {
      RankedScores theirs;
      theirs.restore(
          std::span(numbers).subspan(begins[worker], begins[worker + 1] - begins[worker]));
      scores_[i].merge(theirs);
    }
  }
}

}  // namespace trireme::nn

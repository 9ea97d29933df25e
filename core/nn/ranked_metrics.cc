#include "core/nn/ranked_metrics.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

using Figure = std::optional<double>;

// What is found with a threshold right below a score, from the highest score to the lowest.
struct Point {
  double right, wrong;  // of the positives and of the negatives
};

// With what is there of both; nothing where a class has no example.
struct Curve {
  std::vector<Point> points;
  double positives = 0, negatives = 0;
};

std::optional<Curve> curve_of(const RankedScores& scores) {
  Curve curve;
  std::vector<RankedScores::Counts> counts = scores.counts();
  std::ranges::reverse(counts);
  for (const RankedScores::Counts& one : counts) {
    curve.positives += static_cast<double>(one.positives);
    curve.negatives += static_cast<double>(one.negatives);
    curve.points.push_back({curve.positives, curve.negatives});
  }
  if (curve.positives == 0 || curve.negatives == 0) return std::nullopt;
  return curve;
}

Figure precision_recall_area(const RankedScores& scores) {
  const std::optional<Curve> curve = curve_of(scores);
  if (!curve) return std::nullopt;
  double area = 0;
  Point before{0, 0};
  for (const Point& point : curve->points) {
    const double right = point.right - before.right;
    const double found = right + point.wrong - before.wrong;
    const double all_before = before.right + before.wrong;
    if (right > 0) {
      const double slope = right / found;
      const double intercept = point.right - slope * (point.right + point.wrong);
      const double growth = all_before > 0 ? std::log((all_before + found) / all_before) : 0;
      area += slope * (right + intercept * growth);
    }
    before = point;
  }
  return area / curve->positives;
}

using FigureAt = double (*)(const Point& point, const Curve& curve);
double precision_at(const Point& p, const Curve&) { return p.right / (p.right + p.wrong); }
double recall_at(const Point& p, const Curve& c) { return p.right / c.positives; }
double specificity_at(const Point& p, const Curve& c) { return 1 - p.wrong / c.negatives; }

Metric ranked(std::string name, std::function<Figure(const RankedScores&)> figure) {
  Metric metric = area_under_curve_metric(std::move(name));
  metric.from_scores = std::move(figure);
  return metric;
}

Metric best_at(std::string name, FigureAt wanted, FigureAt limited, double least, Figure of_none) {
  return ranked(std::move(name), [=](const RankedScores& scores) -> Figure {
    const std::optional<Curve> curve = curve_of(scores);
    if (!curve) return std::nullopt;
    Figure best = of_none;
    for (const Point& point : curve->points) {
      if (limited(point, *curve) < least) continue;
      best = std::max(best.value_or(0), wanted(point, *curve));
    }
    return best;
  });
}

}  // namespace

Metric area_under_curve_metric(std::string name) {
  Metric metric{.name = std::move(name),
                .labels = LabelDomain::kZeroOrOne,
                .kind = FigureKind::kRankedScores};
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

Metric area_under_precision_recall(std::string name) {
  return ranked(std::move(name), precision_recall_area);
}

Metric precision_at_recall(double least) {
  return best_at("precision_at_recall", precision_at, recall_at, least, std::nullopt);
}
// Where nothing is found the recall is 0, and so is the sensitivity where nothing is found wrongly.
Metric recall_at_precision(double least) {
  return best_at("recall_at_precision", recall_at, precision_at, least, 0);
}
Metric sensitivity_at_specificity(double least) {
  return best_at("sensitivity_at_specificity", recall_at, specificity_at, least, 0);
}
Metric specificity_at_sensitivity(double least) {
  // With a threshold above all scores the specificity is 1.
  return best_at("specificity_at_sensitivity", specificity_at, recall_at, least,
                 least == 0 ? Figure(1) : std::nullopt);
}

namespace {

enum class CurveKind : uint8_t { kRoc, kPr };
constexpr EnumName<CurveKind> kCurves[] = {{CurveKind::kRoc, "ROC"}, {CurveKind::kPr, "PR"}};

class AreaUnderCurveOptions : public MetricOptions {
 public:
  void describe(OptionVisitor& v) override {
    v.field(
        {.name = "curve", .help = "ROC: what is found of both classes; PR: precision over recall"},
        curve_, kCurves);
  }
  Metric make(const Loss&) const override {
    return curve_ == CurveKind::kRoc ? area_under_curve_metric() : area_under_precision_recall();
  }

 private:
  CurveKind curve_ = CurveKind::kRoc;
};

template <Metric (*make_metric)(double least)>
class AtLeastOptions : public MetricOptions {
 public:
  void describe(OptionVisitor& v) override {
    v.field({.name = "least", .help = "what the other figure is at least", .range = from_to(0, 1)},
            least_);
  }
  Metric make(const Loss&) const override { return make_metric(least_); }

 private:
  double least_ = 0.5;
};

}  // namespace

void register_ranked_metrics(Catalog<MetricOptions>& catalog) {
  catalog.add<AreaUnderCurveOptions>("auc", "AUC",
                                     "The chance that an example with the label 1 gets a higher "
                                     "output than one with the label 0.");
  catalog.add<AtLeastOptions<precision_at_recall>>(
      "precision_at_recall", "PrecisionAtRecall",
      "The best precision of all thresholds where the recall is at least `least`.");
  catalog.add<AtLeastOptions<recall_at_precision>>(
      "recall_at_precision", "RecallAtPrecision",
      "The best recall of all thresholds where the precision is at least `least`.");
  catalog.add<AtLeastOptions<sensitivity_at_specificity>>(
      "sensitivity_at_specificity", "SensitivityAtSpecificity",
      "The best sensitivity of all thresholds where the specificity is at least `least`.");
  catalog.add<AtLeastOptions<specificity_at_sensitivity>>(
      "specificity_at_sensitivity", "SpecificityAtSensitivity",
      "The best specificity of all thresholds where the sensitivity is at least `least`.");
}

}  // namespace trireme::nn

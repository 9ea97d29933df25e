// A metric: within, the share of predictions that are off by less than `tolerance`.
#include "core/nn/losses.h"
#include "core/nn/metrics.h"
#include "core/ops/ops.h"
#include "own_parts.h"

namespace own {
namespace {

using namespace trireme;

class Within : public nn::MetricOptions {
 public:
  void describe(OptionVisitor& v) override {
    v.field({.name = "tolerance", .help = "in the label's unit", .range = above(0)}, tolerance_);
  }
  nn::Metric make(const nn::Loss&) const override {
    return {.name = "within",
            .function = [tolerance = tolerance_](Value predictions, Value labels) {
              const Value error = predictions - nn::match_labels("within", predictions, labels);
              const Value is_near =
                  ops::less(error * error, ops::fill_like(error, tolerance * tolerance));
              return nn::mean_per_example(ops::cast(is_near, DType::kFloat32));
            }};
  }

 private:
  double tolerance_ = 0.1;
};

}  // namespace

void add_within(Catalog<nn::MetricOptions>& metrics) {
  metrics.add<Within>("within", "", "The share of predictions that are off by less.");
}

}  // namespace own

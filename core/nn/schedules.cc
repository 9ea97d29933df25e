#include "core/nn/schedules.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/error.h"

namespace trireme::nn {
namespace {

void require_rate(double rate) {
  if (!(rate >= 0) || !std::isfinite(rate)) {
    throw invalid_argument("a learning rate must be a number of at least 0; found ", rate);
  }
}

}  // namespace

Schedule constant_rate(double rate) {
  require_rate(rate);
  return [rate](int64_t) { return rate; };
}

Schedule step_rate(std::vector<int64_t> boundaries, std::vector<double> values) {
  if (values.size() != boundaries.size() + 1) {
    throw invalid_argument("a step schedule needs one value more than boundaries; found ",
                           values.size(), " values and ", boundaries.size(), " boundaries");
  }
  if (!std::is_sorted(boundaries.begin(), boundaries.end(), std::less_equal<>())) {
    throw invalid_argument("the boundaries of a step schedule must increase");
  }
  for (double value : values) require_rate(value);
  return [=](int64_t step) {
    const auto next = std::upper_bound(boundaries.begin(), boundaries.end(), step);
    return values[static_cast<size_t>(next - boundaries.begin())];
  };
}

Schedule exponential_rate(double rate, int64_t steps, double factor, bool staircase) {
  require_rate(rate);
  if (steps < 1 || !(factor > 0)) {
    throw invalid_argument("an exponential schedule needs steps ≥ 1 and a factor > 0; found ",
                           steps, " steps and factor ", factor);
  }
  return [=](int64_t step) {
    const double exponent = staircase ? static_cast<double>(step / steps)
                                      : static_cast<double>(step) / static_cast<double>(steps);
    return rate * std::pow(factor, exponent);
  };
}

Schedule cosine_rate(double rate, int64_t steps, int64_t warmup, double final_fraction) {
  require_rate(rate);
  if (warmup < 0 || steps <= warmup) {
    throw invalid_argument("a cosine schedule needs more steps than warm-up steps; found ", steps,
                           " steps and ", warmup, " of warm-up");
  }
  return [=](int64_t step) {
    if (step < warmup) return rate * static_cast<double>(step + 1) / static_cast<double>(warmup);
    const double progress =
        std::min(1.0, static_cast<double>(step - warmup) / static_cast<double>(steps - warmup));
    const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * progress));
    return rate * (final_fraction + (1 - final_fraction) * cosine);
  };
}

void register_core_schedules(Catalog<ScheduleOptions>&) {}

}  // namespace trireme::nn

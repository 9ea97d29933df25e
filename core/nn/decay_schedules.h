// The schedules of Keras, one cycle as in PyTorch, and a warm-up before any of them.
#pragma once

#include <optional>
#include <vector>

#include "core/nn/schedules.h"

namespace trireme::nn {

// As in Keras: values[i] for the steps behind boundaries[i − 1] up to boundaries[i] itself.
Schedule piecewise_rate(std::vector<int64_t> boundaries, std::vector<double> values);
// rate / (1 + factor · step / steps); `staircase` divides integers.
Schedule inverse_time_rate(double rate, int64_t steps, double factor, bool staircase = false);
// (rate − end) · (1 − step / steps)^power + end; a `cycle` begins again, over twice, three times, …
// the steps.
Schedule polynomial_rate(double rate, int64_t steps, double end = 0.0001, double power = 1,
                         bool cycle = false);
// As in Keras: from `rate` to `warmup_target` along a line, if there is one, and from there along
// half a cosine to the share `alpha` of it.
Schedule cosine_decay_rate(double rate, int64_t steps, double alpha = 0,
                           std::optional<double> warmup_target = {}, int64_t warmup_steps = 0);
// Half a cosine over first_steps, then again over t_mul times as many from m_mul times the rate.
Schedule cosine_restarts_rate(double rate, int64_t first_steps, double t_mul = 2, double m_mul = 1,
                              double alpha = 0);
// From rate / div_factor to `rate` and down to 1 / final_div_factor of the first one.
struct OneCycleOptions {
  double pct_start = 0.3;
  bool linear = false;  // else half a cosine each way
  double div_factor = 25, final_div_factor = 1e4;
  bool three_phases = false;
};
Schedule one_cycle_rate(double rate, int64_t steps, const OneCycleOptions& options = {});
// From the share start_factor of `rate` to `rate`, and then `after`, which counts from 0.
Schedule warmup_rate(double rate, int64_t steps, double start_factor, Schedule after);

void register_decay_schedules(Catalog<ScheduleOptions>& catalog);

}  // namespace trireme::nn

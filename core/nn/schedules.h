// Schedules: the learning rate as a function of the step. Being functions, they need no state in a
// checkpoint.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/catalog/catalog.h"

namespace trireme::nn {

// `step`: how many steps were taken before this one; 0 for the first.
using Schedule = std::function<double(int64_t step)>;

Schedule constant_rate(double rate);

// values[i] from boundaries[i − 1] up to, not including, boundaries[i]; one value more than
// boundaries, which increase.
Schedule step_rate(std::vector<int64_t> boundaries, std::vector<double> values);

// rate · factor^(step / steps); `staircase` divides integers.
Schedule exponential_rate(double rate, int64_t steps, double factor, bool staircase = false);

// factor^i · rate from boundaries[i − 1] up to, not including, boundaries[i], which increase.
Schedule step_factor_rate(double rate, std::vector<int64_t> boundaries, double factor);

// Rises from 0 over `warmup` steps, then falls along a half cosine to rate · final_fraction at
// `steps` (Loshchilov and Hutter 2017, without restarts), and stays there.
Schedule cosine_rate(double rate, int64_t steps, int64_t warmup = 0, double final_fraction = 0);

// A schedule as a job file names it. To add one: derive a class, and add it in
// register_core_schedules(), or in a program's own list.
class ScheduleOptions : public Component {
 public:
  static constexpr std::string_view kFamily = "schedule";
  // `rate`: the optimizer's learning rate. `steps`: of the whole run. Throws
  // Error{kInvalidArgument} when the options do not fit these.
  virtual Schedule make(double rate, int64_t steps) const = 0;
};
void register_core_schedules(Catalog<ScheduleOptions>& catalog);

}  // namespace trireme::nn

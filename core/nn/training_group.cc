#include "core/nn/training_group.h"

#include "core/base/error.h"

namespace trireme::nn {

TrainingGroup& TrainingGroup::local() {
  static TrainingGroup group;
  return group;
}

void TrainingGroup::fill_share(int64_t /*batch*/, StepShare& /*share*/) {}

bool TrainingGroup::reads_ahead() const { return false; }

void TrainingGroup::peek(int64_t /*step*/, const data::Element& /*batch*/) {}

int64_t TrainingGroup::steps_after_vote() const { return 0; }

void TrainingGroup::refresh_variables() {}

bool TrainingGroup::leave_epoch(Training& /*training*/, bool /*stopping*/, RunningMeans& /*sums*/) {
  return false;
}

bool TrainingGroup::interrupts_validation(int64_t /*batch*/) { return false; }

bool TrainingGroup::reduce_validation(RunningMeans& /*means*/, bool interrupted) {
  return interrupted;
}

bool TrainingGroup::can_recover_from(const Error& /*error*/) const { return false; }

FitData TrainingGroup::recover(Training& /*training*/, const Error& error) { throw Error(error); }

}  // namespace trireme::nn

// A sweep for TensorBoard: `tensorboard --logdir DIR` shows all trials in its table of
// hyper-parameters, failed ones too, with their figures.
#pragma once

#include "launcher/sweep/trial_run.h"

namespace trireme::sweep {

// Writes a session into the folder of each trial that was started, and the experiment into that of
// the sweep; what was written before is replaced. Throws Error when it cannot.
void write_dashboard(const TrialHost& host, const SweepState& state);

}  // namespace trireme::sweep

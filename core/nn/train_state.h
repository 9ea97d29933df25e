// The state of a training: what a checkpoint holds beside variables, so that a resumed training
// gives the losses of one that was never stopped, bit for bit.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/nn/layer.h"
#include "core/tensor/tensor.h"

namespace trireme::nn {

// Variables by their names, the progress by the names "step", "epoch", "epoch_step", "epoch_sums",
// "dataset_state" and "random_seed", and what callbacks remember under "callback/…".
using StateMap = std::map<std::string, Tensor>;

struct TrainProgress {
  int64_t step = 0;                // steps taken since training began
  int64_t epoch = 0;               // epochs finished
  int64_t epoch_step = 0;          // steps taken in the epoch that is under way
  std::vector<double> epoch_sums;  // RunningMeans::state() of that epoch
  std::string dataset_state;       // data::Iterator::state()
  uint64_t random_seed = 0;        // of the model: initial values, dropout
};

void save_progress(const TrainProgress& progress, StateMap& state);
// Throws Error{kDataLoss} naming what is missing or of another type or negative.
TrainProgress load_progress(const StateMap& state);

// A state whose variables are the averages that the optimizer of that name kept of them
// (UpdateOptions::use_ema). Throws Error{kInvalidArgument} when there are none in it.
StateMap with_averages(StateMap state, const std::string& optimizer);

// Throws Error{kInvalidArgument} that lists the first variables that `state` lacks or has in
// another type.
void check_state_matches(std::span<const VariableSpec> variables, const StateMap& state);

}  // namespace trireme::nn

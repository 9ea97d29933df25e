// What a training came to, for its result line and for people: why it ended, its best epoch, and
// which epoch's model is saved. Private to worker/, included by .cc files only.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "core/nn/callbacks.h"
#include "core/nn/model.h"
#include "proto/job.pb.h"
#include "worker/result_line.h"

namespace trireme {

// Adds the losses and metrics of the epoch whose model is saved: the last one, or the best one when
// it was restored; then the reason of the end and the best epoch. Epochs count from 1, as "epochs"
// does. `early_stopping`: null where the job has none.
void add_outcome(const nn::History& history, const nn::EarlyStopping* early_stopping,
                 ResultLine& line);

// The line of results of a training of `workers`, which took so long. `lost_steps`: with the rows
// of parameter servers.
ResultLine training_line(const job::Job& job, std::string_view strategy, int workers,
                         const nn::History& history, const nn::EarlyStopping* early_stopping,
                         int64_t lost_steps, std::chrono::duration<double> took);

// A line for people: "stopped after epoch 7: … ; the model of epoch 4 was restored and saved".
// Empty when all epochs were done and nothing was monitored.
std::string end_sentence(const nn::History& history, const nn::EarlyStopping* early_stopping,
                         const job::Job& job);

}  // namespace trireme

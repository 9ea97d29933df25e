// Ends a training after so many epochs, counted from its beginning and not from where it was
// resumed. All else, the schedule of the learning rate too, is planned for all epochs of the job,
// so that a later start goes on as if nothing had been. Private to worker/.
#pragma once

#include "core/base/error.h"
#include "core/nn/callbacks.h"

namespace trireme {

class StopAfterEpochs : public nn::Callback {
 public:
  explicit StopAfterEpochs(int64_t epochs) : epochs_(epochs) {}
  void on_epoch_begin(nn::Training& training) override { look(training); }
  void on_epoch_end(nn::Training& training, nn::Logs) override { look(training); }

 private:
  void look(nn::Training& training) const {
    if (training.epoch() < epochs_) return;
    training.request_stop(str_cat("--stop-after-epochs ", epochs_));
  }

  int64_t epochs_;
};

}  // namespace trireme

// Tells a tracer which step its spans belong to. Private to worker/.
#pragma once

#include <memory>
#include <utility>

#include "core/nn/callbacks.h"
#include "core/runtime/tracer.h"

namespace trireme {

class TraceSteps : public nn::Callback {
 public:
  explicit TraceSteps(std::shared_ptr<Tracer> tracer) : tracer_(std::move(tracer)) {}
  void on_train_begin(nn::Training& training) override { tracer_->set_step(training.step() + 1); }
  void on_batch_end(nn::Training& training, nn::Logs) override {
    tracer_->set_step(training.step() + 1);
  }

 private:
  std::shared_ptr<Tracer> tracer_;
};

}  // namespace trireme

// A callback that only rank 0 has: logs and checkpoints. Ranks change when a worker is lost;
// whoever becomes rank 0 takes it over.
#pragma once

#include <functional>
#include <memory>

#include "core/nn/callbacks.h"

namespace trireme {

class RankZero : public nn::Callback {
 public:
  RankZero(std::shared_ptr<nn::Callback> callback, std::function<int()> rank)
      : callback_(std::move(callback)), rank_(std::move(rank)) {}

  void on_train_begin(nn::Training& training) override { active(training); }
  void on_epoch_begin(nn::Training& training) override {
    if (active(training)) callback_->on_epoch_begin(training);
  }
  void on_batch_end(nn::Training& training, nn::Logs logs) override {
    if (active(training)) callback_->on_batch_end(training, logs);
  }
  void on_validation_begin(nn::Training& training) override {
    if (active(training)) callback_->on_validation_begin(training);
  }
  void on_epoch_end(nn::Training& training, nn::Logs logs) override {
    if (active(training)) callback_->on_epoch_end(training, logs);
  }
  void on_failure(nn::Training& training) override {
    if (active(training)) callback_->on_failure(training);
  }
  void on_train_end(nn::Training& training) override {
    if (active(training)) callback_->on_train_end(training);
  }
  void save(nn::StateMap& state) const override { callback_->save(state); }
  void restore(const nn::StateMap& state) override { callback_->restore(state); }

 private:
  bool active(nn::Training& training) {
    if (rank_() != 0) return false;
    if (!begun_) callback_->on_train_begin(training);
    begun_ = true;
    return true;
  }

  std::shared_ptr<nn::Callback> callback_;
  std::function<int()> rank_;
  bool begun_ = false;
};

}  // namespace trireme

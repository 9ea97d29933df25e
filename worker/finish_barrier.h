// The last callback of a training with several workers: nobody goes before all have finished, rank
// 0's last checkpoint included. Without it, a worker that is lost in the last moments would come
// back to find nobody who has the state.
#pragma once

#include <functional>

#include "core/nn/callbacks.h"
#include "core/nn/model.h"
#include "worker/lost_peer.h"

namespace trireme {

class FinishBarrier : public nn::Callback {
 public:
  // `finish` returns when all members have called it; `recover` forms the next generation when it
  // throws because a peer was lost, and returns false when there will be none.
  FinishBarrier(std::function<void()> finish,
                std::function<bool(nn::Training&, const Error&)> recover)
      : finish_(std::move(finish)), recover_(std::move(recover)) {}

  // A worker that has stopped gives its state to others: they are to stop too, which no checkpoint
  // says.
  static void mark_stopped(const nn::Training& training, nn::StateMap& state) {
    if (training.stop_reason().empty()) return;
    state[kStopReason] = Tensor::scalar<std::string>(training.stop_reason());
  }
  static void stop_as(const nn::StateMap& state, nn::Training& training) {
    const auto found = state.find(kStopReason);
    if (found != state.end()) training.request_stop(found->second.item<std::string>());
  }

  // Of a worker that comes when the others have stopped.
  void restore(const nn::StateMap& state) override {
    const auto found = state.find(kStopReason);
    if (found != state.end()) state_[kStopReason] = found->second;
  }
  void on_train_begin(nn::Training& training) override {
    stop_as(state_, training);
    state_.clear();
  }

  void on_train_end(nn::Training& training) override {
    while (true) {
      try {
        return finish_();
      } catch (const Error& error) {
        if (!is_lost_peer(error)) throw;
        if (!recover_(training, error)) return;
      }
    }
  }

 private:
  inline static const std::string kStopReason = "callback/stop_reason";
  nn::StateMap state_;  // until the training begins
  std::function<void()> finish_;
  std::function<bool(nn::Training&, const Error&)> recover_;
};

// Marks checkpoints with the launch of the job that wrote them.
class RunMark : public nn::Callback {
 public:
  explicit RunMark(std::string run) : run_(std::move(run)) {}
  void save(nn::StateMap& state) const override { state[kKey] = Tensor::scalar<std::string>(run_); }
  static bool is_of(const nn::StateMap& state, const std::string& run) {
    const auto found = state.find(kKey);
    return found != state.end() && found->second.item<std::string>() == run;
  }

 private:
  inline static const std::string kKey = "callback/run";
  std::string run_;
};

}  // namespace trireme

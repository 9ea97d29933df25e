// The group of workers that add up their gradients by all-reduce. When a member is lost the others
// form the next generation, and go on with the state of the most advanced one. Rows of embeddings
// may be on parameter servers. Private to worker/.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "worker/cluster_runtime.h"
#include "worker/join_generation.h"
#include "worker/task_group.h"
#include "worker/validation_votes.h"

namespace trireme {

class WorkerMetrics;

struct AllReduceGroupOptions {
  std::map<std::string, std::string> handshake;  // must be equal on all workers
  std::string resumed;      // the checkpoint that the training goes on from; empty: none
  std::string checkpoints;  // folder, where a worker that is left alone saves
  std::function<int()> stop_signal = {};  // by which the job was told to stop; 0: it was not
  WorkerMetrics* metrics = nullptr;       // hears of each generation; null: nobody does
};

class AllReduceGroup : public TaskGroup {
 public:
  // `servers`: null where the job has none. All outlive the group.
  AllReduceGroup(Task& task, ClusterRuntime& runtime, ServerTraining* servers,
                 AllReduceGroupOptions options);

  // Becomes a member of the first generation: whoever has finished the most steps gives its state
  // to the others, whose `fit` then goes on from it. Throws what join_generation() throws.
  void join(nn::FitOptions& fit);
  // What people read of the generation that is under way.
  void tell_generation() const;

  int rank() const override { return survivor_.is_alone() ? 0 : runtime_.rank(); }
  int workers() const override { return runtime_.workers(); }
  data::Dataset validation_batches() const override;
  std::shared_ptr<nn::Callback> make_farewell(
      std::vector<std::shared_ptr<nn::Callback>> all) override;
  // As the farewell has found; does not wait.
  bool agree_on_interrupt(bool /*interrupted*/) override { return interrupted_; }
  const Survivor* survivor() const override { return survivor_.cause() ? &survivor_ : nullptr; }

  bool reads_ahead() const override { return servers_ != nullptr && servers_->prefetches(); }
  void peek(int64_t step, const data::Element& batch) override { servers_->prefetch(step, batch); }
  bool leave_epoch(nn::Training& training, bool stopping, nn::RunningMeans& sums) override;
  bool interrupts_validation(int64_t batch) override { return votes_.before(batch); }
  bool reduce_validation(nn::RunningMeans& means, bool interrupted) override {
    return votes_.reduce(means, interrupted);
  }
  bool can_recover_from(const Error& error) const override;
  nn::FitData recover(nn::Training& training, const Error& error) override;

 private:
  bool any_rank(bool value, const std::string& what);
  void sum(std::span<double> values);
  GenerationJoin next_generation(int64_t progress, bool begins);
  bool rejoin(nn::Training& training, const Error& error, int64_t progress);

  ClusterRuntime& runtime_;
  ServerTraining* const servers_;
  const AllReduceGroupOptions options_;
  ValidationVotes votes_;
  Survivor survivor_;
  bool interrupted_ = false;  // from the keyboard, in one of the job's tasks
};

}  // namespace trireme

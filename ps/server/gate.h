// Where the pushes of synchronous steps wait for those of the other workers.
//
// Steps are applied in order, each part as soon as enough workers' contributions are there. Part of
// a slot's replicated state. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ps/server/push.h"
#include "ps/server/worker_ledger.h"

namespace trireme::ps {

class Gate {
 public:
  // `required`: contributions that a part waits for: the workers that are not backup workers.
  explicit Gate(int required = 0) : required_(required) {}

  // The last step all parts of which went through; nothing before the first push.
  std::optional<int64_t> done() const { return done_; }

  // Throws Error{kInvalidArgument} when others cut the step into other parts.
  void check(const RequestHeader& push) const;
  // False: the part went through without it.
  bool hold(std::shared_ptr<const Push> push);
  // Lets through what is complete: calls `apply` with the contributions of a part, by rank of
  // worker, one part at a time, in order.
  using Apply = std::function<void(std::vector<std::shared_ptr<const Push>>)>;
  void advance(const WorkerLedger& ledger, const Apply& apply);

  // As after a checkpoint of this step: forgets what is held.
  void restart(int64_t step);

  // "step 12: workers 1, 3" whose contributions are missing for done() to reach `step`.
  std::string missing(int64_t step, const WorkerLedger& ledger) const;
  void for_each_held(const std::function<void(const std::shared_ptr<const Push>&)>& visit) const;

  void save(proto::SlotState& state) const;
  // What is held comes through hold() again.
  void load(const proto::SlotState& state);

 private:
  struct Part {
    bool applied = false;
    std::map<int, std::shared_ptr<const Push>> held;  // by worker
  };

  int settled(int64_t step, const Part& part, const WorkerLedger& ledger) const;

  int required_;
  std::optional<int64_t> done_;
  std::map<int64_t, std::vector<Part>> steps_;
};

}  // namespace trireme::ps

// A Session runs parts of a graph: it owns the variables, the devices and the plans.
//
// One thread at a time. The graph may grow between runs, and must outlive the session.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/device/device.h"
#include "core/graph/graph.h"
#include "core/passes/optimize.h"
#include "core/runtime/variable_store.h"

namespace trireme {

class Arena;
class Plan;
class Tracer;

struct SessionOptions {
  std::shared_ptr<DeviceSet> devices;          // null: one CPU device
  std::shared_ptr<const KernelTable> kernels;  // null: all that are built in
  std::string default_device;                  // empty: the first of `devices`
  PassOptions passes;
  bool log_device_placement =
      false;             // one line a node on standard error when a function is first planned
  bool profile = false;  // keeps the time of each node; see Function::profile()
  std::shared_ptr<Tracer> tracer;  // null: nothing is traced
  // Work of devices that can record is issued by few calls from the third run of a function on.
  // Not while profiling or tracing.
  bool record = true;
  // A node without a kernel on its device runs on the CPU, instead of being an error.
  bool soft_placement = false;
};

// What the caller knows of the run after this one. Tensors are read during run() only.
struct FeedsAhead {
  std::span<const Tensor> next;  // its feeds, the first ones of them; undefined: not known
  // This run is fed what the last run got as `next`, unchanged.
  bool prefetched = false;
};

// Figures about one plan, for tests, benchmarks and `--profile`.
struct PlanStatistics {
  int kernels = 0, copies = 0, event_waits = 0;
  size_t arena_bytes = 0;         // over all devices
  size_t unshared_bytes = 0;      // what the same values would take without sharing memory
  int recordings = 0;             // made so far
  int recorded_instructions = 0;  // of one run
};

struct NodeTime {
  std::string name, op;
  double total_us = 0;
  int64_t runs = 0;
};

// What to feed, fetch and run, prepared once. Made by Session::function(); dies with its session.
class Function {
 public:
  ~Function();
  Function(const Function&) = delete;

  // Runs with one host tensor for each fed value. `results` gets one host tensor for each fetched
  // value; a tensor that is there already, with the right type and not shared with anyone, is
  // written in place, so that a loop that passes the same vector does not allocate. New feed shapes
  // make a new plan (kept), known ones only run. Throws invalid_argument for a feed that does not
  // fit its placeholder, and the first Error of a kernel.
  //
  // What `ahead` tells of the next run is copied to devices with their own memory while they work
  // on this one.
  void run(std::span<const Tensor> feeds, std::vector<Tensor>& results,
           const FeedsAhead& ahead = {});

  // The plan of the shapes that ran last. REQUIRES: run() has been called.
  PlanStatistics statistics() const;
  std::vector<NodeTime> profile() const;  // SessionOptions::profile

 private:
  friend class Session;
  struct State;
  explicit Function(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class Session {
 public:
  explicit Session(const Graph& graph, SessionOptions options = {});
  ~Session();
  Session(const Session&) = delete;

  VariableStore& variables() { return *variables_; }
  const SessionOptions& options() const { return options_; }
  // True when it is of use to tell run() what is fed next: a device copies beside its work.
  bool copies_ahead() const;

  // `targets` are run for their effect (Apply… nodes). Optimises and places the part of the graph
  // that is needed.
  std::unique_ptr<Function> function(std::vector<Value> feeds, std::vector<Value> fetches,
                                     std::vector<Node*> targets = {});

  // The same in one call, for tests and small programs; prepares everything anew each time.
  std::vector<Tensor> run(const std::vector<std::pair<Value, Tensor>>& feeds,
                          std::vector<Value> fetches, std::vector<Node*> targets = {});

 private:
  PlacementOptions placement() const;

  const Graph& graph_;
  SessionOptions options_;
  std::unique_ptr<VariableStore> variables_;
  std::shared_ptr<Arena> arena_;  // one for all functions: they never run at the same time
};

}  // namespace trireme

#include "core/runtime/session.h"

#include <algorithm>
#include <cstdio>

#include "core/base/error.h"
#include "core/device/kernel.h"
#include "core/graph/rewrite.h"
#include "core/graph/verify.h"
#include "core/passes/placement.h"
#include "core/runtime/built_in_kernels.h"
#include "core/runtime/plan.h"

namespace trireme {

struct Function::State {
  Program program;
  std::shared_ptr<DeviceSet> devices;
  std::shared_ptr<const KernelTable> kernels;
  VariableStore* variables = nullptr;
  std::shared_ptr<Arena> arena;
  PlanMode mode;
  std::shared_ptr<Tracer> tracer;
  std::vector<std::unique_ptr<Plan>> plans;  // the one that ran last comes first
};

namespace {

bool fits(const Plan& plan, std::span<const Tensor> feeds) {
  return std::ranges::equal(plan.feed_types(), feeds, {}, {}, &Tensor::type);
}

void check_feeds(const Program& program, std::span<const Tensor> feeds) {
  if (feeds.size() != program.feeds.size()) {
    throw invalid_argument("expected ", program.feeds.size(), " fed tensors, found ", feeds.size());
  }
  for (size_t i = 0; i < feeds.size(); ++i) {
    const TensorType& expected = program.feeds[i].type();
    if (!feeds[i].defined() || feeds[i].dtype() != expected.dtype ||
        !compatible(feeds[i].shape(), expected.shape)) {
      throw invalid_argument("feed of '", program.feeds[i].node->name(), "': expected ", expected,
                             ", found ",
                             feeds[i].defined() ? feeds[i].type().to_string() : "nothing");
    }
  }
}

Program copy_program(const Graph& graph, const std::vector<Value>& feeds,
                     const std::vector<Value>& fetches, const std::vector<Node*>& targets) {
  Program program{std::make_unique<Graph>(graph.ops()), {}, {}, {}};
  GraphCopier copier(graph, *program.graph);
  copier.copy_rest();
  program.feeds = copier.map(feeds);
  program.fetches = copier.map(fetches);
  for (Node* target : targets) program.targets.push_back(&copier.map(*target));
  return program;
}

}  // namespace

Function::Function(std::unique_ptr<State> state) : state_(std::move(state)) {}
Function::~Function() = default;

void Function::run(std::span<const Tensor> feeds, std::vector<Tensor>& results,
                   const FeedsAhead& ahead) {
  State& s = *state_;
  auto plan = std::ranges::find_if(s.plans, [&](const auto& p) { return fits(*p, feeds); });
  if (plan == s.plans.end()) {
    check_feeds(s.program, feeds);
    std::vector<TensorType> types;
    for (const Tensor& feed : feeds) types.push_back(feed.type());
    s.plans.push_back(std::make_unique<Plan>(s.program, types, *s.devices, *s.kernels, *s.variables,
                                             *s.arena, s.mode));
    if (s.tracer) s.plans.back()->trace(s.tracer);
    plan = s.plans.end() - 1;
  }
  if (plan != s.plans.begin()) std::iter_swap(plan, s.plans.begin());
  Plan& current = *s.plans.front();
  const auto& types = current.fetch_types();
  results.resize(types.size());
  for (size_t i = 0; i < types.size(); ++i) {
    Tensor& result = results[i];
    const bool reusable = result.defined() && result.type() == types[i] &&
                          result.buffer().use_count() == 1 && result.on_host();
    if (!reusable) result = Tensor(types[i].dtype, types[i].shape);
  }
  current.run(feeds, results, ahead);
}

PlanStatistics Function::statistics() const {
  TRIREME_CHECK(!state_->plans.empty(), "run() comes first");
  return state_->plans.front()->statistics();
}

std::vector<NodeTime> Function::profile() const {
  std::vector<NodeTime> times;
  for (const auto& plan : state_->plans) {
    for (const Instruction& i : plan->instructions()) {
      times.push_back({i.node->name(), i.node->op().name, i.total_us, plan->runs()});
    }
  }
  return times;
}

Session::Session(const Graph& graph, SessionOptions options)
    : graph_(graph), options_(std::move(options)) {
  if (!options_.devices) options_.devices = make_device_set();
  if (!options_.kernels) options_.kernels = built_in_kernels();
  if (options_.default_device.empty()) {
    options_.default_device = options_.devices->all().front()->name();
  }
  options_.devices->find(options_.default_device);
  variables_ = std::make_unique<VariableStore>(*options_.devices);
  arena_ = std::make_shared<Arena>(*options_.devices);
}

Session::~Session() = default;

bool Session::copies_ahead() const {
  return std::ranges::any_of(options_.devices->all(), [](const auto& device) {
    return !device->host_memory() && device->transfer_stream() != nullptr;
  });
}

PlacementOptions Session::placement() const {
  PlacementOptions placement{.devices = options_.devices->names(),
                             .default_device = options_.default_device};
  for (const auto& device : options_.devices->all()) {
    if (device->host_memory()) placement.host_devices.push_back(device->name());
  }
  // Where everything is the host there is nothing to choose.
  if (placement.host_devices.size() == placement.devices.size()) placement.host_devices.clear();
  placement.home = [this](const std::string& name) { return variables_->home(name); };
  if (!options_.soft_placement) return placement;
  placement.runs_on = [this](const Node& node, const std::string& name) {
    const std::string& op = node.op().name;
    const std::string& kind = options_.devices->find(name).kernel_kind();
    return !needs_kernel(node) || options_.kernels->find(op, kind, kernel_dtype(node)) != nullptr;
  };
  return placement;
}

std::unique_ptr<Function> Session::function(std::vector<Value> feeds, std::vector<Value> fetches,
                                            std::vector<Node*> targets) {
  auto state = std::make_unique<Function::State>();
  PassOptions passes = options_.passes;
  passes.kernels = options_.kernels.get();
  passes.placement = placement();
  passes.has_kernel = [this](std::string_view op, DType dtype) {
    return std::ranges::all_of(options_.devices->all(), [&](const auto& device) {
      return options_.kernels->find(op, device->kernel_kind(), dtype) != nullptr;
    });
  };
  for (const auto& device : options_.devices->all()) {
    if (device->fuses_elementwise()) passes.chain_devices.push_back(device->name());
  }
  state->program = optimize(copy_program(graph_, feeds, fetches, targets), passes);
  if (options_.log_device_placement) {
    std::fputs(placement_log(state->program).c_str(), stderr);
  }
  state->devices = options_.devices;
  state->kernels = options_.kernels;
  state->variables = variables_.get();
  state->arena = arena_;
  state->mode = {.profile = options_.profile, .record = options_.record};
  state->tracer = options_.tracer;
  return std::unique_ptr<Function>(new Function(std::move(state)));
}

std::vector<Tensor> Session::run(const std::vector<std::pair<Value, Tensor>>& feeds,
                                 std::vector<Value> fetches, std::vector<Node*> targets) {
  std::vector<Value> values;
  std::vector<Tensor> tensors;
  for (const auto& [value, tensor] : feeds) {
    values.push_back(value);
    tensors.push_back(tensor);
  }
  std::vector<Tensor> results;
  function(std::move(values), std::move(fetches), std::move(targets))->run(tensors, results);
  return results;
}

}  // namespace trireme

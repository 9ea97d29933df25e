#include "core/eager/program.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>

#include "core/base/error.h"
#include "core/device/kernel.h"
#include "core/eager/context.h"
#include "core/eager/tape_storage.h"
#include "core/graph/verify.h"

namespace trireme::eager {

Tensor OutputPool::take() {
  // Memory is given back in the order in which it was taken, as a rule: the next one is free, or
  // none is.
  constexpr size_t kTries = 4;
  for (size_t i = 0; i < std::min(kTries, tensors_.size()); ++i) {
    const Tensor& tensor = tensors_[next_];
    next_ = next_ + 1 == tensors_.size() ? 0 : next_ + 1;
    if (tensor.buffer().use_count() == 1) {
      // Whoever let go of it may have read it in another thread.
      std::atomic_thread_fence(std::memory_order_acquire);
      return tensor;
    }
  }
  Tensor tensor(type_.dtype, type_.shape);
  tensors_.insert(tensors_.begin() + static_cast<ptrdiff_t>(next_), tensor);
  next_ = next_ + 1 == tensors_.size() ? 0 : next_ + 1;
  Context::current().count_allocation(tensor.bytes());
  return tensor;
}

size_t OutputPool::trim() {
  std::erase_if(tensors_, [](const Tensor& tensor) { return tensor.buffer().use_count() == 1; });
  next_ = 0;
  return tensors_.size() * type_.bytes();
}

namespace {

Step make_step(const Node& node, const OpTable& ops, const KernelTable& kernels) {
  const OpTraits& traits = node.op().traits;
  if (!mutated_inputs(node).empty() || traits.is_communication || traits.is_copy) {
    throw invalid_argument(node.op().name,
                           " changes a variable or takes part in what other processes do: it "
                           "belongs into a graph, not among values that compute at once");
  }
  Step step;
  step.op = &node.op();
  step.attributes = node.attributes();
  step.is_view = traits.is_view;
  std::vector<TensorType> inputs, outputs;
  for (const trireme::Value& input : node.inputs()) inputs.push_back(input.type());
  for (int i = 0; i < node.output_count(); ++i) {
    outputs.push_back(node.output_type(i));
    if (!outputs.back().shape.is_known()) {
      throw invalid_argument(node.op().name, " '", node.name(), "': the shape of its output ",
                             outputs.back(), " is not known from its inputs");
    }
    step.pools.emplace_back(outputs.back());
  }
  if (step.is_view) return step;
  const KernelSpec spec{.op = *step.op,
                        .attributes = step.attributes,
                        .inputs = std::move(inputs),
                        .outputs = std::move(outputs),
                        .ops = ops,
                        .kernels = kernels,
                        .node_name = step.op->name};
  const KernelFactory* const factory = kernels.find(step.op->name, "cpu", kernel_dtype(spec));
  if (factory == nullptr) {
    throw not_found("there is no kernel of ", step.op->name, " for ", name(kernel_dtype(spec)),
                    " on the CPU");
  }
  step.kernel = (*factory)(spec);
  return step;
}

}  // namespace

Program::Program(std::span<const trireme::Value> inputs, std::span<const trireme::Value> outputs,
                 const OpTable& ops, const KernelTable& kernels)
    : input_count_(inputs.size()) {
  std::unordered_map<trireme::Value, int, ValueHash> places;
  int next = 0;
  for (const trireme::Value& input : inputs) places.emplace(input, next++);
  if (outputs.empty()) return;
  const Graph& graph = outputs[0].graph();
  // What the inputs were computed from is not needed again.
  std::vector<bool> needed(graph.nodes().size(), false);
  const auto need = [&](const trireme::Value& value) {
    if (!places.contains(value)) needed[static_cast<size_t>(value.node->id())] = true;
  };
  for (const trireme::Value& output : outputs) need(output);
  for (size_t id = needed.size(); id-- > 0;) {
    if (!needed[id]) continue;
    for (const trireme::Value& input : graph.nodes()[id]->inputs()) need(input);
  }
  for (size_t id = 0; id < needed.size(); ++id) {
    Node& node = *graph.nodes()[id];
    if (!needed[id] || !is_constant(node)) continue;
    values_.emplace_back(node.attribute<Tensor>("value"));
    places.emplace(node.output(), next++);
  }
  constants_ = values_.size();
  size_t most = 0;
  for (size_t id = 0; id < needed.size(); ++id) {
    Node& node = *graph.nodes()[id];
    if (!needed[id] || is_constant(node)) continue;
    if (is_source(node)) {
      throw invalid_argument("'", node.name(),
                             "' is a node of a graph: values that compute at once cannot use it");
    }
    Step step = make_step(node, ops, kernels);
    for (const trireme::Value& input : node.inputs()) step.inputs.push_back(places.at(input));
    step.first_output = next;
    for (int i = 0; i < node.output_count(); ++i) places.emplace(node.output(i), next++);
    most = std::max(most, step.inputs.size() + step.pools.size());
    steps_.push_back(std::move(step));
  }
  values_.resize(static_cast<size_t>(next) - input_count_);
  addresses_.resize(most);
  for (const trireme::Value& output : outputs) outputs_.push_back(places.at(output));
}

void Program::run(std::span<const Value* const> inputs, std::span<Value> results) {
  for (Step& step : steps_) run_step(step, inputs);
  for (size_t i = 0; i < outputs_.size(); ++i) results[i] = at(outputs_[i], inputs);
  // So that their memory is free as soon as the caller lets go of it.
  for (size_t i = constants_; i < values_.size(); ++i) values_[i] = Value();
}

void Program::run_step(Step& step, std::span<const Value* const> inputs) {
  Context& context = Context::current();
  const size_t first = static_cast<size_t>(step.first_output) - input_count_;
  if (step.is_view) {
    const Tensor& input = at(step.inputs[0], inputs).tensor();
    values_[first] = Value(input.reshaped(step.pools[0].type().shape));
  } else {
    const size_t count = step.inputs.size();
    for (size_t i = 0; i < count; ++i) {
      addresses_[i] = const_cast<void*>(at(step.inputs[i], inputs).tensor().raw());
    }
    for (size_t i = 0; i < step.pools.size(); ++i) {
      values_[first + i] = Value(step.pools[i].take());
      addresses_[count + i] = const_cast<void*>(values_[first + i].tensor().raw());
    }
    step.kernel.run({.inputs = addresses_.data(),
                     .outputs = addresses_.data() + count,
                     .scratch = context.scratch(step.kernel.scratch_bytes),
                     .input_count = static_cast<int>(count),
                     .output_count = static_cast<int>(step.pools.size())});
  }
  for (TapeStorage* tape : context.tapes()) {
    tape->record(step, {values_.data() + first, step.pools.size()},
                 [&](size_t i) -> const Value& { return at(step.inputs[i], inputs); });
  }
}

size_t Program::trim() {
  size_t held = 0;
  for (Step& step : steps_) {
    for (OutputPool& pool : step.pools) held += pool.trim();
  }
  return held;
}

}  // namespace trireme::eager

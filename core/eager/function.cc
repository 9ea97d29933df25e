#include "core/eager/function.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/eager/context.h"
#include "core/eager/tape_storage.h"
#include "core/ops/ops.h"
#include "core/runtime/session.h"

namespace trireme::eager {

struct TracedFunction::Trace {
  std::vector<TensorType> types;
  std::unique_ptr<Graph> graph;
  Context::Captures captures;
  std::unique_ptr<Session> session;
  std::unique_ptr<trireme::Function> function;  // null: nothing depends on the inputs
  std::vector<Value> results;                   // those that are no nodes, else undefined
  std::vector<Tensor> feeds, fetched;
};

TracedFunction::TracedFunction() = default;
TracedFunction::~TracedFunction() = default;
TracedFunction::TracedFunction(TracedFunction&&) noexcept = default;

std::vector<Value> TracedFunction::call(std::span<const Value> inputs, const Body& body) {
  const auto& tapes = Context::current().tapes();
  for (const Value& input : inputs) {
    if (!input.defined()) throw invalid_argument("an input of a function is undefined");
    const auto watches = [&](const TapeStorage* tape) { return tape->watches(input); };
    if (input.is_symbol() || std::ranges::any_of(tapes, watches)) return body(inputs);
  }
  Trace& trace = this->trace(inputs, body);
  for (const auto& [value, node] : trace.captures) {
    for (const TapeStorage* tape : tapes) {
      if (tape->watches(value)) {
        throw invalid_argument(
            "a function was traced with a value that a tape watches now, and that is not among its "
            "inputs: its gradient would be lost; make it an input");
      }
    }
  }
  std::vector<Value> results = trace.results;
  if (trace.function == nullptr) return results;
  for (size_t i = 0; i < inputs.size(); ++i) trace.feeds[i] = inputs[i].tensor();
  trace.function->run(trace.feeds, trace.fetched);
  std::ranges::fill(trace.feeds, Tensor());
  auto next = trace.fetched.begin();
  for (Value& result : results) {
    if (!result.defined()) result = Value(*next++);
  }
  return results;
}

TracedFunction::Trace& TracedFunction::trace(std::span<const Value> inputs, const Body& body) {
  for (const auto& trace : traces_) {
    const bool is_it = std::ranges::equal(
        trace->types, inputs,
        [](const TensorType& type, const Value& value) { return type == value.type(); });
    if (is_it) return *trace;
  }
  Context& context = Context::current();
  auto trace = std::make_unique<Trace>();
  trace->graph = std::make_unique<Graph>(context.ops());
  std::vector<trireme::Value> feeds, fetches;
  std::vector<Value> symbols;
  for (const Value& input : inputs) {
    trace->types.push_back(input.type());
    feeds.push_back(ops::placeholder(*trace->graph, "x", input.dtype(), input.shape()));
    symbols.emplace_back(feeds.back());
  }
  Context::Captures* const before = context.set_captures(&trace->captures);
  try {
    trace->results = body(symbols);
  } catch (...) {
    context.set_captures(before);
    throw;
  }
  context.set_captures(before);
  for (Value& result : trace->results) {
    if (!result.defined()) {
      throw invalid_argument(
          "a traced function gave a result that is undefined: a gradient with "
          "respect to what the target does not depend on, for one");
    }
    if (!result.is_symbol()) continue;
    fetches.push_back(result.symbol());
    result = Value();
  }
  if (!fetches.empty()) {
    trace->session =
        std::make_unique<Session>(*trace->graph, SessionOptions{.kernels = context.kernels()});
    trace->function = trace->session->function(std::move(feeds), std::move(fetches));
    trace->feeds.resize(inputs.size());
  }
  traces_.push_back(std::move(trace));
  return *traces_.back();
}

}  // namespace trireme::eager

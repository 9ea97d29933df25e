// eager::function(f): f as one graph, which a session runs with all passes.
//
//   auto step = eager::function([&](const eager::Value& w, const eager::Value& x) {
//     eager::Tape tape;
//     tape.watch(w);
//     const eager::Value loss = eager::mean(eager::square(eager::matmul(x, w)));
//     return std::vector{loss, tape.gradient(loss, w)};
//   });
//   auto results = step(w, x);
//
// At the first call with inputs of some types f is called with values that stand for nodes of a
// graph; later calls run that graph. So what f does besides computing values happens once, and
// values that f uses and that are not among its inputs stay what they were then. When a tape
// watches an input, f itself is called, so that the tape sees each of its ops.
//
// f takes values and returns a Value or a std::vector of them. One thread at a time.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/eager/value.h"

namespace trireme::eager {

// The graphs of one function, one for the types of its inputs.
class TracedFunction {
 public:
  using Body = std::function<std::vector<Value>(std::span<const Value> inputs)>;
  TracedFunction();
  ~TracedFunction();
  TracedFunction(TracedFunction&&) noexcept;

  std::vector<Value> call(std::span<const Value> inputs, const Body& body);
  size_t traces() const { return traces_.size(); }  // so many graphs were made

 private:
  struct Trace;
  Trace& trace(std::span<const Value> inputs, const Body& body);
  std::vector<std::unique_ptr<Trace>> traces_;
};

template <typename F>
class Function {
 public:
  explicit Function(F f) : f_(std::move(f)) {}

  template <typename... Values>
  auto operator()(const Values&... values) {
    using Result = std::invoke_result_t<F&, const Values&...>;
    const std::array<Value, sizeof...(Values)> inputs = {values...};
    std::vector<Value> results = traced_.call(inputs, [this](std::span<const Value> given) {
      return call(given, std::make_index_sequence<sizeof...(Values)>());
    });
    if constexpr (std::is_same_v<Result, Value>) {
      return std::move(results[0]);
    } else {
      return results;
    }
  }
  size_t traces() const { return traced_.traces(); }

 private:
  template <size_t... I>
  std::vector<Value> call(std::span<const Value> given, std::index_sequence<I...>) {
    auto result = f_(given[I]...);
    if constexpr (std::is_same_v<decltype(result), Value>) {
      return {std::move(result)};
    } else {
      return result;
    }
  }

  F f_;
  TracedFunction traced_;
};

template <typename F>
Function<F> function(F f) {
  return Function<F>(std::move(f));
}

}  // namespace trireme::eager

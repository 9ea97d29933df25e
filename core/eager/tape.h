// A Tape records what is computed from the values that it watches, and differentiates it.
//
//   eager::Tape tape;
//   tape.watch(w);
//   const eager::Value loss = eager::mean(eager::square(eager::matmul(x, w) - y));
//   const eager::Value dw = tape.gradient(loss, w);
//
// Gradients are those of the graph: the same rules of the ops, run by the same kernels. They are
// recorded by the other tapes that are active, so that a tape around a tape gives second
// derivatives. A tape is active from its making to its end, in the thread that made it, and keeps
// the values that it has recorded as long.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/eager/value.h"

namespace trireme::eager {

class TapeStorage;

class Tape {
 public:
  Tape();
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  // Records from now on what is computed from `value`. Throws Error{kInvalidArgument} unless it is
  // of floating-point numbers.
  void watch(const Value& value);

  // The gradient of the sum of `target`'s elements with respect to each of `sources`, which were
  // watched or computed from what was; undefined where the target does not depend on one. May be
  // called several times. Throws Error{kInvalidArgument} for a source that the tape does not know.
  std::vector<Value> gradient(const Value& target, std::span<const Value> sources);
  Value gradient(const Value& target, const Value& source);
  // The same into `results`, one for each source: allocates nothing in a loop.
  void gradient(const Value& target, std::span<const Value> sources, std::span<Value> results);
  // Σ target · seed instead: a vector-Jacobian product. `seed` has the target's type.
  std::vector<Value> gradient(const Value& target, std::span<const Value> sources,
                              const Value& seed);

 private:
  std::unique_ptr<TapeStorage> storage_;
};

}  // namespace trireme::eager

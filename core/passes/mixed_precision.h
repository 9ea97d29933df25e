// Mixed precision (Micikevicius et al. 2018): a forward pass of f32 is built a second time so that
// its products compute in a 16-bit float, f16 or bf16.
//
// Run it before gradients are taken: they then follow the types by themselves, and those of f32
// variables are f32 because the gradient of a Cast is a Cast back. Which op is computed in what:
//
//   - matrix products and convolutions, fused ones too: small, with f32 sums inside;
//   - what follows them and only moves, selects or adds (bias, relu, pooling, dropout, reshaping,
//     concatenation): small where an input is, so that values stay small from product to product;
//   - elementwise arithmetic of two values: small when both are, or one is and the other is a
//     variable or constant; f32 when one of them is a value that was computed in f32;
//   - batch norm: x and y as they come, everything else f32;
//   - all else (exponentials, logarithms, softmax, losses, means, sums): f32;
//   - from the last product to the results: f32, so that a loss sees all digits of the logits.
//
// A value is cast once, however many use it: a variable once a step. Nothing is cast to f32 whose
// f32 is there.
#pragma once

#include <unordered_map>
#include <vector>

#include "core/graph/graph.h"

namespace trireme {

class MixedPrecision {
 public:
  // Adds to the graph of `results` what computes them and all that they need; the old nodes stay,
  // and are pruned when nothing else uses them. REQUIRES: `small` is f16 or bf16.
  MixedPrecision(const std::vector<Value>& results, DType small);

  // What stands for a value of the old pass, of the same type; the value itself where the results
  // do not need it.
  Value operator()(Value old) { return wide(old); }

 private:
  void find_last(const std::vector<Value>& results);
  void rebuild(Node& node);
  std::vector<Value> inputs_for(const Node& node);
  bool is_narrow(Value old) const;
  Value narrow(Value old);
  Value wide(Value old);
  Value as_is(Value old) { return is_narrow(old) ? narrow(old) : wide(old); }

  // What stands for an old value in f32 and in the small type; the first that was there is what
  // computes it.
  struct Twins {
    Value wide, narrow;
    bool is_narrow = false;
  };

  Graph& graph_;
  const DType small_;
  std::vector<Node*> nodes_;   // those that the results need, in order
  std::vector<bool> is_last_;  // by node id: no product comes after it
  std::unordered_map<Value, Twins, ValueHash> twins_;
};

}  // namespace trireme

// Layers that make one value of several, or of the rows of an example.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/nn/layers.h"

namespace trireme::nn {

// The inputs side by side along an axis; in all others they are alike.
struct ConcatOptions {
  int64_t axis = -1;  // the batch is axis 0; negative: from the last
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Concat : public LayerOf<ConcatOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "concat"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};

// What is made number by number of inputs of one dtype, whose shapes are alike or broadcast as in
// NumPy: their sum, difference (of two), product, mean, largest and smallest.
struct MergeOptions {
  std::string name = "";

  void describe(OptionVisitor&) {}
};
class Add : public LayerOf<MergeOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "add"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};
class Subtract : public LayerOf<MergeOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "subtract"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};
class Multiply : public LayerOf<MergeOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "multiply"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};
class Average : public LayerOf<MergeOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "average"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};
class Maximum : public LayerOf<MergeOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "maximum"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};
class Minimum : public LayerOf<MergeOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "minimum"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};

// The dot products of two inputs along an axis of each: [batch, a…, n] and [batch, b…, n] → [batch,
// a…, b…], or [batch, 1] where nothing else is left.
struct DotOptions {
  std::vector<int64_t> axes = {};  // one for both, or one for each; must be given
  bool normalize = false;          // brings the vectors to length 1: cosines
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class Dot : public LayerOf<DotOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "dot"; }
  bool keeps_mask() const override { return false; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};

// The dot product of each pair of an example's vectors (Naumov et al. 2019): inputs [batch, dim] or
// [batch, k, dim], n vectors in all → [batch, n·(n − 1)/2], in the order (1, 0), (2, 0), (2, 1), ….
struct DotInteractionOptions {
  std::string name = "";

  void describe(OptionVisitor&) {}
};
class DotInteraction : public LayerOf<DotInteractionOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "dot_interaction"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};

// The sum of the rows that an example's indices name: [batch, n] → [batch, dimension]. Its table is
// that of an Embedding.
using EmbeddingBagOptions = EmbeddingOptions;
class EmbeddingBag : public LayerOf<EmbeddingBagOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "embedding_bag"; }
  Value call(BuildContext& context, Value x) override;
};

}  // namespace trireme::nn

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

// The sum of inputs of one type.
struct AddOptions {
  std::string name = "";

  void describe(OptionVisitor&) {}
};
class Add : public LayerOf<AddOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "add"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};

// The product, number by number, of inputs of one type.
struct MultiplyOptions {
  std::string name = "";

  void describe(OptionVisitor&) {}
};
class Multiply : public LayerOf<MultiplyOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "multiply"; }
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

// What a transformer has besides attention: positions of steps, and its block.
#pragma once

#include <cstdint>
#include <string>

#include "core/nn/layers.h"

namespace trireme::nn {

// A vector of each position, learned: x [batch, time, features] gives the first `time` of them, for
// each example; add them to x. Variable: embeddings [sequence_length, features].
struct PositionEmbeddingOptions {
  int64_t sequence_length = 0;  // must be given
  Initializer initializer = glorot_uniform();
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class PositionEmbedding : public LayerOf<PositionEmbeddingOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "position_embedding"; }
  Value call(BuildContext& context, Value x) override;
};

// The vector of each index plus that of its position: [batch, time] → [batch, time, dimension].
// Variables: token_embedding/embeddings [vocabulary, dimension], position_embedding/embeddings
// [sequence_length, dimension]. Unlike Embedding's table, both are updated as a whole.
struct TokenAndPositionEmbeddingOptions {
  int64_t vocabulary = 0, sequence_length = 0, dimension = 0;  // must be given
  bool mask_zero = false;
  Initializer initializer = uniform();
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class TokenAndPositionEmbedding : public LayerOf<TokenAndPositionEmbeddingOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "token_and_position_embedding"; }
  Value call(BuildContext& context, Value x) override;
};

// sin and cos of each position at falling frequencies (Vaswani et al. 2017), in the shape of x
// [batch, time, features]; add them to x.
struct SinePositionEncodingOptions {
  double max_wavelength = 10000;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class SinePositionEncoding : public LayerOf<SinePositionEncodingOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "sine_position_encoding"; }
  Value call(BuildContext& context, Value x) override;
};

// Rotates each pair of features i and i + features/2 by an angle that grows with the position (Su
// et al. 2021). x: [batch, time, features] or [batch, time, heads, features], an even number.
struct RotaryEmbeddingOptions {
  double max_wavelength = 10000;
  double scaling_factor = 1;  // divides positions
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class RotaryEmbedding : public LayerOf<RotaryEmbeddingOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "rotary_embedding"; }
  Value call(BuildContext& context, Value x) override;
};

// A block of a transformer over x [batch, time, features]: x + attention(norm(x)), then x +
// output(activation(intermediate(norm(x)))); the norms stand behind the sums where normalize_first
// is false. Its parts are layers: attention_norm, attention, feedforward_norm, intermediate,
// output.
struct TransformerBlockOptions {
  int64_t num_heads = 0;         // must be given; divides the features
  int64_t intermediate_dim = 0;  // must be given
  Activation activation = Activation::kRelu;
  double dropout = 0;  // of what is added to x, and of the weights of attention
  double epsilon = 1e-5;
  bool use_causal_mask = false;
  bool normalize_first = true;
  Initializer kernel_initializer = glorot_uniform();
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class TransformerBlock : public LayerOf<TransformerBlockOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "transformer_block"; }
  Value call(BuildContext& context, Value x) override;
};

void register_transformer_layers(Catalog<Layer>& catalog);

}  // namespace trireme::nn

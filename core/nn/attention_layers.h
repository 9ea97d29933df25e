// Attention: layers in which each step of a sequence looks at steps of another, or of its own.
//
// Sequences are [batch, time, features]. Of steps that are padding (BuildContext::mask()) in what
// is looked at, nothing is seen. A query that sees nothing gets zeros, where Keras gives the mean
// of all values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/nn/layers.h"

namespace trireme::nn {

// Heads of scaled dot-product attention between projections of the inputs, and a projection of what
// they give (Vaswani et al. 2017). Inputs: query; value, if it is not the query; key, if it is not
// the value; and maybe a bool mask [batch, q_len, k_len] of the keys that a query sees. Variables:
// query/kernel, key/kernel, value/kernel [features, num_heads·dim], attention_output/kernel, and
// their biases.
struct MultiHeadAttentionOptions {
  int64_t num_heads = 0, key_dim = 0;        // must be given
  std::optional<int64_t> value_dim = {};     // nothing: key_dim
  std::optional<int64_t> output_width = {};  // nothing: that of the query
  double dropout = 0;                        // of the weights of the values
  bool use_bias = true;
  bool use_causal_mask = false;
  Initializer kernel_initializer = glorot_uniform();
  Initializer bias_initializer = zeros();
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class MultiHeadAttention : public LayerOf<MultiHeadAttentionOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "multi_head_attention"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};

// The same where several heads of queries share one of keys and values (Ainslie et al. 2023).
struct GroupQueryAttentionOptions {
  int64_t head_dim = 0, num_query_heads = 0, num_key_value_heads = 0;  // must be given
  double dropout = 0;
  bool use_bias = true;
  bool use_causal_mask = false;
  Initializer kernel_initializer = glorot_uniform();
  Initializer bias_initializer = zeros();
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class GroupQueryAttention : public LayerOf<GroupQueryAttentionOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "group_query_attention"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};

// Attention without projections (Luong et al. 2015). Inputs: query [batch, q_len, d], value [batch,
// k_len, e], and key, if it is not the value.
enum class ScoreMode : uint8_t { kDot, kConcat };
struct AttentionLayerOptions {
  bool use_scale = false;  // a variable that scores are multiplied by
  ScoreMode score_mode = ScoreMode::kDot;
  double dropout = 0;
  bool use_causal_mask = false;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class DotAttention : public LayerOf<AttentionLayerOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "attention"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};

// The same with Σ scale·tanh(query + key) as scores (Bahdanau et al. 2015).
struct AdditiveAttentionOptions {
  bool use_scale = true;
  double dropout = 0;
  bool use_causal_mask = false;
  std::string name = "";

  void describe(OptionVisitor& visitor);
};
class AdditiveAttention : public LayerOf<AdditiveAttentionOptions> {
 public:
  using LayerOf::LayerOf;
  std::string type() const override { return "additive_attention"; }
  Value call_inputs(BuildContext& context, std::span<const Value> inputs) override;
};

void register_attention_layers(Catalog<Layer>& catalog);

}  // namespace trireme::nn

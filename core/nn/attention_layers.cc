#include "core/nn/attention_layers.h"

#include <vector>

#include "core/base/error.h"
#include "core/ops/attention.h"

namespace trireme::nn {
namespace {

void describe_dropout(OptionVisitor& v, double& dropout) {
  v.field({.name = "dropout",
           .help = "share of the weights of values that are set to 0 while training; the scores "
                   "are then stored",
           .range = from_below(0, 1)},
          dropout);
}
void describe_causal(OptionVisitor& v, bool& causal) {
  v.field({.name = "use_causal_mask", .help = "step i sees no step after i"}, causal);
}

// What a layer is called on.
struct Sequences {
  Value query, value, key;
  Value seen;  // bool [batch, 1 or heads, 1 or q_len, k_len]; undefined: all
};

Sequences sequences_of(const BuildContext& context, std::span<const Value> inputs) {
  if (inputs.empty() || inputs.size() > 4) {
    throw invalid_argument("expected one to four inputs (query, value, key and a mask), found ",
                           inputs.size());
  }
  for (size_t i = 0; i < std::min<size_t>(inputs.size(), 3); ++i) {
    const Shape& shape = inputs[i].shape();
    context.require(
        is_floating(inputs[i].dtype()) && shape.rank() == 3 && shape[1] > 0 && shape[2] > 0,
        "a sequence [batch, time, features] of known length and width", "", i);
  }
  Sequences s;
  s.query = inputs[0];
  s.value = inputs.size() > 1 ? inputs[1] : s.query;
  s.key = inputs.size() > 2 ? inputs[2] : s.value;
  context.require(s.key.shape()[1] == s.value.shape()[1],
                  str_cat("a key of each of the ", s.value.shape()[1], " values"), "", 2);
  const auto see = [&](Value mask) {
    s.seen = s.seen.defined() ? ops::logical_and(s.seen, mask) : mask;
  };
  if (inputs.size() > 3) {
    const Shape& shape = inputs[3].shape();
    context.require(inputs[3].dtype() == DType::kBool && (shape.rank() == 3 || shape.rank() == 4),
                    "a bool mask [batch, q_len, k_len] or [batch, heads, q_len, k_len]", "", 3);
    see(shape.rank() == 4 ? inputs[3] : ops::expand_dims(inputs[3], {1}));
  }
  const Value of_values = context.mask(s.value);
  if (of_values.defined()) see(ops::expand_dims(of_values, {1, 2}));
  if (s.key != s.value) {
    const Value of_keys = context.mask(s.key);
    if (of_keys.defined()) see(ops::expand_dims(of_keys, {1, 2}));
  }
  return s;
}

struct Heads {
  int64_t heads, kv_heads, key_dim, value_dim;
  std::optional<int64_t> output_width;
  double dropout;
  bool use_bias, causal;
  const Initializer &kernel, &bias;
};

// A projection's kernel and bias; no bias where there is none.
struct Projection {
  Value kernel, bias;

  Projection(BuildContext& context, const Heads& h, const std::string& name, int64_t from,
             int64_t to) {
    const Shape shape{from, to};
    const Fans fans = fans_of(shape);
    kernel = context.variable(name + "/kernel", shape, h.kernel, fans);
    if (h.use_bias) bias = context.variable(name + "/bias", {to}, h.bias, fans);
  }
  Value of(Value x) const {
    const Value y = ops::matmul(x, kernel);
    return bias.defined() ? ops::bias_add(y, bias) : y;
  }
};

Value split(Value x, int64_t heads, int64_t dim) {
  return ops::reshape(x, {-1, x.shape()[1], heads, dim});
}

Value multi_head(BuildContext& context, const Heads& h, std::span<const Value> inputs) {
  const Sequences s = sequences_of(context, inputs);
  const int64_t keys = h.kv_heads * h.key_dim, values = h.kv_heads * h.value_dim;
  const Projection query(context, h, "query", s.query.shape()[2], h.heads * h.key_dim);
  const Projection key(context, h, "key", s.key.shape()[2], keys);
  const Projection value(context, h, "value", s.value.shape()[2], values);
  const AttentionOptions options{.causal = h.causal, .mask = s.seen};
  const bool is_self = s.query == s.key && s.key == s.value && h.key_dim == h.value_dim;
  const bool drops = context.training() && h.dropout > 0;
  Value y;
  if (is_self && !drops) {
    // One product, and its rows are read where they lie.
    Value packed = ops::matmul(s.query, ops::concat({query.kernel, key.kernel, value.kernel}, 1));
    if (h.use_bias) {
      packed = ops::bias_add(packed, ops::concat({query.bias, key.bias, value.bias}, 0));
    }
    y = ops::packed_attention(split(packed, h.heads + 2 * h.kv_heads, h.key_dim), h.kv_heads,
                              options)
            .y;
  } else {
    const Value q = split(query.of(s.query), h.heads, h.key_dim),
                k = split(key.of(s.key), h.kv_heads, h.key_dim),
                v = split(value.of(s.value), h.kv_heads, h.value_dim);
    y = drops ? ops::composed_attention(q, k, v,
                                        {.attention = options,
                                         .dropout = h.dropout,
                                         .random_key = context.random_key(),
                                         .seed = context.layer_seed()})
                    .y
              : ops::attention(q, k, v, options).y;
  }
  const int64_t width = h.heads * h.value_dim;
  const Projection output(context, h, "attention_output", width,
                          h.output_width.value_or(s.query.shape()[2]));
  return output.of(ops::reshape(y, {-1, s.query.shape()[1], width}));
}

// y [batch, q_len, e] of one head whose scores are not scaled.
Value one_head(BuildContext& context, const Sequences& s, Value query, bool causal,
               double dropout) {
  const auto head = [](Value x) { return ops::expand_dims(x, {2}); };
  const AttentionOptions options{.causal = causal, .scale = 1, .mask = s.seen};
  const Value q = head(query), k = head(s.key), v = head(s.value);
  const Value y = context.training() && dropout > 0
                      ? ops::composed_attention(q, k, v,
                                                {.attention = options,
                                                 .dropout = dropout,
                                                 .random_key = context.random_key(),
                                                 .seed = context.layer_seed()})
                            .y
                      : ops::attention(q, k, v, options).y;
  return ops::squeeze(y, {2});
}

// The same where scores are Σ weights·tanh(scale·(query + key)); weights, scale: undefined for 1.
Value by_sums(BuildContext& context, const Sequences& s, Value weights, Value scale, bool causal,
              double dropout) {
  context.require(s.query.shape()[2] == s.key.shape()[2],
                  str_cat("a query as wide as the key, ", s.key.shape()[2]));
  Value sums = ops::expand_dims(s.query, {2}) + ops::expand_dims(s.key, {1});
  if (scale.defined()) sums = sums * scale;
  Value scores = ops::tanh(sums);
  if (weights.defined()) scores = scores * weights;
  // As what is added to the products with keys of zeros.
  const Value bias = ops::expand_dims(ops::sum(scores, {-1}), {1});
  const auto head = [](Value x) { return ops::expand_dims(x, {2}); };
  const bool drops = context.training() && dropout > 0;
  return ops::squeeze(
      ops::composed_attention(ops::zeros_like(head(s.query)), ops::zeros_like(head(s.key)),
                              head(s.value),
                              {.attention = {.causal = causal, .scale = 1, .mask = s.seen},
                               .bias = bias,
                               .dropout = drops ? dropout : 0,
                               .random_key = drops ? context.random_key() : Value(),
                               .seed = drops ? context.layer_seed() : 0})
          .y,
      {2});
}

void require_value(std::span<const Value> inputs) {
  if (inputs.size() < 2) {
    throw invalid_argument("expected a query and a value, found ", inputs.size(),
                           " inputs; name the layers that they come from: inputs: \"a\" inputs: "
                           "\"b\"");
  }
}

}  // namespace

void MultiHeadAttentionOptions::describe(OptionVisitor& v) {
  v.field({.name = "num_heads",
           .help = "each has projections of its own",
           .range = at_least(1),
           .default_text = "must be given"},
          num_heads);
  v.field({.name = "key_dim",
           .help = "numbers of a query and a key of one head",
           .range = at_least(1),
           .default_text = "must be given"},
          key_dim);
  v.field({.name = "value_dim",
           .help = "numbers of a value of one head",
           .range = at_least(1),
           .default_text = "key_dim"},
          value_dim);
  v.field({.name = "output_width",
           .help = "numbers of a step of the output",
           .range = at_least(1),
           .default_text = "as many as the query has",
           .keras = "output_shape"},
          output_width);
  describe_dropout(v, dropout);
  v.field({.name = "use_bias", .help = "adds a bias to each projection"}, use_bias);
  describe_causal(v, use_causal_mask);
  nn::describe(v, {.name = "kernel_initializer", .help = "first values of the kernels"},
               kernel_initializer);
  nn::describe(v, {.name = "bias_initializer", .help = "first values of the biases"},
               bias_initializer);
}

Value MultiHeadAttention::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  const auto& o = options_;
  return multi_head(
      context,
      {o.num_heads, o.num_heads, o.key_dim, o.value_dim.value_or(o.key_dim), o.output_width,
       o.dropout, o.use_bias, o.use_causal_mask, o.kernel_initializer, o.bias_initializer},
      inputs);
}

void GroupQueryAttentionOptions::describe(OptionVisitor& v) {
  v.field({.name = "head_dim",
           .help = "numbers of a query, key and value of one head",
           .range = at_least(1),
           .default_text = "must be given"},
          head_dim);
  v.field({.name = "num_query_heads",
           .help = "a multiple of num_key_value_heads",
           .range = at_least(1),
           .default_text = "must be given"},
          num_query_heads);
  v.field({.name = "num_key_value_heads",
           .help = "each serves as many heads of queries",
           .range = at_least(1),
           .default_text = "must be given"},
          num_key_value_heads);
  describe_dropout(v, dropout);
  v.field({.name = "use_bias", .help = "adds a bias to each projection"}, use_bias);
  describe_causal(v, use_causal_mask);
  nn::describe(v, {.name = "kernel_initializer", .help = "first values of the kernels"},
               kernel_initializer);
  nn::describe(v, {.name = "bias_initializer", .help = "first values of the biases"},
               bias_initializer);
}

void GroupQueryAttentionOptions::check() const {
  if (num_key_value_heads > 0 && num_query_heads % num_key_value_heads == 0) return;
  throw invalid_argument(
      "group_query_attention: num_query_heads: expected a multiple of "
      "num_key_value_heads, ",
      num_key_value_heads, ", found ", num_query_heads);
}

Value GroupQueryAttention::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  const auto& o = options_;
  return multi_head(
      context,
      {o.num_query_heads, o.num_key_value_heads, o.head_dim, o.head_dim, std::nullopt, o.dropout,
       o.use_bias, o.use_causal_mask, o.kernel_initializer, o.bias_initializer},
      inputs);
}

void AttentionLayerOptions::describe(OptionVisitor& v) {
  v.field({.name = "use_scale", .help = "multiplies the scores by a variable"}, use_scale);
  static constexpr EnumName<ScoreMode> kModes[] = {{ScoreMode::kDot, "DOT"},
                                                   {ScoreMode::kConcat, "CONCAT"}};
  v.field({.name = "score_mode",
           .help = "DOT: query·key; CONCAT: a variable times the sum of tanh(scale·(query + key))"},
          score_mode, kModes);
  describe_dropout(v, dropout);
  describe_causal(v, use_causal_mask);
}

Value DotAttention::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  require_value(inputs);
  const Sequences s = sequences_of(context, inputs);
  Value scale;
  if (options_.use_scale) scale = context.variable("scale", {}, ones());
  if (options_.score_mode == ScoreMode::kConcat) {
    return by_sums(context, s, context.variable("concat_score_weight", {}, ones()), scale,
                   options_.use_causal_mask, options_.dropout);
  }
  context.require(s.query.shape()[2] == s.key.shape()[2],
                  str_cat("a query as wide as the key, ", s.key.shape()[2]));
  return one_head(context, s, scale.defined() ? s.query * scale : s.query, options_.use_causal_mask,
                  options_.dropout);
}

void AdditiveAttentionOptions::describe(OptionVisitor& v) {
  v.field({.name = "use_scale", .help = "weighs the sum by a variable"}, use_scale);
  describe_dropout(v, dropout);
  describe_causal(v, use_causal_mask);
}

Value AdditiveAttention::call_inputs(BuildContext& context, std::span<const Value> inputs) {
  require_value(inputs);
  const Sequences s = sequences_of(context, inputs);
  const Shape width{s.query.shape()[2]};
  Value weights;
  if (options_.use_scale) {
    weights = context.variable("scale", width, glorot_uniform(), fans_of(width));
  }
  return by_sums(context, s, weights, {}, options_.use_causal_mask, options_.dropout);
}

void register_attention_layers(Catalog<Layer>& catalog) {
  catalog.add<MultiHeadAttention>(
      "multi_head_attention", "MultiHeadAttention",
      "Each step looks at the steps of a sequence, by several projections.");
  catalog.add<GroupQueryAttention>("group_query_attention", "GroupQueryAttention",
                                   "multi_head_attention whose queries share keys and values.");
  catalog.add<DotAttention>("attention", "Attention",
                            "Values weighed by the products of a query with their keys.");
  catalog.add<AdditiveAttention>("additive_attention", "AdditiveAttention",
                                 "Values weighed by tanh(query + key).");
}

}  // namespace trireme::nn

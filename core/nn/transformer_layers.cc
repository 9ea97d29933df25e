#include "core/nn/transformer_layers.h"

#include <cmath>
#include <vector>

#include "core/base/error.h"
#include "core/nn/attention_layers.h"

namespace trireme::nn {
namespace {

void require_sequence(const BuildContext& context, Value x) {
  const Shape& shape = x.shape();
  context.require(is_floating(x.dtype()) && shape.rank() == 3 && shape[1] > 0 && shape[2] > 0,
                  "a sequence [batch, time, features] of known length and width");
}

// The first `time` rows of a table of positions.
Value first_positions(BuildContext& context, Value table, int64_t time) {
  const int64_t rows = table.shape()[0];
  context.require(time <= rows, str_cat("at most ", rows, " steps, sequence_length"));
  return time == rows ? table : ops::slice(table, {0, 0}, {time, -1});
}

// A constant [time, width] of numbers of (position, column).
template <typename Number>
Value by_position(BuildContext& context, int64_t time, int64_t width, Number number) {
  std::vector<float> values;
  for (int64_t t = 0; t < time; ++t) {
    for (int64_t c = 0; c < width; ++c) values.push_back(static_cast<float>(number(t, c)));
  }
  return ops::constant(context.graph(), Tensor::from<float>({time, width}, values));
}

}  // namespace

void PositionEmbeddingOptions::describe(OptionVisitor& v) {
  v.field({.name = "sequence_length",
           .help = "the most steps of an example",
           .range = at_least(1),
           .default_text = "must be given"},
          sequence_length);
  nn::describe(v, {.name = "initializer", .help = "first values of the vectors"}, initializer);
}

Value PositionEmbedding::call(BuildContext& context, Value x) {
  require_sequence(context, x);
  const Shape shape{options_.sequence_length, x.shape()[2]};
  const Value table = context.variable("embeddings", shape, options_.initializer, fans_of(shape));
  return ops::broadcast_like(ops::expand_dims(first_positions(context, table, x.shape()[1]), {0}),
                             x);
}

void TokenAndPositionEmbeddingOptions::describe(OptionVisitor& v) {
  v.field({.name = "vocabulary",
           .help = "indices are below it",
           .range = at_least(1),
           .default_text = "must be given"},
          vocabulary);
  v.field({.name = "sequence_length",
           .help = "the most steps of an example",
           .range = at_least(1),
           .default_text = "must be given"},
          sequence_length);
  v.field({.name = "dimension",
           .help = "numbers of a vector",
           .range = at_least(1),
           .default_text = "must be given"},
          dimension);
  v.field({.name = "mask_zero",
           .help = "index 0 stands for padding: later layers leave those steps out"},
          mask_zero);
  nn::describe(v, {.name = "embeddings_initializer", .help = "first values of the vectors"},
               initializer);
}

Value TokenAndPositionEmbedding::call(BuildContext& context, Value x) {
  context.require(x.dtype() == DType::kInt64 || x.dtype() == DType::kInt32, "i32 or i64 indices",
                  "an embedding is called on what the data give");
  context.require(x.shape().rank() == 2 && x.shape()[1] > 0,
                  "sequences of indices [batch, time] of known length");
  const Shape tokens{options_.vocabulary, options_.dimension},
      positions{options_.sequence_length, options_.dimension};
  const Value token_table =
      context.variable("token_embedding/embeddings", tokens, options_.initializer, fans_of(tokens));
  const Value position_table = context.variable("position_embedding/embeddings", positions,
                                                options_.initializer, fans_of(positions));
  const Value y =
      ops::gather(token_table, x) + first_positions(context, position_table, x.shape()[1]);
  if (options_.mask_zero) {
    context.set_mask(y, ops::not_equal(x, ops::scalar(context.graph(), x.dtype(), 0)));
  }
  return y;
}

void SinePositionEncodingOptions::describe(OptionVisitor& v) {
  v.field(
      {.name = "max_wavelength", .help = "of the slowest sine, over 2π steps", .range = above(0)},
      max_wavelength);
}

Value SinePositionEncoding::call(BuildContext& context, Value x) {
  require_sequence(context, x);
  const int64_t width = x.shape()[2];
  const Value waves = by_position(context, x.shape()[1], width, [&](int64_t t, int64_t c) {
    const double rate = std::pow(1 / options_.max_wavelength,
                                 static_cast<double>(c / 2 * 2) / static_cast<double>(width));
    const double angle = static_cast<double>(t) * rate;
    return c % 2 == 0 ? std::sin(angle) : std::cos(angle);
  });
  return ops::broadcast_like(ops::expand_dims(ops::cast(waves, x.dtype()), {0}), x);
}

void RotaryEmbeddingOptions::describe(OptionVisitor& v) {
  v.field({.name = "max_wavelength",
           .help = "of the slowest rotation, over 2π steps",
           .range = above(0)},
          max_wavelength);
  v.field({.name = "scaling_factor", .help = "positions are divided by it", .range = above(0)},
          scaling_factor);
}

Value RotaryEmbedding::call(BuildContext& context, Value x) {
  const Shape& shape = x.shape();
  const int rank = shape.rank();
  context.require(is_floating(x.dtype()) && (rank == 3 || rank == 4) && shape[1] > 0 &&
                      shape.dim(-1) > 0 && shape.dim(-1) % 2 == 0,
                  "[batch, time, features] or [batch, time, heads, features] of known length and "
                  "an even number of features");
  const int64_t width = shape.dim(-1), half = width / 2;
  const auto angle = [&](int64_t t, int64_t c) {
    const double rate = std::pow(1 / options_.max_wavelength,
                                 static_cast<double>(2 * (c % half)) / static_cast<double>(width));
    return static_cast<double>(t) * rate / options_.scaling_factor;
  };
  const auto beside = [&](auto function) {
    const Value table = by_position(context, shape[1], width,
                                    [&](int64_t t, int64_t c) { return function(angle(t, c)); });
    return ops::cast(rank == 4 ? ops::expand_dims(table, {1}) : table, x.dtype());
  };
  std::vector<int64_t> begin(static_cast<size_t>(rank), 0), size(static_cast<size_t>(rank), -1);
  size.back() = half;
  const Value first = ops::slice(x, begin, size);
  begin.back() = half;
  const Value second = ops::slice(x, begin, size);
  const Value turned = ops::concat({ops::negate(second), first}, rank - 1);
  return x * beside([](double a) { return std::cos(a); }) +
         turned * beside([](double a) { return std::sin(a); });
}

void TransformerBlockOptions::describe(OptionVisitor& v) {
  v.field({.name = "num_heads",
           .help = "of attention; divides the features",
           .range = at_least(1),
           .default_text = "must be given"},
          num_heads);
  v.field({.name = "intermediate_dim",
           .help = "width between the two dense layers",
           .range = at_least(1),
           .default_text = "must be given"},
          intermediate_dim);
  nn::describe(v, {.name = "activation", .help = "between the two dense layers"}, activation);
  v.field({.name = "dropout",
           .help = "share of what is added to the input, and of the weights of attention, that is "
                   "set to 0 while training",
           .range = from_below(0, 1)},
          dropout);
  v.field({.name = "epsilon",
           .help = "added to the variance by layer normalisation",
           .range = above(0),
           .keras = "layer_norm_epsilon"},
          epsilon);
  v.field({.name = "use_causal_mask", .help = "step i sees no step after i"}, use_causal_mask);
  v.field({.name = "normalize_first",
           .help = "normalises what goes into attention and dense layers, else the sums"},
          normalize_first);
  nn::describe(v, {.name = "kernel_initializer", .help = "first values of the kernels"},
               kernel_initializer);
}

Value TransformerBlock::call(BuildContext& context, Value x) {
  require_sequence(context, x);
  const auto& o = options_;
  const int64_t width = x.shape()[2];
  context.require(width % o.num_heads == 0,
                  str_cat("a number of features that num_heads, ", o.num_heads, ", divides"));
  const Value mask = context.mask(x);
  const auto normalize = [&](const char* name, Value value) {
    LayerNorm norm({.epsilon = o.epsilon, .name = name});
    return context.call(norm, value);
  };
  const auto add_to = [&](Value sum, const char* name, Value value) {
    if (o.dropout > 0) {
      Dropout dropout({.rate = o.dropout, .name = name});
      value = context.call(dropout, value);
    }
    return sum + value;
  };
  const auto attend = [&](Value value) {
    MultiHeadAttention attention({.num_heads = o.num_heads,
                                  .key_dim = width / o.num_heads,
                                  .dropout = o.dropout,
                                  .use_causal_mask = o.use_causal_mask,
                                  .kernel_initializer = o.kernel_initializer,
                                  .name = "attention"});
    if (mask.defined()) context.set_mask(value, mask);
    return context.call(attention, value);
  };
  const auto feed = [&](Value value) {
    Dense intermediate({.units = o.intermediate_dim,
                        .activation = o.activation,
                        .kernel_initializer = o.kernel_initializer,
                        .name = "intermediate"});
    Dense output({.units = width, .kernel_initializer = o.kernel_initializer, .name = "output"});
    return context.call(output, context.call(intermediate, value));
  };
  if (o.normalize_first) {
    x = add_to(x, "attention_dropout", attend(normalize("attention_norm", x)));
    return add_to(x, "feedforward_dropout", feed(normalize("feedforward_norm", x)));
  }
  x = normalize("attention_norm", add_to(x, "attention_dropout", attend(x)));
  return normalize("feedforward_norm", add_to(x, "feedforward_dropout", feed(x)));
}

void register_transformer_layers(Catalog<Layer>& catalog) {
  catalog.add<PositionEmbedding>("position_embedding", "",
                                 "A learned vector of each position, in the input's shape.");
  catalog.add<TokenAndPositionEmbedding>("token_and_position_embedding", "",
                                         "A learned vector of each index plus that of its "
                                         "position.");
  catalog.add<SinePositionEncoding>("sine_position_encoding", "",
                                    "sin and cos of each position, in the input's shape.");
  catalog.add<RotaryEmbedding>("rotary_embedding", "",
                               "Rotates pairs of features by angles that grow with the position.");
  catalog.add<TransformerBlock>("transformer_block", "",
                                "Attention and two dense layers, each normalised and added to "
                                "its input.");
}

}  // namespace trireme::nn

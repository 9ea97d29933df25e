#include "core/nn/layers.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/nn/layer_options.h"

namespace trireme::nn {

void DenseOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "units",
                 .help = "width of the output",
                 .range = at_least(1),
                 .default_text = "must be given"},
                units);
  nn::describe(visitor, {.name = "activation", .help = "of the output"}, activation);
  visitor.field({.name = "use_bias", .help = "adds a bias"}, use_bias);
  visitor.negated({.name = "no_bias", .help = "true is use_bias: false"}, use_bias);
  nn::describe(visitor, {.name = "kernel_initializer", .help = "first values of the kernel"},
               kernel_initializer);
  nn::describe(visitor, {.name = "bias_initializer", .help = "first values of the bias"},
               bias_initializer);
  describe_weight_rules(visitor, *this);
}

Value Dense::call(BuildContext& context, Value x) {
  require_floating(context, x);
  context.require(x.shape().rank() == 2 || x.shape().rank() == 3, "a flat input [batch, features]",
                  "add a flatten layer before it");
  const int64_t features = x.shape().dim(-1);
  context.require(features > 0, "a known number of features [batch, features]");
  const Shape kernel_shape{features, options_.units};
  const Fans fans = fans_of(kernel_shape);
  const Value kernel = context.variable("kernel", kernel_shape, options_.kernel_initializer, fans,
                                        options_.kernel_regularizer, options_.kernel_constraint);
  Value y = ops::matmul(x, kernel);
  if (options_.use_bias) {
    const Shape bias_shape{options_.units};
    y = ops::bias_add(y, context.variable("bias", bias_shape, options_.bias_initializer, fans,
                                          options_.bias_regularizer, options_.bias_constraint));
  }
  y = activate(y, options_.activation);
  context.add_activity_loss(options_.activity_regularizer, y);
  return y;
}

Value Flatten::call(BuildContext& context, Value x) {
  context.require(x.shape().rank() >= 1, "a batch [batch, …]");
  return x.shape().rank() == 2 ? x : ops::flatten(x);
}

void ReshapeOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "shape",
                 .help = "of an example of the output, without the batch; one -1 is worked out",
                 .range = at_least(-1),
                 .keras = "target_shape"},
                shape);
}

void ReshapeOptions::check() const {
  if (std::ranges::count(shape, 0) == 0 && std::ranges::count(shape, -1) <= 1) return;
  throw invalid_argument(
      "reshape: shape: expected sizes of at least 1, of which one may be -1, found ", Shape(shape));
}

Value Reshape::call(BuildContext& context, Value x) {
  context.require(x.shape().rank() >= 1, "a batch [batch, …]");
  int64_t wanted = 1, found = 1;
  for (const int64_t size : options_.shape) wanted *= size < 0 ? 1 : size;
  for (int i = 1; i < x.shape().rank(); ++i) {
    context.require(x.shape()[i] >= 0, "an input whose sizes are known but for the batch");
    found *= x.shape()[i];
  }
  const bool has_free = std::ranges::count(options_.shape, -1) > 0;
  if (has_free) {
    context.require(
        found > 0 && found % wanted == 0,
        str_cat("a multiple of ", wanted, " elements an example for ", Shape(options_.shape)));
  } else {
    context.require(wanted == found,
                    str_cat(wanted, " elements an example for ", Shape(options_.shape)));
  }
  Shape target{-1};
  for (const int64_t size : options_.shape) target.push_back(size < 0 ? found / wanted : size);
  return ops::reshape(x, target);
}

void ActivationOptions::describe(OptionVisitor& visitor) {
  nn::describe(visitor, {.name = "function", .help = "what is applied", .keras = "activation"},
               activation);
}

Value ActivationLayer::call(BuildContext&, Value x) { return activate(x, options_.activation); }

void DropoutOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "rate",
                 .help = "share of the elements that are set to 0 while training",
                 .range = from_below(0, 1),
                 .default_text = "must be given"},
                rate);
}

void DropoutOptions::check() const {
  if (!rate) throw invalid_argument("dropout: rate: expected at least 0 and below 1, found none");
}

Value Dropout::call(BuildContext& context, Value x) {
  require_floating(context, x);
  const double rate = options_.rate.value();
  if (!context.training() || rate == 0) return x;
  return ops::dropout(x, context.random_key(), rate, context.layer_seed());
}

Value embedding_rows(BuildContext& context, const EmbeddingOptions& options, Value x) {
  context.require(x.dtype() == DType::kInt64 || x.dtype() == DType::kInt32, "i32 or i64 indices",
                  "an embedding is called on what the data give");
  return context.embedding({.name = "embeddings",
                            .rows = options.rows,
                            .dim = options.dimension,
                            .initializer = options.initializer,
                            .policy = options.table,
                            .regularizer = options.regularizer,
                            .constraint = options.constraint},
                           x);
}

Value Embedding::call(BuildContext& context, Value x) {
  const int rank = x.shape().rank();
  context.require(rank == 1 || rank == 2, "indices [batch] or [batch, n]");
  const Value rows = embedding_rows(context, options_, x);
  if (options_.mask_zero) {
    context.require(rank == 2, "a sequence of indices [batch, n] for mask_zero");
    context.set_mask(rows, ops::not_equal(x, ops::scalar(context.graph(), x.dtype(), 0)));
  }
  return rows;
}

void EmbeddingOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "vocabulary",
                 .help = "rows of the table; indices are below it",
                 .range = at_least(1),
                 .default_text = "must be given",
                 .keras = "input_dim"},
                rows);
  visitor.field({.name = "dimension",
                 .help = "numbers of a row",
                 .range = at_least(1),
                 .default_text = "must be given",
                 .keras = "output_dim"},
                dimension);
  visitor.field({.name = "mask_zero",
                 .help = "index 0 stands for padding: later layers leave those steps out"},
                mask_zero);
  nn::describe(visitor, {.name = "embeddings_initializer", .help = "first values of the table"},
               initializer);
  nn::describe(visitor, {.name = "embeddings_regularizer", .help = "penalty of the table"},
               regularizer);
  nn::describe(visitor,
               {.name = "embeddings_constraint", .help = "holds for the table after each update"},
               constraint);
  visitor.group({.name = "table", .help = "which keys have a row on parameter servers"}, table);
}

}  // namespace trireme::nn

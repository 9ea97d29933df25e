// Attention and transformers as layers; what they compute is compared with Keras and PyTorch in
// tests/peer_values.
#include "core/nn/attention_layers.h"

#include <cmath>

#include "core/nn/functional.h"
#include "core/nn/transformer_layers.h"
#include "core/ops/attention.h"
#include "tests/core/nn/helpers.h"
#include "tests/support/evaluate.h"

namespace trireme::nn {
namespace {

using ::testing::HasSubstr;

Tensor numbers(const Shape& shape, int64_t seed) {
  Tensor x = Tensor::zeros(DType::kFloat32, shape);
  int64_t i = seed;
  for (float& v : x.flat<float>()) {
    v = static_cast<float>(std::sin(static_cast<double>(i * i)));
    ++i;
  }
  return x;
}

std::vector<float> predicted(Model& model, const Tensor& x) {
  const Tensor y = model.predict(data::from_tensors({x}, {"x"}).batch(8));
  return {y.flat<float>().begin(), y.flat<float>().end()};
}

double farthest(std::span<const float> a, std::span<const float> b) {
  double most = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    most = std::max(most, std::fabs(double{a[i]} - double{b[i]}));
  }
  return most;
}

// A model that looks ahead while it trains has nothing to look at when it writes.
TEST(AttentionLayersTest, ACausalBlockSeesNoLaterStep) {
  for (const bool causal : {true, false}) {
    Model model;
    model.add<TransformerBlock>({.num_heads = 2, .intermediate_dim = 8, .use_causal_mask = causal});
    model.build({DType::kFloat32, {-1, 5, 4}});
    Tensor x = numbers({1, 5, 4}, 1);
    const std::vector<float> before = predicted(model, x);
    // Of the last step, each feature by another number: normalisation takes away what they share.
    for (int i = 0; i < 4; ++i)
      x.flat<float>()[static_cast<size_t>(16 + i)] += static_cast<float>(i * i);
    const std::vector<float> after = predicted(model, x);
    const std::span<const float> first(before.data(), 16), first_after(after.data(), 16);
    if (causal) {
      EXPECT_EQ(farthest(first, first_after), 0);
    } else {
      EXPECT_GT(farthest(first, first_after), 1e-3);
    }
  }
}

// Padding has no content: what stands in it must not matter.
TEST(AttentionLayersTest, PaddedStepsAreNotSeen) {
  const auto x = input({4, 4});
  const auto y = layer<MultiHeadAttention>({.num_heads = 2, .key_dim = 3})(masking()(x));
  Model model({x}, {y});
  Tensor values = numbers({1, 4, 4}, 3);
  const auto clear = [&](int step) {
    for (int i = 0; i < 4; ++i) values.flat<float>()[static_cast<size_t>(4 * step + i)] = 0;
  };
  clear(3);
  const std::vector<float> longer = predicted(model, values);
  Tensor shorter = Tensor::zeros(DType::kFloat32, {1, 4, 4});
  std::copy_n(values.flat<float>().begin(), 12, shorter.flat<float>().begin());
  clear(2);
  const std::vector<float> without_third = predicted(model, values);
  EXPECT_GT(farthest(std::span(longer).first(8), std::span(without_third).first(8)), 1e-3);
  // Steps that are there see the same as in a sequence that ends after them.
  const auto s = input({3, 4});
  const auto attention = layer<MultiHeadAttention>({.num_heads = 2, .key_dim = 3});
  Model three({s}, {attention(s)});
  Model four({x}, {attention(masking()(x))});
  const Tensor first_three =
      Tensor::from<float>({1, 3, 4}, std::span<const float>(shorter.flat<float>().data(), 12));
  EXPECT_LT(farthest(predicted(three, first_three),
                     std::span<const float>(predicted(four, shorter)).first(12)),
            1e-6);
}

// Dropout takes the way by products: it must be the same attention.
TEST(AttentionLayersTest, AttentionByProductsIsThatOfTheOp) {
  Graph graph(core_op_table());
  const auto feed = [&](const Shape& shape) {
    return ops::placeholder(graph, "x", DType::kFloat32, shape);
  };
  const Value q = feed({2, 5, 4, 3}), k = feed({2, 6, 2, 3}), v = feed({2, 6, 2, 2});
  const Value mask = ops::placeholder(graph, "m", DType::kBool, {2, 4, 1, 6});
  Tensor seen = Tensor::zeros(DType::kBool, {2, 4, 1, 6});
  for (size_t i = 0; i < 48; ++i) seen.flat<bool>()[i] = i % 5 != 1;
  for (const bool causal : {false, true}) {
    const AttentionOptions options{.causal = causal, .mask = mask};
    const auto found =
        testing::evaluate({ops::attention(q, k, v, options).y,
                           ops::composed_attention(q, k, v, {.attention = options}).y},
                          {{q, numbers({2, 5, 4, 3}, 1)},
                           {k, numbers({2, 6, 2, 3}, 2)},
                           {v, numbers({2, 6, 2, 2}, 3)},
                           {mask, seen}});
    EXPECT_LT(farthest(found[0].flat<float>(), found[1].flat<float>()), 1e-6) << causal;
  }
}

TEST(AttentionLayersTest, DropoutOfWeightsIsForTrainingOnly) {
  const auto x = input({3, 4});
  const auto with = layer<MultiHeadAttention>({.num_heads = 2, .key_dim = 2, .dropout = 0.5});
  Model model({x}, {with(x)});
  const Tensor values = numbers({1, 3, 4}, 1);
  EXPECT_EQ(predicted(model, values), predicted(model, values));
}

TEST(AttentionLayersTest, ErrorsSayWhatWasExpected) {
  const auto build = [](auto add, const Shape& shape) {
    return error_of([&] {
      Model model;
      add(model);
      model.build({DType::kFloat32, shape});
    });
  };
  EXPECT_THAT(
      build([](Model& m) { m.add<MultiHeadAttention>({.num_heads = 2, .key_dim = 2}); }, {-1, 4}),
      HasSubstr("expected a sequence [batch, time, features] of known length and width"));
  EXPECT_THAT(
      build([](Model& m) { m.add<TransformerBlock>({.num_heads = 3, .intermediate_dim = 8}); },
            {-1, 5, 4}),
      HasSubstr("expected a number of features that num_heads, 3, divides"));
  EXPECT_THAT(build([](Model& m) { m.add<PositionEmbedding>({.sequence_length = 4}); }, {-1, 5, 4}),
              HasSubstr("expected at most 4 steps, sequence_length"));
  EXPECT_THAT(
      error_of([] {
        Model m;
        m.add<GroupQueryAttention>({.head_dim = 2, .num_query_heads = 3, .num_key_value_heads = 2});
      }),
      HasSubstr("num_query_heads: expected a multiple of num_key_value_heads, 2, found 3"));
}

// Positions are a part of the model, not of an example.
TEST(AttentionLayersTest, LearnedPositionsAreTheSameForEachExample) {
  const auto x = input({3, 4});
  Model model({x}, {layer<PositionEmbedding>({.sequence_length = 5})(x)});
  const std::vector<float> y = predicted(model, numbers({2, 3, 4}, 1));
  ASSERT_EQ(y.size(), 24u);
  EXPECT_EQ(farthest(std::span(y).first(12), std::span(y).last(12)), 0);
  EXPECT_GT(farthest(std::span(y).first(4), std::span(y).subspan(4, 4)), 1e-4);
}

}  // namespace
}  // namespace trireme::nn

// Recurrent layers: what they refuse, and what peer values (tests/peer_values) cannot show.
#include "core/nn/recurrent_layers.h"

#include "core/nn/functional.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using testing::HasSubstr;

std::string refusal(const LayerFunction& layer, const Shape& example = {4, 3}) {
  return error_of([&] {
    const auto x = input(example);
    Model model({x}, {layer(x)});
    model.build();
  });
}

// An option that was taken and did nothing would be a wrong model without a word.
TEST(RecurrentLayersTest, RefuseWhatTheOpOfAllStepsDoesNotHave) {
  EXPECT_THAT(refusal(lstm({.units = 2, .activation = Activation::kRelu})),
              HasSubstr("lstm: activation: expected TANH"));
  EXPECT_THAT(refusal(gru({.units = 2, .recurrent_activation = Activation::kNone})),
              HasSubstr("gru: recurrent_activation: expected SIGMOID"));
  EXPECT_THAT(refusal(simple_rnn({.units = 2, .activation = Activation::kSoftmax})),
              HasSubstr("simple_rnn: activation: expected TANH, RELU, SIGMOID or NONE"));
  EXPECT_THAT(refusal(lstm({.units = 2, .recurrent_dropout = 0.1})),
              HasSubstr("recurrent_dropout: expected 0, found 0.1"));
  EXPECT_THAT(refusal(gru({.units = 2, .stateful = true})), HasSubstr("stateful"));
  EXPECT_THAT(refusal(lstm({.units = 2, .return_sequences = true, .return_state = true})),
              HasSubstr("a layer gives one value"));
  EXPECT_THAT(refusal(lstm({})), HasSubstr("units: expected at least 1, found 0"));
}

TEST(RecurrentLayersTest, SayWhatInputTheyExpect) {
  EXPECT_THAT(refusal(lstm({.units = 2}), {5}),
              HasSubstr("expected a sequence [batch, time, features] with a known number of steps, "
                        "found [?, 5] from the model's input; add a reshape"));
  const std::string states = error_of([] {
    const auto x = input({4, 3}), h = input({2});
    Model model({x, h}, {lstm({.units = 2})({x, h})});
    model.build();
  });
  EXPECT_THAT(states, HasSubstr("or 3 with its initial states h and c, found 2"));
  const std::string width = error_of([] {
    const auto x = input({4, 3}), h = input({5});
    Model model({x, h}, {gru({.units = 2})({x, h})});
    model.build();
  });
  EXPECT_THAT(width, HasSubstr("expected an initial state [batch, 2], found [?, 5]"));
}

// As Keras: without it the forget gate starts by forgetting half at each step.
TEST(RecurrentLayersTest, TheForgetGatesBiasStartsAtOne) {
  const auto first = [](bool ones) {
    const auto x = input({4, 3});
    Model model({x}, {lstm({.units = 2, .unit_forget_bias = ones, .name = "l"})(x)});
    model.build();
    const Tensor bias = model.weights().at("l/bias");
    return std::vector<float>(bias.flat<float>().begin(), bias.flat<float>().end());
  };
  EXPECT_THAT(first(true), testing::ElementsAre(0, 0, 1, 1, 0, 0, 0, 0));
  EXPECT_THAT(first(false), testing::Each(0));
}

// As Keras: a recurrent kernel that shortens no state.
TEST(RecurrentLayersTest, TheRecurrentKernelStartsOrthogonal) {
  const auto x = input({4, 3});
  Model model({x}, {simple_rnn({.units = 5, .name = "l"})(x)});
  model.build();
  const Tensor kernel = model.weights().at("l/recurrent_kernel");
  const auto at = [&](int64_t i, int64_t j) {
    return kernel.flat<float>()[static_cast<size_t>(5 * i + j)];
  };
  for (int64_t i = 0; i < 5; ++i) {
    for (int64_t j = 0; j < 5; ++j) {
      float sum = 0;
      for (int64_t k = 0; k < 5; ++k) sum += at(i, k) * at(j, k);
      EXPECT_NEAR(sum, i == j ? 1 : 0, 1e-5);
    }
  }
}

// What is behind the end of a sequence changes nothing, and the last state is that of its end.
TEST(RecurrentLayersTest, PaddingBehindASequenceChangesNothing) {
  const auto last = [](const Tensor& keys) {
    const auto x = input({keys.shape()[1]}, DType::kInt64);
    const auto rows = embedding({.rows = 9, .dimension = 4, .mask_zero = true})(x);
    Model model({x}, {gru({.units = 3})(rows)}, {.seed = 3});
    return model.predict(keys);
  };
  const Tensor whole = last(Tensor::from<int64_t>({1, 3}, {5, 2, 7}));
  const Tensor padded = last(Tensor::from<int64_t>({1, 5}, {5, 2, 7, 0, 0}));
  EXPECT_TRUE(std::ranges::equal(whole.flat<float>(), padded.flat<float>()));
}

// One mask an example: what is left out at one step is left out at all of them.
TEST(RecurrentLayersTest, DropoutLeavesTheSameFeaturesOutAtEachStep) {
  Graph graph(core_op_table());
  VariableRegistry variables;
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {2, 3, 8});
  const Value key = ops::placeholder(graph, "key", DType::kInt64, {2});
  BuildContext context(graph, variables, {x}, true, key, 1);
  SimpleRnn layer({.units = 8,
                   .activation = Activation::kNone,
                   .use_bias = false,
                   .dropout = 0.5,
                   .return_sequences = true,
                   .name = "l"});
  (void)context.call(layer, {.layer = 0, .repeat = 0, .inputs = {{.is_feature = true}}});
  int dropouts = 0;
  for (const auto& node : graph.nodes()) {
    if (node->op().name != "Dropout") continue;
    ++dropouts;
    EXPECT_EQ(node->output_type().shape, (Shape{2, 1, 8}));
  }
  EXPECT_EQ(dropouts, 1);
}

// Both ways have weights of their own, and give the last state of their way.
TEST(RecurrentLayersTest, BidirectionalTakesRecurrentLayersOnly) {
  BidirectionalOptions dense;
  dense.layer.push_back(std::make_unique<Dense>(DenseOptions{.units = 2}));
  EXPECT_THAT(refusal(bidirectional(std::move(dense))),
              HasSubstr("expected an lstm, gru or simple_rnn, found dense"));
  EXPECT_THAT(refusal(bidirectional({})), HasSubstr("layer: expected one layer, found 0"));
}

}  // namespace
}  // namespace trireme::nn

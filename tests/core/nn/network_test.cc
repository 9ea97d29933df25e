// Networks of layers: what is named in `inputs`, and models that are built by functions.
#include "core/nn/network.h"

#include "core/data/clicks.h"
#include "core/nn/functional.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> names_of(const Model& model) {
  std::vector<std::string> names;
  for (const VariableSpec& spec : model.variables().all()) {
    if (spec.role != VariableRole::kSlot) names.push_back(spec.name);
  }
  return names;
}

template <typename L>
std::unique_ptr<Layer> called_on(std::vector<std::string> inputs, typename L::Options options) {
  auto layer = std::make_unique<L>(std::move(options));
  layer->set_inputs(std::move(inputs));
  return layer;
}

// Bits, not about.
void expect_equal(const StateMap& a, const StateMap& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, value] : a) {
    ASSERT_TRUE(b.contains(name)) << name;
    ASSERT_EQ(value.type(), b.at(name).type()) << name;
    EXPECT_TRUE(std::ranges::equal(value.flat<float>(), b.at(name).flat<float>())) << name;
  }
}

CompileOptions squares(double rate) {
  return {.optimizer = std::make_shared<Sgd>(constant_rate(rate)), .loss = mean_squared_error()};
}

// However it is written down, it is the same network.
TEST(FunctionalModelTest, TrainsToTheBitsOfARowOfLayers) {
  Model row;
  row.add<Dense>({.units = 16, .activation = Activation::kRelu})
      .add<BatchNorm>()
      .add<Dropout>({.rate = 0.2})
      .add<Dense>({.units = 3});
  const auto x = input({2});
  auto y = dropout({.rate = 0.2})(
      batch_norm()(dense({.units = 16, .activation = Activation::kRelu})(x)));
  y = dense({.units = 3})(y);
  Model functional({x}, {y});
  for (Model* const model : {&row, &functional}) {
    model->compile(classifier(std::make_shared<Adam>()));
    model->fit(clusters(60).shuffle(1).batch(8), quiet(3));
  }
  expect_equal(row.weights(), functional.weights());
  EXPECT_TRUE(functional.network().is_row());
  EXPECT_EQ(row.summary(), functional.summary());
}

// y = w·a + w·b: the gradient of one weight comes from both calls.
TEST(FunctionalModelTest, ALayerThatIsCalledTwiceHasOneSetOfVariables) {
  const auto a = input({1}), b = input({1});
  const auto weight = dense({.units = 1, .use_bias = false, .kernel_initializer = constant(2)});
  Model model({a, b}, {add()({weight(a), weight(b)})});
  model.compile(squares(0.01));
  const auto data =
      data::from_tensors({Tensor::from<float>({1, 1}, {3}), Tensor::from<float>({1, 1}, {4}),
                          Tensor::zeros(DType::kFloat32, {1, 1})},
                         {"a", "b", "y"});
  model.fit(data.batch(1), quiet(1));
  EXPECT_THAT(names_of(model), ElementsAre("dense/kernel"));
  // 2 − 0.01 · d(w·7)²/dw
  EXPECT_NEAR(model.weights().at("dense/kernel").item<float>(), 2 - 0.01 * 2 * 14 * 7, 1e-5);
}

TEST(FunctionalModelTest, PredictsAllOutputsOfAllBatches) {
  const auto a = input({2}), b = input({2});
  Model model({a, b}, {add()({a, b}), multiply()({a, b}), concat()({b, a})});
  const Tensor x = Tensor::from<float>({3, 2}, {1, 2, 3, 4, 5, 6}),
               y = Tensor::from<float>({3, 2}, {10, 20, 30, 40, 50, 60});
  const auto check = [](const std::vector<Tensor>& found) {
    ASSERT_EQ(found.size(), 3u);
    EXPECT_THAT(found[0].flat<float>(), ElementsAre(11, 22, 33, 44, 55, 66));
    EXPECT_THAT(found[1].flat<float>(), ElementsAre(10, 40, 90, 160, 250, 360));
    EXPECT_THAT(found[2].flat<float>(), ElementsAre(10, 20, 1, 2, 30, 40, 3, 4, 50, 60, 5, 6));
  };
  check(model.predict_all(std::vector<Tensor>{x, y}));
  const auto batches = data::from_tensors({x, y}, {"a", "b"}).batch(2);
  check(model.predict_all(batches));
  EXPECT_THAT(model.predict(batches).flat<float>(), ElementsAre(11, 22, 33, 44, 55, 66));
}

// What the loss says nothing about keeps its values; that must not be a surprise.
TEST(FunctionalModelTest, NamesTheVariablesThatOnlyOtherOutputsNeed) {
  const auto x = input({2});
  const auto shared = dense({.units = 4, .name = "shared"})(x);
  Model model({x}, {dense({.units = 1, .name = "first"})(shared),
                    dense({.units = 1, .name = "second"})(shared)});
  model.compile(squares(0.1));
  model.build_training({{{DType::kFloat32, {-1, 2}}}, {{DType::kFloat32, {-1, 1}}}});
  EXPECT_THAT(model.take_warnings(),
              ElementsAre(testing::AllOf(HasSubstr("first output, of 2"),
                                         HasSubstr("\"second/kernel\", \"second/bias\""),
                                         testing::Not(HasSubstr("shared")))));
}

TEST(FunctionalModelTest, InputsHaveTheTypesThatTheySay) {
  const auto x = input({2});
  Model model({x}, {dense({.units = 1})(x)});
  EXPECT_EQ(error_of([&] {
              model.build({DType::kFloat32, {-1, 3}});
            }),
            "input 1 of the model is f32[?, 2], the data set gives f32[?, 3]");
  EXPECT_THAT(error_of([&] {
                model.build({{DType::kFloat32, {-1, 2}}, {DType::kFloat32, {-1, 2}}});
              }),
              HasSubstr("the model has 1 input(s)"));
  model.build();
  EXPECT_EQ(model.predict(Tensor::zeros(DType::kFloat32, {5, 2})).shape(), (Shape{5, 1}));
}

TEST(FunctionalModelTest, AnInputThatIsNotListedIsAnError) {
  const auto x = input({2}), y = input({3});
  const auto sum = concat()({x, y});
  EXPECT_THAT(error_of([&] { Model({x}, {sum}); }), HasSubstr("an input f32[?, 3] that is not"));
  EXPECT_THAT(error_of([&] { Model({x, sum}, {sum}); }), HasSubstr("input 2 of the model"));
  EXPECT_THAT(error_of([&] { Model({x, x}, {sum}); }), HasSubstr("is an earlier one"));
  EXPECT_THAT(error_of([&] { Model({x}, {dense({.units = 0})(x)}); }), HasSubstr("units"));
}

// Two updates of one average would come in any order.
TEST(FunctionalModelTest, ABatchNormIsCalledOnce) {
  const auto a = input({2}), b = input({2});
  const auto norm = batch_norm();
  Model model({a, b}, {dense({.units = 1})(add()({norm(a), norm(b)}))});
  model.compile(squares(0.1));
  const TensorType type{DType::kFloat32, {-1, 2}};
  EXPECT_THAT(error_of([&] {
                model.build_training({{type, type}, {{DType::kFloat32, {-1, 1}}}});
              }),
              HasSubstr("layer 1 (batch_norm \"batch_norm\"): it is called more than once"));
}

// Else both would lose the same elements.
TEST(FunctionalModelTest, EachCallOfADropoutDrawsForItself) {
  const auto x = input({64});
  const auto drop = dropout({.rate = 0.5});
  // The difference of two masks of the same numbers, squared.
  const auto minus =
      dense({.units = 64, .use_bias = false, .kernel_initializer = [](const InitializerInput& in) {
               Tensor kernel = Tensor::zeros(in.type.dtype, in.type.shape);
               for (size_t i = 0; i < 64; ++i) kernel.flat<float>()[65 * i] = -1;
               return kernel;
             }});
  Model model({x}, {add()({drop(x), minus(drop(x))})});
  model.compile(squares(0));
  const Tensor ones = nn::ones()({{DType::kFloat32, {4, 64}}, {}, 1});
  const auto data = data::from_tensors({ones, Tensor::zeros(DType::kFloat32, {4, 64})}, {"x", "y"});
  EXPECT_GT(model.fit(data.batch(4), quiet(1)).last("loss"), 0.5);
  // What is not dropped cancels out.
  EXPECT_EQ(model.evaluate(data.batch(4)).at("loss"), 0);
}

// A job file's layers say what they are called on.
TEST(NetworkTest, LayersAreCalledOnWhatTheyName) {
  Model model({.name = "branches"});
  model.add(called_on<Dense>({"feature_1"}, {.units = 3, .name = "right"}));
  model.add(called_on<Dense>({"feature_0"}, {.units = 2, .name = "left"}));
  model.add(called_on<Concat>({"left", "right", "feature_0"}, {}));
  model.add<Dense>({.units = 1});
  const auto a = input({2}), b = input({4});
  const auto right = dense({.units = 3, .name = "right"})(b);
  const auto left = dense({.units = 2, .name = "left"})(a);
  Model functional({a, b}, {dense({.units = 1})(concat()({left, right, a}))});
  const std::vector<Tensor> x = {normal(0, 1)({{DType::kFloat32, {5, 2}}, {}, 1}),
                                 normal(0, 1)({{DType::kFloat32, {5, 4}}, {}, 2})};
  const Tensor found = model.predict(x), right_one = functional.predict(x);
  EXPECT_TRUE(std::ranges::equal(found.flat<float>(), right_one.flat<float>()));
  EXPECT_EQ(model.summary(),
            R"(Model: "branches"
______________________________________________________________________________________
Layer (type)                Output Shape            Param #     Connected to
======================================================================================
right (dense)               [?, 3]                  15          feature_1
left (dense)                [?, 2]                  6           feature_0
concat (concat)             [?, 7]                  0           left, right, feature_0
dense (dense)               [?, 1]                  8           concat
======================================================================================
Total params: 29
Trainable params: 29
Non-trainable params: 0
______________________________________________________________________________________
)");
}

TEST(NetworkTest, NamesOfInputsAreCheckedWhenALayerIsAdded) {
  Model model;
  model.add<Dense>({.units = 2, .name = "hidden"});
  EXPECT_EQ(error_of([&] { model.add(called_on<Dense>({"hiden"}, {.units = 1})); }),
            "inputs: there is no layer \"hiden\" above this one; expected the name of one, or "
            "feature_0, feature_1, … for what the data give; did you mean 'hidden'?");
  EXPECT_THAT(error_of([&] { model.add(called_on<Dense>({"later"}, {.units = 1})); }),
              HasSubstr("no layer \"later\" above"));
  model.add<Dense>({.units = 2, .name = "feature_1"});
  EXPECT_THAT(error_of([&] { model.add(called_on<Dense>({"feature_1"}, {.units = 1})); }),
              HasSubstr("of a layer and of the data's features"));
}

int layer_of_error(Model& model, const std::vector<TensorType>& features) {
  try {
    model.build(features);
  } catch (const LayerError& error) {
    return error.number();
  }
  return 0;
}

// A branch that leads nowhere is a mistake; the job file shows its place by the layer's number.
TEST(NetworkTest, ALayerThatNothingUsesIsAnError) {
  Model model;
  model.add<Dense>({.units = 2, .name = "a"}).add<Dense>({.units = 2, .name = "b"});
  model.add(called_on<Dense>({"a"}, {.units = 1, .name = "c"}));
  const std::vector<TensorType> features = {{DType::kFloat32, {-1, 2}}};
  EXPECT_EQ(error_of([&] { model.build(features); }),
            "layer 2 (dense \"b\"): nothing uses what it gives; name it among the `inputs` of "
            "another layer, or remove it");
  EXPECT_EQ(layer_of_error(model, features), 2);
}

TEST(NetworkTest, ErrorsSayWhereTheInputCameFrom) {
  const std::vector<TensorType> features = {{DType::kFloat32, {-1, 2}}, {DType::kFloat32, {-1, 3}}};
  Model sum;
  sum.add<Dense>({.units = 2, .name = "a"});
  sum.add(called_on<Add>({"a", "feature_1"}, {}));
  EXPECT_EQ(error_of([&] { sum.build(features); }),
            "layer 2 (add \"add\"): expected inputs of one type, the first being f32[?, 2], found "
            "[?, 3] from the data's feature_1");
  EXPECT_EQ(layer_of_error(sum, features), 2);
  Model missing;
  missing.add(called_on<Dense>({"feature_2"}, {.units = 1}));
  EXPECT_EQ(error_of([&] { missing.build(features); }),
            "layer 1 (dense \"dense\"): expected data with at least 3 components of features, "
            "found 2");
  Model many;
  many.add(called_on<Dense>({"feature_0", "feature_1"}, {.units = 1}));
  EXPECT_EQ(error_of([&] { many.build(features); }),
            "layer 1 (dense \"dense\"): expected one input, found 2");
  Model one;
  one.add<Add>();
  EXPECT_THAT(error_of([&] { one.build(features); }),
              HasSubstr("layer 1 (add \"add\"): expected at least two inputs, found 1"));
}

// Within a residual layer they would be looked at by nobody.
TEST(NetworkTest, OnlyLayersOfTheModelNameInputs) {
  Model model;
  ResidualOptions options;
  options.layers.push_back(called_on<Dense>({"feature_0"}, {.units = 2}));
  model.add<Residual>(std::move(options));
  EXPECT_THAT(error_of([&] {
                model.build({DType::kFloat32, {-1, 2}});
              }),
              HasSubstr("in it dense \"dense\": inputs: only the layers of the model itself"));
}

TEST(NetworkTest, ABagOfEmbeddingsIsTheSumOfItsRows) {
  Model model;
  model.add<EmbeddingBag>({.rows = 5, .dimension = 2});
  const Tensor found = model.predict(Tensor::from<int64_t>({2, 2}, {1, 1, 0, 4}));
  const Tensor table = model.weights().at("embedding_bag/embeddings");
  const auto at = [&](int64_t row, int64_t i) { return table.as_double(2 * row + i); };
  for (int64_t i = 0; i < 2; ++i) {
    EXPECT_FLOAT_EQ(found.as_double(i), 2 * at(1, i));
    EXPECT_FLOAT_EQ(found.as_double(2 + i), at(0, i) + at(4, i));
  }
}

TEST(NetworkTest, AConcatKeepsTheBatchApart) {
  const auto x = input({2, 3}), y = input({4, 3});
  Model model({x, y}, {concat({.axis = 1})({x, y})});
  model.build();
  EXPECT_EQ(model.inference().predictions.shape(), (Shape{-1, 6, 3}));
  EXPECT_THAT(error_of([&] { Model({x}, {concat({.axis = 0})({x, x})}); }), HasSubstr("batch"));
  EXPECT_THAT(error_of([&] {
                Model({x}, {concat({.axis = 3})({x, x})}).build();
              }),
              HasSubstr("expected an axis of f32[?, 2, 3] that is not the batch, found 3"));
}

// `dlrm {}` is nothing that cannot be said with ordinary layers: in one name for each variable, the
// same losses.
TEST(NetworkTest, DlrmIsANetworkOfOrdinaryLayers) {
  Model whole;
  whole.add<Dlrm>({.rows = 260, .dimension = 4, .bottom = {8}, .top = {16}});
  const auto numbers = input({13}), keys = input({26}, DType::kInt64);
  const auto hidden = [](std::string name, int64_t units) {
    return dense({.units = units, .activation = Activation::kRelu, .name = "dlrm/" + name});
  };
  const auto bottom = hidden("bottom_last", 4)(hidden("bottom_0", 8)(numbers));
  const auto rows = embedding({.rows = 260, .dimension = 4, .name = "dlrm/table"})(keys);
  const auto both = concat()({bottom, dot_interaction()({bottom, rows})});
  Model parts({numbers, keys},
              {dense({.units = 1, .name = "dlrm/logit"})(hidden("top_0", 16)(both))});
  const data::Clicks log({.keys = 260});
  for (Model* const model : {&whole, &parts}) {
    model->compile({.optimizer = std::make_shared<Adagrad>(constant_rate(0.03)),
                    .loss = binary_cross_entropy()});
    model->fit(log.dataset(0, 500).batch(50), quiet(1));
  }
  EXPECT_EQ(names_of(whole), names_of(parts));
  expect_equal(whole.weights(), parts.weights());
}

}  // namespace
}  // namespace trireme::nn

// What of Keras's configurations is read, and what is refused.
#include "core/formats/keras/graph_reader.h"
#include "core/formats/keras/training_config.h"
#include "core/nn/convolution_layers.h"
#include "tests/core/formats/keras/keras_test.h"

namespace trireme::testing {
namespace {

using formats::ConfigContext;
using formats::Json;
using formats::ReadNetwork;
using ::testing::AllOf;
using ::testing::HasSubstr;

ConfigContext context() { return {.catalogs = catalogs(), .place = "m.keras"}; }

Json layer(const std::string& class_name, const Json& config) {
  return {{"module", "keras.layers"}, {"class_name", class_name}, {"config", config}};
}
Json row(const Json& layers) {
  Json all = Json::array({layer("InputLayer", {{"batch_shape", {nullptr, 4}}, {"name", "x"}})});
  for (const Json& each : layers) all.push_back(each);
  return {{"class_name", "Sequential"}, {"config", {{"name", "m"}, {"layers", all}}}};
}
Json tensor(const std::string& name) {
  return {{"class_name", "__keras_tensor__"},
          {"config", {{"shape", {nullptr, 4}}, {"keras_history", {name, 0, 0}}}}};
}
Json call(Json described, const Json& calls) {
  described["name"] = described["config"]["name"];
  described["inbound_nodes"] = Json::array();
  for (const Json& arguments : calls) {
    described["inbound_nodes"].push_back({{"args", arguments}, {"kwargs", Json::object()}});
  }
  return described;
}
Json network(const Json& layers, const std::string& output) {
  Json all = Json::array(
      {call(layer("InputLayer", {{"batch_shape", {nullptr, 4}}, {"name", "x"}}), Json::array())});
  for (const Json& each : layers) all.push_back(each);
  return {{"class_name", "Functional"},
          {"config",
           {{"name", "m"},
            {"layers", all},
            {"input_layers", Json::array({Json::array({"x", 0, 0})})},
            {"output_layers", Json::array({Json::array({output, 0, 0})})}}}};
}

ReadNetwork read(const Json& json) {
  return formats::read_network(json, "m.keras", false, catalogs());
}
std::string refusal(const Json& json) {
  try {
    (void)read(json);
  } catch (const Error& error) {
    EXPECT_TRUE(error.code() == ErrorCode::kInvalidArgument ||
                error.code() == ErrorCode::kDataLoss);
    return error.what();
  }
  return "it was read";
}

// An option that is not looked at would be a wrong number without a word.
TEST(KerasConfigTest, RefusesKeysThatNoOptionStandsFor) {
  const Json dense = {{"name", "d"}, {"trainable", true}, {"units", 2}};
  EXPECT_EQ(read(row(Json::array({layer("Dense", dense)}))).file.layers.size(), 1u);
  Json unknown = dense;
  unknown["lora_rank"] = 4;
  EXPECT_THAT(refusal(row(Json::array({layer("Dense", unknown)}))),
              AllOf(HasSubstr("m.keras: layer \"d\": lora_rank"), HasSubstr("found 4")));
  unknown["lora_rank"] = nullptr;  // Python's None: not asked for
  EXPECT_EQ(read(row(Json::array({layer("Dense", unknown)}))).file.layers.size(), 1u);
}

TEST(KerasConfigTest, RefusesWhatHasAnotherTypeOrRange) {
  EXPECT_THAT(refusal(row(Json::array({layer("Dense", {{"name", "d"}, {"units", "2"}})}))),
              HasSubstr("layer \"d\": units: expected a whole number, found \"2\""));
  EXPECT_THAT(refusal(row(Json::array({layer("Dense", {{"name", "d"}, {"units", 0}})}))),
              HasSubstr("units: expected at least 1, found 0"));
  EXPECT_THAT(refusal(row(Json::array({layer("Dense", {{"name", "d"}, {"units", 1e300}})}))),
              HasSubstr("units: expected a whole number"));
  EXPECT_THAT(
      refusal(row(Json::array({layer("BatchNormalization", {{"name", "b"}, {"axis", 0}})}))),
      HasSubstr("layer \"b\": axis: expected the last one"));
  EXPECT_THAT(refusal(row(Json::array({layer("Conv2D", {{"name", "c"},
                                                        {"filters", 2},
                                                        {"kernel_size", {3, 3}},
                                                        {"data_format", "channels_first"}})}))),
              HasSubstr("data_format"));
  EXPECT_THAT(refusal(row(Json::array(
                  {layer("Dense", {{"name", "d"}, {"units", 2}, {"dtype", "float64"}})}))),
              HasSubstr("dtype"));
}

// Absent keys mean Keras's defaults, which for losses of classes are not ours.
TEST(KerasConfigTest, TakesKerasDefaultsForAbsentKeys) {
  const Json config = {{"optimizer", "adam"}, {"loss", "sparse_categorical_crossentropy"}};
  const auto training = formats::read_training(config, {{"d", "d"}}, context());
  ASSERT_TRUE(training.has_value());
  EXPECT_FALSE(training->outputs.front().loss->make().takes_logits);
  const Json written = formats::write_training(*training, {{"d", "d"}}, context());
  EXPECT_EQ(written["loss"]["config"]["from_logits"], false);
  EXPECT_EQ(written["optimizer"]["config"]["learning_rate"], 0.001);
}

// Keras 2's function of that name is another one.
TEST(KerasConfigTest, RefusesHardSigmoidOfKeras2) {
  const Json json = row(
      Json::array({layer("Dense", {{"name", "d"}, {"units", 2}, {"activation", "hard_sigmoid"}})}));
  EXPECT_EQ(read(json).file.layers.size(), 1u);
  EXPECT_THROW((void)formats::read_network(json, "m.h5", true, catalogs()), Error);
}

TEST(KerasConfigTest, RefusesLayersThatAreCalledTwice) {
  const Json twice = call(layer("Dense", {{"name", "d"}, {"units", 4}}),
                          Json::array({Json::array({tensor("x")}), Json::array({tensor("d")})}));
  EXPECT_THAT(refusal(network(Json::array({twice}), "d")),
              HasSubstr("layer \"d\": expected a layer that is called once, found 2 calls"));
}

TEST(KerasConfigTest, RefusesNetworksWithCycles) {
  const auto add = [](const std::string& name, const std::string& from) {
    const Json list = Json::array({tensor("x"), tensor(from)});
    return call(layer("Add", {{"name", name}}), Json::array({Json::array({list})}));
  };
  EXPECT_THAT(refusal(network(Json::array({add("a", "b"), add("b", "a")}), "b")),
              HasSubstr("expected a network without cycles"));
  EXPECT_THAT(refusal(network(Json::array({add("a", "nobody")}), "a")), HasSubstr("\"nobody\""));
}

// A model in itself would have no end; what nests too deep would need the stack.
TEST(KerasConfigTest, RefusesWhatIsNestedTooDeep) {
  std::string text(100'000, '[');
  EXPECT_THROW((void)formats::parse_json(text, "deep"), Error);
  Json inner = row(Json::array({layer("Dense", {{"name", "d"}, {"units", 4}})}));
  for (int i = 0; i < 40; ++i) {
    inner["config"]["name"] = str_cat("m", i);
    inner = {{"class_name", "Sequential"},
             {"config", {{"name", "o"}, {"layers", Json::array({inner})}}}};
  }
  EXPECT_THAT(refusal(row(Json::array({inner}))), HasSubstr("expected models in at most"));
}

// A size that no memory has is found by its shapes; nothing is allocated for it.
TEST(KerasConfigTest, AllocatesNothingForSizesThatAreOnlyDeclared) {
  const ReadNetwork large =
      read(row(Json::array({layer("Dense", {{"name", "d"}, {"units", int64_t{1} << 39}})})));
  EXPECT_EQ(large.bindings.front().type.shape, (Shape{4, int64_t{1} << 39}));
}

// A layer makes a node for each of some sizes.
TEST(KerasConfigTest, RefusesSizesThatWouldBeNodes) {
  const Json wide = layer("DepthwiseConv1D", {{"name", "c"}, {"kernel_size", 1'000'000'000}});
  EXPECT_THAT(refusal(row(Json::array({wide}))), HasSubstr("kernel_size: expected at most"));
  const Json wrapped = layer("TimeDistributed", {{"name", "t"}, {"layer", wide}});
  EXPECT_THAT(refusal(row(Json::array({wrapped}))), HasSubstr("kernel_size: expected at most"));
  const Json rows = layer("RepeatVector", {{"name", "r"}, {"n", 1'000'000'000}});
  const Json backwards = layer("GRU", {{"name", "g"}, {"units", 2}, {"go_backwards", true}});
  EXPECT_THAT(refusal(row(Json::array({rows, backwards}))), HasSubstr("expected at most"));
}

TEST(KerasConfigTest, RefusesClassesOfProgramsByName) {
  Json own = layer("Mine", {{"name", "m"}});
  own["registered_name"] = "package>Mine";
  EXPECT_THAT(refusal(row(Json::array({own}))),
              AllOf(HasSubstr("layer \"m\""), HasSubstr("package>Mine")));
  EXPECT_THAT(refusal(row(Json::array({layer("Lambda2", {{"name", "m"}})}))),
              HasSubstr("there is no layer for Keras's Lambda2"));
}

// Files that Keras 2 and 3 wrote, with what they predict; data/make_fixtures.py made them.
TEST(KerasConfigTest, ReadsTrainedModelsOfBothVersions) {
  const std::string folder = std::string(TRIREME_SOURCE_DIR) + "/tests/core/formats/keras/data/";
  const json expected = json::parse(io::read_file(folder + "expected.json", 1 << 20));
  const Tensor features =
      Tensor::from<float>({8, 4}, expected["features"].get<std::vector<float>>());
  for (const auto& [name, kind] :
       {std::pair("keras3.keras", "keras"), std::pair("keras2.h5", "keras-h5")}) {
    const ModelFile file = format(kind).read(folder + name, {.catalogs = &catalogs()});
    EXPECT_THAT(file.notes, ::testing::IsEmpty()) << name;
    const Tensor output = Tensor::from<float>({8, 1}, expected[name].get<std::vector<float>>());
    EXPECT_LT(difference(predict(file, {features}), {output}), 1e-6) << name;
    ASSERT_TRUE(file.training.has_value()) << name;
    EXPECT_EQ(file.training->step, 6) << name;
    EXPECT_EQ(file.training->slots.size(), 8u) << name;
  }
}

// Directions that differ, and sides, are one list in Keras.
TEST(KerasConfigTest, WritesDirectionsAndSidesAsKerasHasThem) {
  const auto written = [](const nn::Layer& layer) {
    return formats::component_json(layer, "layer", context(), "n")["config"];
  };
  EXPECT_EQ(written(nn::Conv2D({.filters = 2, .kernel_h = 3, .kernel_w = 3}))["kernel_size"],
            Json::array({3, 3}));
  EXPECT_EQ(written(nn::Conv2D({.filters = 2, .kernel_h = 3, .kernel_w = 5}))["kernel_size"],
            Json::array({3, 5}));
  EXPECT_EQ(written(nn::MaxPool2D())["strides"], nullptr);
  EXPECT_EQ(written(nn::ZeroPad2D({.top = 1, .bottom = 2, .left = 3, .right = 4}))["padding"],
            Json::array({Json::array({1, 2}), Json::array({3, 4})}));
}

}  // namespace
}  // namespace trireme::testing

// Weights in Keras's layouts: files that Keras 3 wrote (fixtures/, made by keras_weights.py), our
// own, and ours loaded by Keras and h5py.
#include "core/formats/keras/keras_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "tests/core/formats/keras_weights/network.h"
#include "tests/core/io/files.h"
#include "tests/support/process.h"

namespace trireme::formats {
namespace {

using io::error_of;
using ::testing::HasSubstr;

std::string folder_of_test() {
  return std::string(TRIREME_SOURCE_DIR) + "/tests/core/formats/keras_weights/";
}
std::string fixture(const std::string& name) { return folder_of_test() + "fixtures/" + name; }

// Layers within layers, two of one class, and the optimizer's state, as Keras 3 keeps them.
TEST(KerasWeightsTest, ReadsWhatKeras3Wrote) {
  const io::Hdf5File file(fixture("net.weights.h5"));
  EXPECT_EQ(layout_of(file), KerasLayout::kWeights);
  KerasModelWeights weights = network();
  read_weights(file, weights);
  expect_values(weights, true);
}

// By order, with the variables that are not trained last.
TEST(KerasWeightsTest, ReadsTheOlderLayout) {
  const io::Hdf5File file(fixture("net.h5"));
  EXPECT_EQ(layout_of(file), KerasLayout::kLegacyModel);
  KerasModelWeights weights = network();
  read_legacy_weights(file, weights);
  expect_values(weights, true);
  const auto optimizer = legacy_optimizer(file);
  EXPECT_EQ(optimizer.size(), 12U);
  EXPECT_EQ(optimizer[0].first, "sgd/iteration");
}

// What is written is read again, in both layouts.
TEST(KerasWeightsTest, RoundTrips) {
  const io::TemporaryDirectory folder;
  KerasModelWeights weights = network();
  set_values(weights);
  io::write_hdf5(weights_contents(weights), folder / "a.weights.h5");
  io::write_hdf5(legacy_contents(weights, true), folder / "a.h5");
  io::write_hdf5(legacy_contents(weights, false), folder / "b.h5");
  KerasModelWeights first = network(), second = network(), third = network();
  read_weights(io::Hdf5File(folder / "a.weights.h5"), first);
  read_legacy_weights(io::Hdf5File(folder / "a.h5"), second);
  read_legacy_weights(io::Hdf5File(folder / "b.h5"), third);
  expect_values(first, true);
  expect_values(second, true);
  expect_values(third, false);
  EXPECT_EQ(layout_of(io::Hdf5File(folder / "b.h5")), KerasLayout::kLegacyWeights);
}

// Names of layers that no single attribute has room for.
TEST(KerasWeightsTest, SplitsLongListsOfNames) {
  const io::TemporaryDirectory folder;
  KerasModelWeights weights;
  weights.model = object("Sequential", "deep", "", "", {});
  for (int i = 0; i < 9000; ++i) {
    const std::string name = "layer_" + std::to_string(i);
    weights.model.children.push_back(object("Dense", name, "layers", name, {{"kernel", {1}}}));
    weights.model.children.back().variables[0].value = numbered(i, {1});
  }
  io::write_hdf5(legacy_contents(weights, false), folder / "a.h5");
  KerasModelWeights read = weights;
  each_variable(read.model, [](KerasVariable& variable) { variable.value = {}; });
  read_legacy_weights(io::Hdf5File(folder / "a.h5"), read);
  EXPECT_EQ(read.model.children[8999].variables[0].value.item<float>(), 8999);
}

// A model that is not that of the file must not get a part of its weights without a word.
TEST(KerasWeightsTest, NamesWhatDiffers) {
  const auto message = [](const std::function<void(KerasModelWeights&)>& change) {
    KerasModelWeights weights = network();
    change(weights);
    const io::Hdf5File file(fixture("net.weights.h5"));
    return std::string(error_of([&] { read_weights(file, weights); }).what());
  };
  EXPECT_THAT(
      message([](auto& w) { w.model.children[4].variables.pop_back(); }),
      HasSubstr("group \"layers/dense/vars\": the Dense \"first\" has 1 variables (kernel), "
                "found 2"));
  EXPECT_THAT(message([](auto& w) { w.model.children.pop_back(); }),
              HasSubstr("group \"layers/dense_1/vars\" has 2 variables of an object that the model "
                        "lacks"));
  KerasModelWeights weights = network();
  weights.model.children.pop_back();
  const io::Hdf5File old(fixture("net.h5"));
  EXPECT_THAT(error_of([&] { read_legacy_weights(old, weights); }).what(),
              HasSubstr("expected 3 layers with weights, found 4"));
}

// Bytes that Keras marks as bf16.
TEST(KerasWeightsTest, ReadsBf16) {
  KerasModelWeights weights;
  weights.model =
      object("Sequential", "s", "", "", {},
             {object("Dense", "dense", "layers", "dense", {{"kernel", {2, 2}}, {"bias", {2}}})});
  read_weights(io::Hdf5File(fixture("bf16.weights.h5")), weights);
  EXPECT_EQ(weights.model.children[0].variables[0].value.to_string(),
            "bf16[2, 2] {1.5, -2, 0.25, 3}");
}

// A model whose weights Keras spread over several files.
TEST(KerasWeightsTest, ReadsShards) {
  KerasModelWeights weights;
  weights.model =
      object("Sequential", "s", "", "", {},
             {object("Dense", "a", "layers", "a", {{"kernel", {2, 2}}, {"bias", {2}}}),
              object("Dense", "b", "layers", "b", {{"kernel", {2, 2}}, {"bias", {2}}})});
  const std::string map = fixture("sharded.weights.json");
  EXPECT_TRUE(is_shard_map(map));
  EXPECT_FALSE(is_shard_map(fixture("net.h5")));
  read_shards(open_shards(map), map, weights);
  int index = 0;
  each_variable(weights.model, [&](KerasVariable& variable) {
    EXPECT_EQ(variable.value.to_string(10), numbered(index, variable.value.shape()).to_string(10));
    ++index;
  });
  EXPECT_EQ(index, 4);
}

// The shards are files beside the map, whatever it says.
TEST(KerasWeightsTest, RefusesShardsElsewhere) {
  const io::TemporaryDirectory folder;
  for (const char* name : {"/etc/passwd", "../x.weights.h5", ""}) {
    io::overwrite(folder / "m.weights.json",
                  str_cat("{\"weight_map\": {\"/layers/dense/vars\": \"", name, "\"}}"));
    EXPECT_THAT(error_of([&] { open_shards(folder / "m.weights.json"); }).what(),
                HasSubstr("expected the name of a file beside it"));
  }
  io::overwrite(folder / "m.weights.json", std::string(100'000, '['));
  EXPECT_THAT(error_of([&] { open_shards(folder / "m.weights.json"); }).what(),
              HasSubstr("m.weights.json"));
}

TEST(KerasWeightsTest, NamesGroupsAsKerasDoes) {
  for (const auto& [name, expected] : std::vector<std::pair<std::string, std::string>>{
           {"Dense", "dense"},
           {"BatchNormalization", "batch_normalization"},
           {"GlobalAveragePooling1D", "global_average_pooling1d"},
           {"Conv2DTranspose", "conv2d_transpose"},
           {"LSTM", "lstm"},
           {"GRUCell", "gru_cell"},
           {"ReLU", "re_lu"},
           {"TFSMLayer", "tfsm_layer"}}) {
    EXPECT_EQ(snake_case(name), expected);
  }
}

template <typename T>
Tensor ones_and_zero() {
  return Tensor::from<T>({2, 2}, {T(1), T(0), T(1), T(1)});
}

io::Hdf5Contents sample() {
  io::Hdf5Contents root;
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "häuser ";
  root.attributes["text"] = text;
  root.attributes["empty"] = std::string();
  root.attributes["names"] = std::vector<std::string>{"a", "", "bü"};
  root.attributes["none"] = std::vector<std::string>{};
  root.attributes["integer"] = int64_t{-5};
  root.attributes["number"] = 0.25;
  root.add("types/f4", ones_and_zero<float>());
  root.add("types/f8", ones_and_zero<double>());
  root.add("types/i4", ones_and_zero<int32_t>());
  root.add("types/i8", ones_and_zero<int64_t>());
  root.add("types/u1", ones_and_zero<uint8_t>());
  root.add("types/bool", Tensor::from<bool>({2, 2}, {true, false, true, true}));
  Tensor half(DType::kFloat16, {2, 2});
  const Half values[] = {Half(1), Half(0), Half(1), Half(1)};
  std::memcpy(half.raw(), values, sizeof values);
  root.add("types/f2", half);
  root.add("types/scalar", Tensor::scalar(2.5F));
  root.add("types/none", Tensor::zeros(DType::kFloat32, {0, 3}));
  for (int i = 0; i < 3000; ++i) root.add("many/" + std::to_string(i), Tensor::scalar<int32_t>(i));
  root.group("empty").attributes["member"] = std::string("x");
  return root;
}

// Keras loads ours into a model of the same layers, h5py reads every type and attribute.
TEST(KerasWeightsTest, KerasLoadsOurs) {
  const io::TemporaryDirectory folder;
  KerasModelWeights weights = network();
  set_values(weights);
  io::write_hdf5(weights_contents(weights), folder / "ours.weights.h5");
  io::write_hdf5(legacy_contents(weights, false), folder / "ours.h5");
  io::write_hdf5(sample(), folder / "sample.h5");
  KerasModelWeights bf16;
  bf16.model =
      object("Sequential", "s", "", "", {},
             {object("Dense", "dense", "layers", "dense", {{"kernel", {2, 2}}, {"bias", {2}}})});
  read_weights(io::Hdf5File(fixture("bf16.weights.h5")), bf16);
  io::write_hdf5(weights_contents(bf16), folder / "bf16.weights.h5");

  const char* const named = std::getenv("TRIREME_PEER_PYTHON");
  const auto result =
      testing::run({"/usr/bin/env", "-u", "OPENBLAS_CORETYPE", "-u", "OPENBLAS_L2_SIZE",
                    named != nullptr ? named : TRIREME_PEER_PYTHON,
                    folder_of_test() + "keras_weights.py", "check", folder.path()});
  if (result.exit_code == 77 || result.exit_code == 127) {
    GTEST_SKIP() << "no Python with keras and h5py; name one in TRIREME_PEER_PYTHON";
  }
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
}

}  // namespace
}  // namespace trireme::formats

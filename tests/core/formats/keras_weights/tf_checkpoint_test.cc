// TensorFlow's object-based checkpoints: those that Keras 2 and 3 wrote (fixtures/, made by
// tf_checkpoint.py), our own, and ours loaded by Keras 2 and TensorFlow.
#include "core/formats/keras/tf_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/io/tensor_bundle.h"
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

class TfCheckpointTest : public ::testing::TestWithParam<const char*> {};

// save_weights() of Keras 2, tf.train.Checkpoint of the model and its optimizer, the same with an
// optimizer of TensorFlow before 2.11, which has slots, and of a model of Keras 3.
TEST_P(TfCheckpointTest, ReadsWhatTensorFlowWrote) {
  EXPECT_TRUE(is_tf_checkpoint(fixture(GetParam())));
  EXPECT_TRUE(is_tf_checkpoint(fixture(GetParam()) + std::string(".index")));
  EXPECT_EQ(optimizer_variables_of(fixture(GetParam())), 12U);
  KerasModelWeights weights = network();
  read_tf_checkpoint(fixture(GetParam()), weights);
  expect_values(weights, true);
}
INSTANTIATE_TEST_SUITE_P(Writers, TfCheckpointTest,
                         ::testing::Values("keras2", "tracked", "slots", "keras3"));

// What is written is read again.
TEST(TfCheckpointFileTest, RoundTrips) {
  const io::TemporaryDirectory folder;
  KerasModelWeights weights = network();
  set_values(weights);
  write_tf_checkpoint(weights, folder / "w");
  KerasModelWeights read = network();
  read_tf_checkpoint(folder / "w", read);
  expect_values(read, true);
  weights.optimizer.reset();
  write_tf_checkpoint(weights, folder / "w");
  read = network();
  read_tf_checkpoint(folder / "w", read);
  expect_values(read, false);
  EXPECT_EQ(optimizer_variables_of(folder / "w"), 0U);
  EXPECT_TRUE(read_all_of_checkpoint(folder / "w")
                  .contains("model/layer_with_weights-1/layer_with_weights-1/moving_mean"));
}

// Another model must not get some of the values without a word.
TEST(TfCheckpointFileTest, NamesWhatDiffers) {
  const auto message = [](const std::function<void(KerasModelWeights&)>& change) {
    KerasModelWeights weights = network();
    change(weights);
    return std::string(error_of([&] { read_tf_checkpoint(fixture("keras2"), weights); }).what());
  };
  EXPECT_THAT(message([](auto& w) { w.model.children.pop_back(); }),
              HasSubstr("expected 3 layers with variables, found 4"));
  EXPECT_THAT(message([](auto& w) { w.model.children[4].variables.pop_back(); }),
              HasSubstr("\"layer_with_weights-2/bias/.ATTRIBUTES/VARIABLE_VALUE\": the checkpoint "
                        "has this variable, the model does not"));
  EXPECT_THAT(message([](auto& w) { w.model.children[5].variables[0].name = "table"; }),
              HasSubstr("\"net/second/table\": expected a variable"));
  EXPECT_THAT(message([](auto& w) { w.optimizer->variables.pop_back(); }),
              HasSubstr("expected 9 slots of SGD, found 10"));
}

// An object may be any number, and a part of itself.
TEST(TfCheckpointFileTest, SurvivesGraphsThatAreNone) {
  const io::TemporaryDirectory folder;
  const auto message = [&](const std::string& graph) {
    io::BundleWriter writer(folder / "w");
    writer.add("_CHECKPOINTABLE_OBJECT_GRAPH", Tensor::scalar<std::string>(graph));
    writer.finish();
    KerasModelWeights weights = network();
    return std::string(error_of([&] { read_tf_checkpoint(folder / "w", weights); }).what());
  };
  EXPECT_THAT(message(""), HasSubstr("is no graph of objects"));
  EXPECT_THAT(message("\xff\xff"), HasSubstr("is no graph of objects"));
  // One node with a child number 5, then one that is its own child "layer-0".
  EXPECT_THAT(message(std::string("\x0a\x07\x0a\x05\x08\x05\x12\x01x", 9)),
              HasSubstr("expected one of 1 objects, found number 5"));
  EXPECT_THAT(message(std::string("\x0a\x0d\x0a\x0b\x08\x00\x12\x07layer-0", 15)),
              HasSubstr("expected 4 layers with variables, found 0"));
}

// Our own checkpoints are bundles, too.
TEST(TfCheckpointFileTest, KnowsOtherBundles) {
  const io::TemporaryDirectory folder;
  io::BundleWriter writer(folder / "w");
  writer.add("dense/kernel", Tensor::scalar(1.0F));
  writer.finish();
  EXPECT_FALSE(is_tf_checkpoint(folder / "w"));
  EXPECT_FALSE(is_tf_checkpoint(folder / "missing"));
}

// Keras 2 loads ours, and a tf.train.Checkpoint finds all that its objects have.
TEST(TfCheckpointFileTest, TensorFlowLoadsOurs) {
  const io::TemporaryDirectory folder;
  KerasModelWeights weights = network();
  set_values(weights);
  write_tf_checkpoint(weights, folder / "ours");
  KerasModelWeights attention;
  KerasObject heads = object("MultiHeadAttention", "heads", "layers", "heads", {});
  int index = 0;
  for (const char* name : {"query", "key", "value", "attention_output"}) {
    const bool is_output = std::string(name) == "attention_output";
    const std::string attribute = std::string(is_output ? "output" : name) + "_dense";
    KerasObject part = object("EinsumDense", name, attribute, std::string("heads/") + name,
                              {{"kernel", is_output ? Shape{1, 2, 2} : Shape{2, 1, 2}},
                               {"bias", is_output ? Shape{2} : Shape{1, 2}}});
    for (KerasVariable& variable : part.variables) {
      variable.value = numbered(index++, variable.value.shape());
    }
    heads.children.push_back(std::move(part));
  }
  attention.model = object("Functional", "model", "", "", {},
                           {object("InputLayer", "input_1", "layers", "", {}), std::move(heads)});
  write_tf_checkpoint(attention, folder / "heads");

  const char* const named = std::getenv("TRIREME_PEER_PYTHON");
  const auto result =
      testing::run({"/usr/bin/env", "-u", "OPENBLAS_CORETYPE", "-u", "OPENBLAS_L2_SIZE",
                    named != nullptr ? named : TRIREME_PEER_PYTHON,
                    folder_of_test() + "tf_checkpoint.py", "check", folder.path()});
  if (result.exit_code == 77 || result.exit_code == 127) {
    GTEST_SKIP() << "no Python with tensorflow and tf_keras; name one in TRIREME_PEER_PYTHON";
  }
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
}

}  // namespace
}  // namespace trireme::formats

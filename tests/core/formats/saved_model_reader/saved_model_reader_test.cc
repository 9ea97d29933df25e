#include "core/formats/saved_model/saved_model_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "core/formats/saved_model/saved_model_layer.h"
#include "core/nn/layers.h"
#include "core/nn/losses.h"
#include "core/nn/optimizers.h"
#include "core/nn/schedules.h"
#include "tests/core/formats/saved_model_reader/helpers.h"
#include "tests/core/formats/saved_model_reader/written_model.h"
#include "tests/support/process.h"

namespace trireme::formats {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::WrittenModel;
using trireme::testing::TemporaryDirectory;

std::string fixture(const std::string& name) {
  return std::string(TRIREME_SOURCE_DIR) + "/tests/core/formats/saved_model_reader/fixtures/" +
         name;
}

// What reading it says.
std::string error_of(const std::string& folder) {
  try {
    testing::read(folder);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string error_of(const WrittenModel& model) {
  const TemporaryDirectory directory;
  return error_of(model.write(directory / "model"));
}

TEST(SavedModelReaderTest, UnrollsALoopOfAFunction) {
  testing::expect_predictions(fixture("loop"));
}

TEST(SavedModelReaderTest, ReadsAGraphOfTensorFlow1) {
  testing::expect_predictions(fixture("old"));
}

TEST(SavedModelReaderTest, NamesWeightsByTheFilesVariables) {
  const ModelFile file = testing::read(fixture("loop/model"));
  ASSERT_EQ(file.weights.size(), 2u);
  EXPECT_TRUE(file.weights.contains("saved_model/kernel"));
  EXPECT_TRUE(file.weights.contains("saved_model/scale"));
}

// Two outputs are two layers: a step that trains one changes what the other computes with.
TEST(SavedModelReaderTest, SharesWeightsBetweenOutputs) {
  const ModelFile file = testing::read(fixture("loop/model"));
  ASSERT_EQ(file.layers.size(), 2u);
  const auto model = make_model(file);
  model->compile({.optimizer = std::make_shared<nn::Sgd>(nn::constant_rate(0.1)),
                  .loss = nn::mean_squared_error(),
                  .metrics = {}});
  const Tensor x = data::NpzFile(fixture("loop/io.npz")).read("x0");
  const std::vector<Tensor> before = model->predict_all(std::span(&x, 1));
  Tensor target = before[0].clone();
  for (float& number : target.flat<float>()) number += 1;
  model->train_on_batch({.features = {x}, .labels = {target}});
  const std::vector<Tensor> after = model->predict_all(std::span(&x, 1));
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_NE(before[i].as_double(0), after[i].as_double(0)) << file.outputs[i];
  }
  // "scale" is not trainable in the file.
  const auto weights = model->weights();
  testing::expect_near(weights.at("saved_model/scale"), file.weights.at("saved_model/scale"), 0,
                       "scale");
  EXPECT_NE(weights.at("saved_model/kernel").as_double(0),
            file.weights.at("saved_model/kernel").as_double(0));
}

// Transfer learning: the file's part stays, the new head is trained.
TEST(SavedModelReaderTest, IsALayerAmongOthers) {
  nn::Model model({.seed = 1});
  auto layer = std::make_unique<SavedModelLayer>(
      SavedModelOptions{.path = fixture("old/model"), .name = "base"});
  layer->set_trainable(false);
  model.add(std::move(layer)).add<nn::Dense>({.units = 2, .name = "head"});
  model.compile({.optimizer = std::make_shared<nn::Sgd>(nn::constant_rate(0.05)),
                 .loss = nn::mean_squared_error(),
                 .metrics = {}});
  const Tensor x = data::NpzFile(fixture("old/io.npz")).read("x0");
  const Tensor target = Tensor::zeros(DType::kFloat32, {x.shape()[0], 2});
  const double first = model.train_on_batch({.features = {x}, .labels = {target}}).at("loss");
  const auto before = model.weights();
  double last = first;
  for (int i = 0; i < 20; ++i) {
    last = model.train_on_batch({.features = {x}, .labels = {target}}).at("loss");
  }
  EXPECT_LT(last, first / 2);
  for (const auto& [name, value] : model.weights()) {
    if (name.starts_with("base/")) testing::expect_near(value, before.at(name), 0, name);
  }
}

TEST(SavedModelReaderTest, NamesAllMissingOpsAtOnce) {
  WrittenModel model;
  model.sign("c:0");
  model.add("FirstStrangeOp", "a", {"x"});
  model.add("Relu", "r", {"a"});
  model.add("FirstStrangeOp", "b", {"r"});
  model.add("SecondStrangeOp", "c", {"b"});
  EXPECT_THAT(error_of(model), AllOf(HasSubstr("FirstStrangeOp (2 nodes, such as \"a\")"),
                                     HasSubstr("SecondStrangeOp (1 node, \"c\")")));
}

TEST(SavedModelReaderTest, NamesANodeOfACycle) {
  WrittenModel model;
  model.sign("a:0");
  model.add("AddV2", "a", {"x", "b"});
  model.add("Relu", "b", {"c"});
  model.add("Relu", "c", {"a"});
  EXPECT_THAT(error_of(model), AllOf(HasSubstr("part of a cycle"), HasSubstr("node \"")));
}

TEST(SavedModelReaderTest, RefusesANodeThatIsItsOwnInput) {
  WrittenModel model;
  model.sign("a:0");
  model.add("Relu", "a", {"a"});
  EXPECT_THAT(error_of(model), HasSubstr("part of a cycle"));
}

TEST(SavedModelReaderTest, RefusesAFunctionThatCallsItself) {
  WrittenModel model;
  model.sign("a:0");
  tf::NodeDef& call = model.add("PartitionedCall", "a", {"x"});
  (*call.mutable_attr())["f"].mutable_func()->set_name("again");
  tf::FunctionDef& function = model.function("again", {"v"}, "inner:output:0");
  tf::NodeDef& inner =
      WrittenModel::add(*function.mutable_node_def(), "PartitionedCall", "inner", {"v"});
  (*inner.mutable_attr())["f"].mutable_func()->set_name("again");
  EXPECT_THAT(error_of(model), AllOf(HasSubstr("again"), HasSubstr("may call itself")));
}

// A loop whose counter never reaches its end.
TEST(SavedModelReaderTest, RefusesALoopWithoutEnd) {
  WrittenModel model;
  model.sign("loop:0");
  tf::NodeDef& loop = model.add("StatelessWhile", "loop", {"x"});
  (*loop.mutable_attr())["cond"].mutable_func()->set_name("goes_on");
  (*loop.mutable_attr())["body"].mutable_func()->set_name("step");
  tf::FunctionDef& condition = model.function("goes_on", {"v"}, "yes:output:0");
  tf::NodeDef& yes = WrittenModel::add(*condition.mutable_node_def(), "Const", "yes");
  WrittenModel::set_int(yes, 1);
  model.function("step", {"v"}, "v");
  EXPECT_THAT(error_of(model), HasSubstr("a loop of at most"));
}

TEST(SavedModelReaderTest, RefusesALoopOfUnknownLength) {
  WrittenModel model;
  model.sign("loop:0");
  tf::NodeDef& loop = model.add("While", "loop", {"x"});
  (*loop.mutable_attr())["cond"].mutable_func()->set_name("goes_on");
  (*loop.mutable_attr())["body"].mutable_func()->set_name("step");
  tf::FunctionDef& condition = model.function("goes_on", {"v"}, "yes:z:0");
  WrittenModel::add(*condition.mutable_node_def(), "Less", "yes", {"v", "v"});
  model.function("step", {"v"}, "v");
  EXPECT_THAT(error_of(model), AllOf(HasSubstr("node \"loop\" (While)"), HasSubstr("known when")));
}

// A constant that says once what stands for more elements than there is memory for.
TEST(SavedModelReaderTest, RefusesAConstantOfAbsurdShape) {
  for (const int64_t size : {int64_t{1} << 40, int64_t{1} << 62}) {
    WrittenModel model;
    model.sign("a:0");
    tf::NodeDef& constant = model.add("Const", "c");
    tf::TensorProto& tensor = *(*constant.mutable_attr())["value"].mutable_tensor();
    tensor.set_dtype(tf::DT_FLOAT);
    for (int i = 0; i < 3; ++i) tensor.mutable_tensor_shape()->add_dim()->set_size(size);
    tensor.add_float_val(1);
    model.add("AddV2", "a", {"x", "c"});
    EXPECT_THAT(error_of(model), AllOf(HasSubstr("\"c\" (Const)"), HasSubstr("at most")));
  }
}

// The same by an op: what it would give is known, and too large.
TEST(SavedModelReaderTest, RefusesToComputeWhatDoesNotFit) {
  WrittenModel model;
  model.sign("a:0");
  tf::NodeDef& sizes = model.add("Const", "sizes");
  tf::TensorProto& tensor = *(*sizes.mutable_attr())["value"].mutable_tensor();
  tensor.set_dtype(tf::DT_INT32);
  tensor.mutable_tensor_shape()->add_dim()->set_size(2);
  tensor.add_int_val(1 << 30);
  WrittenModel::set_int(model.add("Const", "one"), 1);
  model.add("Fill", "f", {"sizes", "one"});
  model.add("AddV2", "a", {"x", "f"});
  EXPECT_THAT(error_of(model), HasSubstr("expected constants of at most"));
}

TEST(SavedModelReaderTest, NamesAnInputThatIsNoNode) {
  WrittenModel model;
  model.sign("a:0");
  model.add("Relu", "a", {"nobody"});
  EXPECT_THAT(error_of(model), HasSubstr("nobody"));
  WrittenModel other;
  other.sign("a:7");
  other.add("Relu", "a", {"x"});
  EXPECT_THAT(error_of(other), HasSubstr("number 7"));
}

TEST(SavedModelReaderTest, ListsTheSignaturesThatThereAre) {
  nn::Model model({.seed = 1});
  model.add(std::make_unique<SavedModelLayer>(
      SavedModelOptions{.path = fixture("old/model"), .signature = "serving_defaul"}));
  try {
    model.build(TensorType{DType::kFloat32, {-1, 3}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("serving_default"), HasSubstr("did you mean")));
  }
}

TEST(SavedModelReaderTest, SaysWhichInputDoesNotFit) {
  nn::Model model({.seed = 1});
  model.add(std::make_unique<SavedModelLayer>(SavedModelOptions{.path = fixture("old/model")}));
  try {
    model.build(TensorType{DType::kFloat32, {-1, 5}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("f32[?, 3]"), HasSubstr("f32[?, 5]")));
  }
}

class DamagedFileTest : public ::testing::Test {
 protected:
  DamagedFileTest() {
    std::filesystem::copy(fixture("loop/model"), folder_, std::filesystem::copy_options::recursive);
  }
  static std::string bytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void write(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }

  TemporaryDirectory directory_;
  const std::string folder_ = directory_ / "model";
};

// Each length is an Error with the file's name, and nothing worse.
TEST_F(DamagedFileTest, RefusesAGraphThatIsCutOff) {
  const std::string path = folder_ + "/saved_model.pb", whole = bytes(path);
  for (size_t size = 0; size < whole.size(); size += 1 + size / 20) {
    write(path, whole.substr(0, size));
    EXPECT_THAT(error_of(folder_), HasSubstr(folder_)) << size;
  }
}

TEST_F(DamagedFileTest, RefusesWeightsThatAreNotWhatWasSaved) {
  const std::string path = folder_ + "/variables/variables.data-00000-of-00001";
  const std::string whole = bytes(path);
  for (size_t at = 0; at < whole.size(); at += 7) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    write(path, changed);
    EXPECT_THAT(error_of(folder_), HasSubstr(folder_)) << "byte " << at;
  }
}

TEST_F(DamagedFileTest, SaysThatWeightsAreMissing) {
  std::filesystem::remove_all(folder_ + "/variables");
  EXPECT_THAT(error_of(folder_), HasSubstr("variable"));
}

// Two bytes a message: more of them than fit must not be made before they are counted.
TEST(SavedModelReaderTest, CountsNodesBeforeItMakesThem) {
  const TemporaryDirectory directory;
  const auto prefixed = [](char tag, const std::string& content) {
    std::string bytes(1, tag);
    for (size_t size = content.size(); true; size >>= 7) {
      bytes += static_cast<char>((size & 0x7f) | (size > 0x7f ? 0x80 : 0));
      if (size <= 0x7f) break;
    }
    return bytes + content;
  };
  std::string nodes;
  for (int i = 0; i < 5'000'000; ++i) nodes.append("\x0a\0", 2);
  std::filesystem::create_directories(directory / "model");
  std::ofstream(directory / "model/saved_model.pb", std::ios::binary)
      << prefixed(0x12, prefixed(0x12, nodes));
  EXPECT_THAT(error_of(directory / "model"), HasSubstr("expected a SavedModel of at most"));
}

}  // namespace
}  // namespace trireme::formats

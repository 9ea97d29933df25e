#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "core/base/error.h"
#include "core/formats/onnx/onnx_layer.h"
#include "core/formats/onnx/read_onnx.h"
#include "core/formats/onnx/write_onnx.h"
#include "core/io/safetensors.h"
#include "core/nn/layers.h"
#include "proto/onnx/onnx.pb.h"
#include "tests/core/formats/models/model_texts.h"
#include "tests/core/formats/onnx/layer_cases.h"
#include "tests/support/mutated_message.h"
#include "tests/support/process.h"

namespace trireme::formats {
namespace {

using ::testing::HasSubstr;
using ::trireme::testing::TemporaryDirectory;

double largest_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.type(), b.type());
  double largest = 0;
  for (int64_t i = 0; i < std::min(a.elements(), b.elements()); ++i) {
    const double difference = std::abs(a.as_double(i) - b.as_double(i));
    largest = std::isnan(difference) ? std::numeric_limits<double>::infinity()
                                     : std::max(largest, difference);
  }
  return largest;
}

// Without the job's text the graph itself must give the predictions.
TEST(OnnxImportTest, PredictsWhatTheModelPredictsThatWasWritten) {
  const TemporaryDirectory folder;
  for (const std::string& name : ::trireme::testing::model_names()) {
    const ModelFile file = ::trireme::testing::model_file(name);
    const std::string path = folder / (name + ".onnx");
    write_onnx(file, path);
    const ModelFile found = read_onnx(path, {});
    EXPECT_EQ(found.layers.at(0)->type(), "onnx");
    const auto expected = make_model(file), imported = make_model(found);
    for (int64_t batch : {1, 5}) {
      const auto features = ::trireme::testing::random_features(name, batch);
      const auto ours = expected->predict_all(features), theirs = imported->predict_all(features);
      ASSERT_EQ(ours.size(), theirs.size());
      for (size_t i = 0; i < ours.size(); ++i) {
        EXPECT_LT(largest_difference(ours[i], theirs[i]), 1e-5) << name << " " << batch;
      }
    }
  }
}

TEST(OnnxImportTest, ComputesEveryLayerThatIsWritten) {
  const TemporaryDirectory folder;
  for (const auto& layers : ::trireme::testing::layer_cases()) {
    if (layers.is_loop) continue;
    SCOPED_TRACE(layers.name);
    const std::string path = folder / (layers.name + ".onnx");
    try {
      const ModelFile file = ::trireme::testing::model_of_case(layers);
      write_onnx(file, path);
      const auto expected = make_model(file), imported = make_model(read_onnx(path, {}));
      const auto features = ::trireme::testing::features_of_case(layers, 3);
      EXPECT_LT(largest_difference(expected->predict(features), imported->predict(features)), 1e-5);
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

// PyTorch's two exporters write the same networks with other ops and other arithmetic of shapes.
TEST(OnnxImportTest, PredictsWhatPytorchPredictsThatExportedTheFile) {
  const std::string folder = TRIREME_SOURCE_DIR "/tests/core/formats/onnx/fixtures/";
  for (const char* name : {"images", "lstm", "gru", "transformer"}) {
    for (const char* exporter : {"", "_script"}) {
      const std::string stem = folder + name + exporter;
      SCOPED_TRACE(stem);
      const auto tensors = io::SafetensorsReader(stem + ".safetensors").read_all();
      const ModelFile file = read_onnx(stem + ".onnx", {});
      const auto model = make_model(file);
      const Tensor& x = tensors.at("in/x");
      EXPECT_LT(largest_difference(model->predict(x), tensors.at("out/y")), 1e-5);
      // The file's batch had another size than this.
      EXPECT_LT(largest_difference(model->predict(x.rows(1, 2)), tensors.at("out/y").rows(1, 2)),
                1e-5);
    }
  }
}

// A graph for tests: x [batch, 2] goes through nodes to y.
class OnnxGraphTest : public ::testing::Test {
 protected:
  OnnxGraphTest() {
    model_.set_ir_version(8);
    model_.set_producer_name("test");
    model_.add_opset_import()->set_version(17);
    graph_ = model_.mutable_graph();
    auto* input = graph_->add_input();
    input->set_name("x");
    auto* tensor = input->mutable_type()->mutable_tensor_type();
    tensor->set_elem_type(onnx::TensorProto::FLOAT);
    tensor->mutable_shape()->add_dim()->set_dim_param("n");
    tensor->mutable_shape()->add_dim()->set_dim_value(2);
    graph_->add_output()->set_name("y");
  }

  onnx::NodeProto& add(const std::string& op, std::vector<std::string> inputs,
                       const std::string& output) {
    auto* node = graph_->add_node();
    node->set_op_type(op);
    node->set_name("node_" + output);
    for (const std::string& input : inputs) node->add_input(input);
    node->add_output(output);
    return *node;
  }
  onnx::TensorProto& weight(const std::string& name, std::vector<int64_t> dims) {
    auto* tensor = graph_->add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(onnx::TensorProto::FLOAT);
    int64_t elements = 1;
    for (int64_t size : dims) {
      tensor->add_dims(size);
      elements *= size;
    }
    for (int64_t i = 0; i < std::min<int64_t>(elements, 100); ++i) {
      tensor->add_float_data(static_cast<float>(i + 1));
    }
    return *tensor;
  }
  std::string write() {
    const std::string path = folder_ / "m.onnx";
    std::ofstream(path, std::ios::binary) << model_.SerializeAsString();
    return path;
  }
  Error error() {
    try {
      read_onnx(write(), {});
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "expected an Error";
    return {ErrorCode::kInternal, ""};
  }

  TemporaryDirectory folder_;
  onnx::ModelProto model_;
  onnx::GraphProto* graph_;
};

TEST_F(OnnxGraphTest, NamesAllOpsThatAreMissingAtOnce) {
  add("Det", {"x"}, "a");
  add("Unique", {"a"}, "b");
  add("Relu", {"b"}, "c");
  add("Det", {"c"}, "y").set_domain("com.example");
  add("NonZero", {"x"}, "unused");
  const std::string message = error().what();
  EXPECT_THAT(message, HasSubstr("lacks 3 ops"));
  EXPECT_THAT(message, HasSubstr("\"Det\" (1 node, \"node_a\")"));
  EXPECT_THAT(message, HasSubstr("\"Unique\""));
  EXPECT_THAT(message, HasSubstr("\"com.example.Det\""));
  EXPECT_THAT(message, ::testing::Not(HasSubstr("NonZero")));
}

// What is made of the sizes of a value is known though the batch is not.
TEST_F(OnnxGraphTest, ComputesShapesThatDependOnTheBatch) {
  auto ints = [&](const std::string& name, std::vector<int64_t> values) {
    auto* attribute = add("Constant", {}, name).add_attribute();
    attribute->set_name("value_ints");
    attribute->set_type(onnx::AttributeProto::INTS);
    attribute->mutable_ints()->Add(values.begin(), values.end());
  };
  ints("zero", {0});
  ints("two", {2});
  ints("minus", {-1});
  add("Shape", {"x"}, "shape");
  add("Gather", {"shape", "zero"}, "batch");
  add("Mul", {"batch", "two"}, "doubled");
  auto* axis = add("Concat", {"doubled", "minus"}, "target").add_attribute();
  axis->set_name("axis");
  axis->set_type(onnx::AttributeProto::INT);
  axis->set_i(0);
  add("Reshape", {"x", "target"}, "column");  // [2·batch, 1]
  add("Mul", {"column", "column"}, "squares");
  add("Concat", {"batch", "two"}, "back").mutable_attribute()->Add()->CopyFrom(*axis);
  add("Reshape", {"squares", "back"}, "y");
  const auto model = make_model(read_onnx(write(), {}));
  const Tensor y = model->predict(Tensor::from<float>({3, 2}, {1, 2, 3, 4, 5, 6}));
  ASSERT_EQ(y.shape(), (Shape{3, 2}));
  for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(y.as_double(i), (i + 1) * (i + 1));
}

TEST_F(OnnxGraphTest, TrainsTheWeightsOfTheFile) {
  weight("w", {2, 1});
  weight("b", {1});
  add("Gemm", {"x", "w", "b"}, "y");
  const ModelFile file = read_onnx(write(), {});
  ASSERT_EQ(file.weights.size(), 2u);
  EXPECT_EQ(file.weights.at("onnx/w").flat<float>()[1], 2);
  const auto model = make_model(file);
  model->compile({.optimizer = std::make_shared<nn::Sgd>(nn::constant_rate(0.05)),
                  .loss = nn::mean_squared_error()});
  const nn::Batch batch{{Tensor::from<float>({4, 2}, {1, 0, 0, 1, 1, 1, 2, 1})},
                        {Tensor::from<float>({4, 1}, {2, 1, 2, 3})}};
  const double before = model->test_on_batch(batch).at("loss");
  for (int i = 0; i < 50; ++i) model->train_on_batch(batch);
  EXPECT_LT(model->test_on_batch(batch).at("loss"), before / 10);
}

// Each of these would hang, take memory without end or read what is not the model's.
TEST_F(OnnxGraphTest, RefusesHostileFiles) {
  const onnx::ModelProto empty = model_;
  const auto expect = [&](const std::string& message) {
    EXPECT_THAT(std::string(error().what()), HasSubstr(message));
    model_ = empty;
    graph_ = model_.mutable_graph();
  };
  add("Relu", {"b"}, "a");
  add("Relu", {"a"}, "b");
  add("Add", {"a", "x"}, "y");
  expect("cycle through the value");

  add("Relu", {"nowhere"}, "y");
  expect("nothing gives the value \"nowhere\"");

  add("Add", {"x", "w"}, "y");
  weight("w", {int64_t{1} << 40, int64_t{1} << 30});
  expect("tensor \"w\": expected the elements of");

  add("Add", {"x", "w"}, "y");
  weight("w", {1000000000});
  expect("tensor \"w\": expected the elements of [1000000000], found 400 bytes");

  add("Add", {"x", "w"}, "y");
  auto& external = weight("w", {2});
  external.clear_float_data();
  external.set_data_location(onnx::TensorProto::EXTERNAL);
  auto* location = external.add_external_data();
  location->set_key("location");
  for (const char* path : {"../secret", "/etc/passwd", "a/../../b", ""}) {
    location->set_value(path);
    EXPECT_THAT(std::string(error().what()), HasSubstr("in a file of the model's own folder"))
        << path;
  }
  location->set_value("m.onnx");
  auto* offset = external.add_external_data();
  offset->set_key("offset");
  offset->set_value("18446744073709551615");
  expect("expected 8 bytes of tensor \"w\" from byte 18446744073709551615");

  add("Add", {"x", "huge"}, "y");
  auto* shape = add("Constant", {}, "shape").add_attribute();
  shape->set_name("value_ints");
  shape->mutable_ints()->Add(int64_t{1} << 40);
  add("ConstantOfShape", {"shape"}, "huge");
  expect("a shape of at most");

  onnx::GraphProto inner;
  for (int depth = 0; depth < 200; ++depth) {
    onnx::GraphProto outer;
    auto* node = outer.add_node();
    node->set_op_type("If");
    auto* branch = node->add_attribute();
    branch->set_name("then_branch");
    *branch->mutable_g() = inner;
    inner = outer;
  }
  *graph_ = inner;
  expect("expected a model of ONNX, found bytes that are none");
}

// Whatever number or text of a file is wrong, an Error for the user says so, or it is read.
TEST_F(OnnxGraphTest, RefusesMutatedFilesWithAnErrorForTheUser) {
  int read = 0, refused = 0;
  for (const char* name : {"images_script", "lstm_script", "transformer"}) {
    onnx::ModelProto model;
    std::ifstream in(std::string(TRIREME_SOURCE_DIR) + "/tests/core/formats/onnx/fixtures/" + name +
                     ".onnx");
    ASSERT_TRUE(model.ParseFromIstream(&in));
    // Of each list the first two are changed: begin with another node each time.
    for (int first = 0; first < model.graph().node_size(); first += 5) {
      model.mutable_graph()->mutable_node()->SwapElements(0, first);
      ::trireme::testing::mutate_fields<onnx::ModelProto>(
          model, *model.mutable_graph()->mutable_node(0), 2, [&](const onnx::ModelProto& mutated) {
            std::ofstream(folder_ / "m.onnx", std::ios::binary) << mutated.SerializeAsString();
            try {
              read_onnx(folder_ / "m.onnx", {});
              ++read;
            } catch (const Error& error) {
              ++refused;
              EXPECT_NE(error.code(), ErrorCode::kInternal) << name << ": " << error.what();
            }
          });
    }
  }
  EXPECT_GT(read, 100);
  EXPECT_GT(refused, 200);
}

TEST_F(OnnxGraphTest, AsksForABatchOfAnySize) {
  graph_->mutable_input(0)
      ->mutable_type()
      ->mutable_tensor_type()
      ->mutable_shape()
      ->mutable_dim(0)
      ->set_dim_value(1);
  add("Relu", {"x"}, "y");
  EXPECT_THAT(std::string(error().what()), HasSubstr("dynamic batch axis"));
}

}  // namespace
}  // namespace trireme::formats

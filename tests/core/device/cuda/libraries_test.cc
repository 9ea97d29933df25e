// Products, convolutions and pooling on a card: what the libraries are asked for, and that a whole
// training step that is made of them does what reference does.
#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/data/digits.h"
#include "core/nn/layers.h"
#include "core/nn/model.h"
#include "core/nn/optimizers.h"
#include "core/runtime/session.h"
#include "tests/support/cuda_devices.h"
#include "tests/support/fake_cuda/fake_cuda.h"
#include "tests/support/session_case.h"

namespace trireme::testing {
namespace {

using ::testing::IsEmpty;

// How often each kernel ran in one run of `op_case`, by name; preparing is not counted. Nothing on
// a real card, which does not tell.
std::optional<std::map<std::string, int64_t>> launches_of(const OpCase& op_case, DType dtype) {
  fake_cuda::FakeCuda* const fake = fake_cuda::fake_cuda();
  const BuiltCase built = build_case(op_case, dtype);
  const SessionCase on_gpu(op_case, built);
  Session session(*on_gpu.graph, {.devices = shared_gpu_set()});
  std::vector<Value> inputs;
  std::vector<Tensor> feeds, results;
  for (const auto& [value, tensor] : on_gpu.feeds) {
    inputs.push_back(value);
    feeds.push_back(tensor);
  }
  const auto function = session.function(inputs, on_gpu.outputs(), {});
  function->run(feeds, results);
  if (fake == nullptr) return std::nullopt;
  fake->reset_statistics();
  function->run(feeds, results);
  EXPECT_THAT(fake->take_complaints(), IsEmpty());
  return fake->statistics().launches;
}

OpCase convolution(const std::string& op, const Shape& input, const Shape& filter,
                   const Attributes& with = {}) {
  Attributes attributes = {{"strides", Ints{1, 1}},
                           {"dilations", Ints{1, 1}},
                           {"padding", std::string("SAME")},
                           {"groups", int64_t{1}}};
  for (const auto& [name, value] : with) attributes.set(name, value);
  if (op == "FusedConv2d") {
    return {op, "", {real(input), real(filter), real({filter[3]})}, attributes};
  }
  return {op, "", {real(input), real(filter)}, attributes};
}

using Launches = std::map<std::string, int64_t>;

#define EXPECT_LAUNCHES(op_case, dtype, ...)                                \
  if (const auto launches = launches_of(op_case, dtype)) {                  \
    EXPECT_EQ(*launches, (Launches __VA_ARGS__)) << op_case << name(dtype); \
  }

TEST(CudaLibraries, FuseBiasAndReluIntoAProduct) {
  TRIREME_NEEDS_GPU();
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
    const OpCase fused = {
        "FusedMatMul",
        "",
        {real({7, 5}), real({5, 3}), real({3})},
        {{"transpose_a", false}, {"transpose_b", false}, {"activation", std::string("relu")}}};
    EXPECT_LAUNCHES(fused, dtype, {{"cublasLtMatmul", 1}});
  }
}

TEST(CudaLibraries, MultiplyABatchInOneCall) {
  TRIREME_NEEDS_GPU();
  const Attributes plain = {{"transpose_a", false}, {"transpose_b", false}};
  const OpCase batched = {"MatMul", "", {real({4, 3, 2, 5}), real({4, 3, 5, 6})}, plain};
  EXPECT_LAUNCHES(batched, DType::kFloat32, {{"cublasLtMatmul", 1}});
  const OpCase one_left = {"MatMul", "", {real({2, 5}), real({12, 5, 6})}, plain};
  EXPECT_LAUNCHES(one_left, DType::kFloat32, {{"cublasLtMatmul", 1}});
  // No stride leads from matrix to matrix: a call for each left one.
  const OpCase both = {"MatMul", "", {real({4, 1, 2, 5}), real({3, 5, 6})}, plain};
  EXPECT_LAUNCHES(both, DType::kFloat32, {{"cublasLtMatmul", 4}});
}

TEST(CudaLibraries, MultiplyWhereAFilterIsOnePixel) {
  TRIREME_NEEDS_GPU();
  const OpCase pointwise = convolution("FusedConv2d", {2, 5, 4, 16}, {1, 1, 16, 8},
                                       {{"activation", std::string("relu")}});
  EXPECT_LAUNCHES(pointwise, DType::kBFloat16, {{"cublasLtMatmul", 1}});
}

TEST(CudaLibraries, ConvolveByCudnnWithBiasAndRelu) {
  TRIREME_NEEDS_GPU();
  const OpCase fused = convolution("FusedConv2d", {2, 9, 8, 16}, {3, 3, 16, 8},
                                   {{"activation", std::string("relu")}});
  for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    EXPECT_LAUNCHES(fused, dtype,
                    {{dtype == DType::kFloat32 ? "transpose_filter_4" : "transpose_filter_2", 1},
                     {"cudnnConvolutionBiasActivationForward", 1}});
  }
}

TEST(CudaLibraries, PadImagesThemselvesWhereOneSideHasMore) {
  TRIREME_NEEDS_GPU();
  const OpCase strided =
      convolution("Conv2d", {2, 8, 8, 8}, {3, 3, 8, 8}, {{"strides", Ints{2, 2}}});
  EXPECT_LAUNCHES(
      strided, DType::kBFloat16,
      {{"resize_images_16", 1}, {"transpose_filter_2", 1}, {"cudnnConvolutionForward", 1}});
}

TEST(CudaLibraries, ConvolveThemselvesWhatCudnnDoesNotTake) {
  TRIREME_NEEDS_GPU();
  const OpCase plain = convolution("Conv2d", {2, 5, 5, 2}, {3, 3, 2, 4});
  EXPECT_LAUNCHES(plain, DType::kFloat64, {{"convolution_forward_f64", 1}});
}

TEST(CudaLibraries, ComputeNothingForAnEmptyBatch) {
  TRIREME_NEEDS_GPU();
  const Attributes plain = {{"transpose_a", false}, {"transpose_b", false}};
  const OpCase no_rows = {"MatMul", "", {real({0, 5}), real({5, 3})}, plain};
  EXPECT_LAUNCHES(no_rows, DType::kFloat32, {});
  EXPECT_LAUNCHES(convolution("Conv2d", {0, 8, 8, 3}, {3, 3, 3, 4}), DType::kFloat32, {});
}

// A sum of no products is zero, and still gets its bias.
TEST(CudaLibraries, AddTheBiasToASumOfNothing) {
  TRIREME_NEEDS_GPU();
  const OpCase empty = {
      "FusedMatMul",
      "",
      {real({2, 0}), real({0, 3}), real({3}, 1, 2)},
      {{"transpose_a", false}, {"transpose_b", false}, {"activation", std::string("none")}}};
  const BuiltCase built = build_case(empty, DType::kFloat32);
  const SessionCase on_gpu(empty, built);
  Session session(*on_gpu.graph, {.devices = shared_gpu_set()});
  const auto actual = session.run(on_gpu.feeds, on_gpu.outputs());
  EXPECT_EQ(difference(actual[0], evaluate(built.outputs, built.feeds)[0], 0), "");
}

// LeNet with momentum, some steps of training: losses and weights.
struct Trained {
  std::vector<double> losses;
  nn::StateMap weights;
};
class LossRecorder : public nn::Callback {
 public:
  void on_batch_end(nn::Training&, nn::Logs logs) override { losses.push_back(*logs[0].value); }
  std::vector<double> losses;
};

Trained train_lenet(const std::shared_ptr<DeviceSet>& devices, const std::string& device,
                    ops::Padding padding, std::shared_ptr<const nn::Optimizer> optimizer) {
  nn::Model model({.name = "lenet", .session = {.devices = devices, .default_device = device}});
  for (int64_t filters : {6, 16}) {
    model.add<nn::Conv2D>({.filters = filters,
                           .kernel_h = 5,
                           .kernel_w = 5,
                           .padding = padding,
                           .activation = nn::Activation::kRelu});
    model.add<nn::MaxPool2D>();
  }
  model.add<nn::Flatten>();
  model.add<nn::Dense>({.units = 120, .activation = nn::Activation::kRelu});
  model.add<nn::Dense>({.units = 10});
  model.compile(
      {.optimizer = std::move(optimizer), .loss = nn::sparse_categorical_cross_entropy()});
  const auto recorder = std::make_shared<LossRecorder>();
  model.fit(data::digits(data::Split::kTrain, 1, 32).dataset().batch(8),
            {.epochs = 1, .callbacks = {recorder}, .progress = std::nullopt});
  return {recorder->losses, model.weights()};
}

void expect_equal_training(ops::Padding padding, std::shared_ptr<const nn::Optimizer> optimizer) {
  const Trained gpu = train_lenet(shared_gpu_set(), "/device:GPU:0", padding, optimizer);
  const Trained reference =
      train_lenet(make_device_set("reference"), "/device:REFERENCE:0", padding, optimizer);
  ASSERT_EQ(gpu.losses.size(), 4u);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(gpu.losses[i], reference.losses[i], 1e-4);
  for (const auto& [name, expected] : reference.weights) {
    EXPECT_EQ(difference(gpu.weights.at(name), expected, 2e-4), "") << name;
  }
  if (fake_cuda::FakeCuda* const fake = fake_cuda::fake_cuda()) {
    EXPECT_THAT(fake->take_complaints(), IsEmpty());
  }
}

// Plain gradient descent accumulates products into the variables.
TEST(CudaTraining, OfLenetBySgdIsThatOfReference) {
  TRIREME_NEEDS_GPU();
  expect_equal_training(ops::Padding::kValid, std::make_shared<nn::Sgd>());
}

TEST(CudaTraining, OfLenetByAdamIsThatOfReference) {
  TRIREME_NEEDS_GPU();
  expect_equal_training(ops::Padding::kSame, std::make_shared<nn::Adam>());
}

}  // namespace
}  // namespace trireme::testing

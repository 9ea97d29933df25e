// Known answers for what TensorFlow defines: SAME padding, averages that leave padding out, and
// errors that help.
#include "core/ops/window.h"

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/ops/ops.h"
#include "tests/support/evaluate.h"

namespace trireme::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Window, SamePutsTheOddPaddingAfterTheImage) {
  // tf.nn.conv2d on 5 wide, window 2, stride 2: output 3, one column missing, at the right.
  const WindowAxis odd = window_axis(5, 2, 2, 1, "SAME");
  EXPECT_EQ(odd.output, 3);
  EXPECT_EQ(odd.before, 0);
  EXPECT_EQ(odd.after, 1);
  // 224 wide, window 7, stride 2, as in ResNet: 2 before, 3 after; PyTorch's padding=3 would shift
  // the image.
  const WindowAxis resnet = window_axis(224, 7, 2, 1, "SAME");
  EXPECT_EQ(resnet.output, 112);
  EXPECT_EQ(resnet.before, 2);
  EXPECT_EQ(resnet.after, 3);
  const WindowAxis dilated = window_axis(10, 3, 1, 2, "SAME");
  EXPECT_EQ(dilated.before, 2);
  EXPECT_EQ(dilated.after, 2);
}

TEST(Window, SameNeedsNoPaddingWhereTheStrideIsBeyondTheWindow) {
  const WindowAxis axis = window_axis(7, 1, 3, 1, "SAME");
  EXPECT_EQ(axis.output, 3);
  EXPECT_EQ(axis.before + axis.after, 0);
}

TEST(Window, ValidThatDoesNotFitSaysWhatToDo) {
  try {
    window_axis(4, 3, 1, 2, "VALID");
    FAIL() << "a window of extent 5 fitted an image of 4";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("extent 5"));
    EXPECT_THAT(error.what(), HasSubstr("SAME"));
  }
}

std::vector<double> values(const Tensor& tensor) {
  std::vector<double> all;
  for (int64_t i = 0; i < tensor.elements(); ++i) all.push_back(tensor.as_double(i));
  return all;
}

class KnownAnswers : public ::testing::TestWithParam<const char*> {
 protected:
  std::vector<double> run(Value value, const Feeds& feeds) {
    return values(evaluate({value}, feeds, GetParam())[0]);
  }
  Graph graph_{core_op_table()};
};

// A row 1 2 3 4 5 and the filter (1, 10): at stride 2 the last window takes one column of padding
// at the right.
TEST_P(KnownAnswers, Conv2dSame) {
  const Value x = ops::placeholder(graph_, "x", DType::kFloat32, {1, 1, 5, 1});
  const Value w = ops::placeholder(graph_, "w", DType::kFloat32, {1, 2, 1, 1});
  const Value y = ops::conv2d(x, w, {.stride_w = 2, .padding = ops::Padding::kSame});
  EXPECT_THAT(run(y, {{x, Tensor::from<float>({1, 1, 5, 1}, {1, 2, 3, 4, 5})},
                      {w, Tensor::from<float>({1, 2, 1, 1}, {1, 10})}}),
              ElementsAre(21, 43, 5));
}

TEST_P(KnownAnswers, AvgPoolDoesNotCountPadding) {
  const Value x = ops::placeholder(graph_, "x", DType::kFloat32, {1, 1, 3, 1});
  const Value y =
      ops::avg_pool2d(x, {.window_h = 1, .stride_h = 1, .padding = ops::Padding::kSame});
  EXPECT_THAT(run(y, {{x, Tensor::from<float>({1, 1, 3, 1}, {2, 4, 7})}}), ElementsAre(3, 7));
}

// Padding is not a zero that could win, and of equal maxima the first takes the gradient.
TEST_P(KnownAnswers, MaxPoolTakesTheFirstOfEqualMaxima) {
  const Value x = ops::placeholder(graph_, "x", DType::kFloat32, {1, 2, 3, 1});
  Node& pool = *ops::max_pool2d(x, {.padding = ops::Padding::kSame}).node;
  const Feeds feeds = {{x, Tensor::from<float>({1, 2, 3, 1}, {-3, -1, -5, -1, -2, -4})}};
  EXPECT_THAT(run(pool.output(0), feeds), ElementsAre(-1, -4));
  EXPECT_THAT(run(pool.output(1), feeds), ElementsAre(1, 2));
}

TEST_P(KnownAnswers, CrossEntropyNamesTheLabelOutOfRange) {
  const Value x = ops::placeholder(graph_, "x", DType::kFloat32, {2, 3});
  const Value labels = ops::placeholder(graph_, "labels", DType::kInt32, {2});
  const Value loss = ops::sparse_softmax_cross_entropy(x, labels);
  try {
    run(loss, {{x, Tensor::zeros(DType::kFloat32, {2, 3})},
               {labels, Tensor::from<int32_t>({2}, {0, 3})}});
    FAIL() << "label 3 of 3 classes was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("label 3 of row 1 is not in [0, 3)"));
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, KnownAnswers, ::testing::Values("reference", "cpu"));

}  // namespace
}  // namespace trireme::testing

#include "core/data/digits.h"

#include <cstring>
#include <set>

#include "core/base/parallel.h"
#include "tests/core/data/helpers.h"

namespace trireme::data {
namespace {

std::vector<uint8_t> bytes(const Tensor& tensor) {
  const auto values = tensor.flat<uint8_t>();
  return {values.begin(), values.end()};
}

TEST(DigitsTest, AreAFunctionOfSeedSplitAndIndex) {
  const LabeledImages some = digits(Split::kTrain, 1, 600);
  const int threads = compute_threads();
  set_compute_threads(1);
  const LabeledImages again = digits(Split::kTrain, 1, 600);
  set_compute_threads(threads);
  EXPECT_EQ(bytes(some.images), bytes(again.images));
  EXPECT_EQ(bytes(some.labels), bytes(again.labels));
  std::vector<uint8_t> pixels(784);
  EXPECT_EQ(draw_digit(1, Split::kTrain, 599, pixels), some.labels.flat<uint8_t>()[599]);
  EXPECT_EQ(pixels, bytes(some.images.rows(599, 600)));
  EXPECT_NE(bytes(digits(Split::kTest, 1, 600).images), bytes(some.images));
  EXPECT_NE(bytes(digits(Split::kTrain, 2, 600).images), bytes(some.images));
}

// Whichever way a worker gets them, and in whatever order it reads.
TEST(DigitsTest, AreTheSameWhenTheyAreDrawnAsTheyAreRead) {
  const Dataset at_once = digits(Split::kTrain, 3, 300).dataset();
  const Dataset as_read = digits_as_they_are_read(Split::kTrain, 3, 300);
  EXPECT_EQ(as_read.element_spec(), at_once.element_spec());
  ASSERT_EQ(as_read.cardinality(), at_once.cardinality());
  Iterator a = at_once.shuffle(1).repeat(2).batch(32).iterator();
  Iterator b = as_read.shuffle(1).repeat(2).batch(32).prefetch(2).iterator();
  for (Element one, other; a.next(one);) {
    ASSERT_TRUE(b.next(other));
    ASSERT_EQ(one[0].bytes(), other[0].bytes());
    EXPECT_EQ(std::memcmp(one[0].raw(), other[0].raw(), one[0].bytes()), 0);
    EXPECT_EQ(std::memcmp(one[1].raw(), other[1].raw(), one[1].bytes()), 0);
  }
  EXPECT_EQ(a.state(), b.state());
}

TEST(DigitsTest, AreBalancedAndAllDifferent) {
  const LabeledImages data = digits(Split::kTrain, 1, 5000);
  int count[10] = {};
  std::set<std::string> pictures;
  for (int64_t i = 0; i < data.size(); ++i) {
    ++count[data.labels.flat<uint8_t>()[static_cast<size_t>(i)]];
    const std::vector<uint8_t> picture = bytes(data.images.rows(i, i + 1));
    pictures.emplace(picture.begin(), picture.end());
  }
  for (const int n : count) EXPECT_NEAR(n, 500, 110);
  EXPECT_EQ(pictures.size(), 5000u);
}

// Ink in the middle, dark at the border, as networks made for MNIST expect.
TEST(DigitsTest, LookLikeMnist) {
  const LabeledImages data = digits(Split::kTest, 1, 1000);
  EXPECT_EQ(data.images.shape(), (Shape{1000, 28, 28, 1}));
  double all = 0, border = 0;
  const auto pixels = data.images.flat<uint8_t>();
  for (size_t i = 0; i < pixels.size(); ++i) {
    const size_t x = i % 28, y = i / 28 % 28;
    all += pixels[i];
    if (x == 0 || y == 0 || x == 27 || y == 27) border += pixels[i];
  }
  EXPECT_GT(all / 255 / static_cast<double>(pixels.size()), 0.08);
  EXPECT_LT(all / 255 / static_cast<double>(pixels.size()), 0.25);
  EXPECT_LT(border / 255 / 108000, 0.06);
}

// The mean picture of each digit is a linear model. It must tell something, but far from
// everything: a data set that it solves would not show what a network is for.
TEST(DigitsTest, AreNotToldApartByTheirMeans) {
  const LabeledImages train = digits(Split::kTrain, 1, 6000), test = digits(Split::kTest, 1, 2000);
  std::vector<std::vector<double>> mean(10, std::vector<double>(784));
  double count[10] = {};
  const auto pixels = train.images.flat<uint8_t>();
  for (size_t i = 0; i < 6000; ++i) {
    const uint8_t label = train.labels.flat<uint8_t>()[i];
    ++count[label];
    for (size_t p = 0; p < 784; ++p) mean[label][p] += pixels[i * 784 + p];
  }
  int right = 0;
  for (size_t i = 0; i < 2000; ++i) {
    double best = 1e300;
    int found = -1;
    for (int digit = 0; digit < 10; ++digit) {
      double distance = 0;
      for (size_t p = 0; p < 784; ++p) {
        const double d = mean[digit][p] / count[digit] - test.images.flat<uint8_t>()[i * 784 + p];
        distance += d * d;
      }
      if (distance < best) {
        best = distance;
        found = digit;
      }
    }
    right += found == test.labels.flat<uint8_t>()[i];
  }
  EXPECT_GT(right, 2000 * 0.5);
  EXPECT_LT(right, 2000 * 0.9);
}

}  // namespace
}  // namespace trireme::data

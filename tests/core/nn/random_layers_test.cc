// Layers that draw numbers while training: what they draw belongs to the example, and what they do
// is what they say.
#include <cmath>
#include <set>

#include "core/nn/functional.h"
#include "tests/core/nn/helpers.h"
#include "tests/support/evaluate.h"

namespace trireme::nn {
namespace {

using ::testing::HasSubstr;
using trireme::testing::Feeds;

// What `layer` makes of x, whose first row is example number `first` of the job.
Tensor output_of(Layer& layer, const Tensor& x, int64_t first = 0, bool training = true,
                 int64_t step = 3) {
  Graph graph(core_op_table());
  Shape shape = x.shape();
  shape.set(0, -1);
  const Value input = ops::placeholder(graph, "x", x.dtype(), shape);
  const Value key = ops::placeholder(graph, "key", DType::kInt64, {2});
  VariableRegistry registry;
  layer.set_name("l");
  BuildContext context(graph, registry, {input}, training, training ? key : Value{}, 7);
  const Value y = context.call(layer, {.layer = 0, .repeat = 0, .inputs = {{true, 0}}});
  Feeds feeds = {{input, x}};
  if (training) feeds.emplace_back(key, Tensor::from<int64_t>({2}, {step, first}));
  return trireme::testing::evaluate({y}, feeds, "cpu")[0];
}

Tensor random_tensor(const Shape& shape, uint64_t seed = 1) {
  PhiloxGenerator random(seed);
  Tensor made(DType::kFloat32, shape);
  for (float& x : made.flat<float>()) x = random.uniform();
  return made;
}

Tensor rows(const Tensor& x, int64_t begin, int64_t count) {
  Shape shape = x.shape();
  const int64_t row = x.elements() / shape[0];
  shape.set(0, count);
  const auto from =
      x.flat<float>().subspan(static_cast<size_t>(begin * row), static_cast<size_t>(count * row));
  return Tensor::from<float>(shape, std::vector<float>(from.begin(), from.end()));
}

std::vector<float> numbers(const Tensor& x) {
  return {x.flat<float>().begin(), x.flat<float>().end()};
}

std::vector<std::unique_ptr<Layer>> layers_over_images() {
  std::vector<std::unique_ptr<Layer>> all;
  const auto add = [&]<typename L>(typename L::Options options) {
    all.push_back(std::make_unique<L>(std::move(options)));
  };
  add.operator()<SpatialDropout2D>({.rate = 0.4});
  add.operator()<AlphaDropout>({.rate = 0.4});
  add.operator()<GaussianDropout>({.rate = 0.4});
  add.operator()<GaussianNoise>({.stddev = 0.5});
  add.operator()<RandomCrop>({.height = 4, .width = 3});
  add.operator()<RandomFlip>({});
  RandomTranslationOptions translation;
  translation.height_factor = translation.width_factor = {0.3};
  add.operator()<RandomTranslation>(translation);
  RandomZoomOptions zoom;
  zoom.height_factor = {0.3};
  add.operator()<RandomZoom>(zoom);
  RandomShearOptions shear;
  shear.x_factor = shear.y_factor = {0.3};
  add.operator()<RandomShear>(shear);
  add.operator()<RandomContrast>({.factor = {0.5}});
  add.operator()<RandomBrightness>({.factor = {0.5}});
  add.operator()<RandomInvert>({.factor = 0.5});
  add.operator()<RandomGrayscale>({});
  add.operator()<Solarization>({.addition_factor = 0.5, .threshold_factor = 1});
  add.operator()<RandomColorDegeneration>({.factor = {0, 1}});
  add.operator()<RandomSaturation>({.factor = {0, 1}});
  add.operator()<RandomSharpness>({.factor = {0, 1}});
  return all;
}

// Workers that share a batch, and a worker that takes over another's part, see the same images.
TEST(RandomLayersTest, DrawTheSameForAnExampleHoweverTheBatchIsSplit) {
  const Tensor x = random_tensor({8, 6, 5, 3});
  for (const auto& layer : layers_over_images()) {
    const Tensor whole = output_of(*layer, x, 100);
    const Tensor first = output_of(*layer, rows(x, 0, 3), 100);
    const Tensor second = output_of(*layer, rows(x, 3, 5), 103);
    EXPECT_EQ(numbers(rows(whole, 0, 3)), numbers(first)) << layer->type();
    EXPECT_EQ(numbers(rows(whole, 3, 5)), numbers(second)) << layer->type();
  }
}

// Another step draws anew, and inference draws nothing.
TEST(RandomLayersTest, DrawAnewInEachStepAndNothingInInference) {
  const Tensor x = random_tensor({8, 6, 5, 3});
  for (const auto& layer : layers_over_images()) {
    EXPECT_NE(numbers(output_of(*layer, x, 0, true, 1)), numbers(output_of(*layer, x, 0, true, 2)))
        << layer->type();
    if (layer->type() == "random_crop") continue;  // resizes in inference
    EXPECT_EQ(numbers(output_of(*layer, x, 0, false)), numbers(x)) << layer->type();
  }
}

TEST(SpatialDropoutTest, DropsChannelsAsAWhole) {
  SpatialDropout1D layer({.rate = 0.5});
  const Tensor y = output_of(layer, Tensor::from<float>({8, 4, 4}, std::vector<float>(128, 1.f)));
  std::set<float> seen;
  for (int64_t example = 0; example < 8; ++example) {
    for (int64_t channel = 0; channel < 4; ++channel) {
      const double first = y.as_double(example * 16 + channel);
      seen.insert(static_cast<float>(first));
      for (int64_t step = 1; step < 4; ++step) {
        EXPECT_EQ(y.as_double(example * 16 + step * 4 + channel), first);
      }
    }
  }
  EXPECT_EQ(seen, (std::set<float>{0, 2}));
}

// Mean 0 and variance 1 stay, which is what the constants are for.
TEST(AlphaDropoutTest, KeepsMeanAndVariance) {
  PhiloxGenerator random(3);
  Tensor x(DType::kFloat32, {1000, 50});
  for (float& value : x.flat<float>()) value = random.normal();
  AlphaDropout layer({.rate = 0.3});
  const Tensor y = output_of(layer, x);
  double sum = 0, squares = 0;
  for (const float value : y.flat<float>()) {
    sum += value;
    squares += double{value} * value;
  }
  EXPECT_NEAR(sum / 50000, 0, 0.02);
  EXPECT_NEAR(squares / 50000, 1, 0.03);
}

TEST(GaussianNoiseTest, HasItsDeviation) {
  const Tensor zeros = Tensor::zeros(DType::kFloat32, {1000, 50});
  GaussianNoise noise({.stddev = 0.5});
  double squares = 0;
  const Tensor added = output_of(noise, zeros);
  for (const float value : added.flat<float>()) squares += double{value} * value;
  EXPECT_NEAR(std::sqrt(squares / 50000), 0.5, 0.01);
  const Tensor ones = Tensor::from<float>({1000, 50}, std::vector<float>(50000, 1.f));
  GaussianDropout times({.rate = 0.2});
  squares = 0;
  const Tensor multiplied = output_of(times, ones);
  for (const float value : multiplied.flat<float>()) {
    squares += (double{value} - 1) * (double{value} - 1);
  }
  EXPECT_NEAR(std::sqrt(squares / 50000), 0.5, 0.01);
}

float pixel(const Tensor& x, int64_t n, int64_t row, int64_t column) {
  const Shape& s = x.shape();
  return x.flat<float>()[static_cast<size_t>(((n * s[1] + row) * s[2] + column) * s[3])];
}

// Every image is one of four, and all four come up.
TEST(RandomFlipTest, MirrorsEachAxisByItself) {
  const Tensor x = random_tensor({64, 3, 4, 1});
  RandomFlip layer;
  const Tensor y = output_of(layer, x);
  std::set<std::pair<bool, bool>> seen;
  for (int64_t n = 0; n < 64; ++n) {
    int fits = 0;
    for (const bool vertical : {false, true}) {
      for (const bool horizontal : {false, true}) {
        bool same = true;
        for (int64_t row = 0; row < 3; ++row) {
          for (int64_t column = 0; column < 4; ++column) {
            same &= pixel(y, n, row, column) ==
                    pixel(x, n, vertical ? 2 - row : row, horizontal ? 3 - column : column);
          }
        }
        if (same) seen.insert({vertical, horizontal});
        fits += same ? 1 : 0;
      }
    }
    EXPECT_EQ(fits, 1) << n;
  }
  EXPECT_EQ(seen.size(), 4u);
  RandomFlip horizontal({.mode = FlipMode::kHorizontal});
  const Tensor z = output_of(horizontal, x);
  for (int64_t n = 0; n < 64; ++n) {
    EXPECT_TRUE(pixel(z, n, 0, 0) == pixel(x, n, 0, 0) || pixel(z, n, 0, 0) == pixel(x, n, 0, 3));
  }
}

TEST(RandomCropTest, GivesEveryWindowOfTheImage) {
  const Tensor x = random_tensor({64, 4, 5, 1});
  RandomCrop layer({.height = 3, .width = 3});
  const Tensor y = output_of(layer, x);
  ASSERT_EQ(y.shape(), (Shape{64, 3, 3, 1}));
  std::set<std::pair<int64_t, int64_t>> seen;
  for (int64_t n = 0; n < 64; ++n) {
    int fits = 0;
    for (int64_t down = 0; down < 2; ++down) {
      for (int64_t right = 0; right < 3; ++right) {
        bool same = true;
        for (int64_t i = 0; i < 9; ++i) {
          same &= pixel(y, n, i / 3, i % 3) == pixel(x, n, down + i / 3, right + i % 3);
        }
        if (same) seen.insert({down, right});
        fits += same ? 1 : 0;
      }
    }
    EXPECT_EQ(fits, 1) << n;
  }
  EXPECT_EQ(seen.size(), 6u);
}

// A factor that leaves no choice shows the arithmetic: by 1/4 of 4 rows is one row downwards.
TEST(RandomTranslationTest, ShiftsByAShareOfTheSize) {
  const Tensor x = random_tensor({2, 4, 5, 1});
  RandomTranslationOptions options;
  options.height_factor = {0.25, 0.25};
  options.width_factor = {-0.4, -0.4};
  options.fill_mode = ops::Fill::kConstant;
  options.fill_value = 9;
  RandomTranslation layer(options);
  const Tensor y = output_of(layer, x);
  for (int64_t row = 0; row < 4; ++row) {
    for (int64_t column = 0; column < 5; ++column) {
      const bool outside = row < 1 || column > 2;
      EXPECT_NEAR(pixel(y, 1, row, column), outside ? 9 : pixel(x, 1, row - 1, column + 2), 1e-5)
          << row << " " << column;
    }
  }
}

// Around the middle: at factor 1 every second pixel is left, and the rest is mirrored in.
TEST(RandomZoomTest, ZoomsOutAroundTheMiddle) {
  Tensor x(DType::kFloat32, {1, 1, 5, 1});
  for (int i = 0; i < 5; ++i) x.flat<float>()[static_cast<size_t>(i)] = static_cast<float>(i);
  RandomZoomOptions options;
  options.height_factor = {1, 1};
  RandomZoom layer(options);
  const Tensor y = output_of(layer, x);
  const float expected[] = {1, 0, 2, 4, 3};  // of positions -2, 0, 2, 4, 6
  for (int64_t i = 0; i < 5; ++i) EXPECT_NEAR(pixel(y, 0, 0, i), expected[i], 1e-5) << i;
}

TEST(RandomColourTest, DoWhatTheyAreNamedAfter) {
  const Tensor x = random_tensor({4, 3, 3, 3});
  RandomBrightness brighter({.factor = {0.5, 0.5}, .value_range = {0, 1}});
  RandomContrast contrast({.factor = {-0.5, -0.5}});
  RandomInvert inverted;
  RandomGrayscale gray({.factor = 1});
  const Tensor light = output_of(brighter, x), flat = output_of(contrast, x),
               negative = output_of(inverted, x), grays = output_of(gray, x);
  for (int64_t n = 0; n < 4; ++n) {
    double mean[3] = {};
    for (int64_t i = 0; i < 27; ++i) mean[i % 3] += x.as_double(n * 27 + i) / 9;
    for (int64_t i = 0; i < 27; ++i) {
      const double value = x.as_double(n * 27 + i);
      EXPECT_NEAR(light.as_double(n * 27 + i), std::min(value + 0.5, 1.), 1e-6);
      EXPECT_NEAR(negative.as_double(n * 27 + i), 1 - value, 1e-6);
      EXPECT_NEAR(flat.as_double(n * 27 + i), (value + mean[i % 3]) / 2, 1e-6);
      const int64_t first = n * 27 + i / 3 * 3;
      EXPECT_NEAR(grays.as_double(n * 27 + i),
                  0.2989 * x.as_double(first) + 0.587 * x.as_double(first + 1) +
                      0.114 * x.as_double(first + 2),
                  1e-6);
    }
  }
}

TEST(RandomLayersTest, FactorsAreChecked) {
  RandomZoomOptions zoom;
  zoom.height_factor = {-1.5, 0};
  EXPECT_THAT(error_of([&] { Model().add<RandomZoom>(zoom); }),
              HasSubstr("height_factor: expected one number"));
  EXPECT_THAT(error_of([] { Model().add<RandomContrast>({.factor = {}}); }),
              HasSubstr("found none"));
  EXPECT_THAT(error_of([] {
                Model().add<RandomBrightness>({.factor = {.1}, .value_range = {1, 0}});
              }),
              HasSubstr("value_range: expected two rising numbers"));
  EXPECT_THAT(error_of([] { Model().add<SpatialDropout1D>(); }), HasSubstr("rate: expected"));
}

}  // namespace
}  // namespace trireme::nn

#include "core/tensor/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "core/base/error.h"

namespace trireme {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ShapeTest, CountsFromTheEndAndRefusesWhatIsOutside) {
  const Shape shape = {2, 3, 4};
  EXPECT_EQ(shape.dim(-1), 4);
  EXPECT_EQ(shape.elements(), 24);
  EXPECT_EQ(shape.first(2), Shape({2, 3}));
  EXPECT_EQ(shape.last(1), Shape({4}));
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ(Shape({3, 0}).elements(), 0);
  EXPECT_THROW((void)shape.dim(3), Error);
  EXPECT_THROW((void)shape.dim(-4), Error);
  EXPECT_THROW(Shape(std::vector<int64_t>(9, 1)), Error);
  EXPECT_EQ(Shape({-1, 28}).to_string(), "[?, 28]");
  EXPECT_FALSE(Shape({-1, 28}).is_known());
}

// NumPy's table of examples.
TEST(ShapeTest, BroadcastsAsNumPyDoes) {
  EXPECT_EQ(broadcast({256, 256, 3}, {3}), Shape({256, 256, 3}));
  EXPECT_EQ(broadcast({8, 1, 6, 1}, {7, 1, 5}), Shape({8, 7, 6, 5}));
  EXPECT_EQ(broadcast({}, {4}), Shape({4}));
  EXPECT_EQ(broadcast({0}, {1}), Shape({0}));
  EXPECT_THROW(broadcast({2, 1}, {8, 4, 3}), Error);
  EXPECT_TRUE(compatible({-1, 3}, {5, 3}));
  EXPECT_FALSE(compatible({-1, 3}, {5, 4}));
  EXPECT_FALSE(compatible({3}, {3, 1}));
}

TEST(DTypeTest, NamesAreReadBack) {
  for (const DType dtype :
       {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64, DType::kInt32,
        DType::kInt64, DType::kUInt8, DType::kBool, DType::kString}) {
    EXPECT_EQ(dtype_from_name(name(dtype)), dtype);
  }
  EXPECT_EQ(dtype_from_name("f31"), std::nullopt);
}

// All 65,536 values: a number that changes on its way through is a wrong weight without a word.
TEST(DTypeTest, SixteenBitNumbersSurviveTheWayToFloatAndBack) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    Half half;
    half.bits = static_cast<uint16_t>(bits);
    const float wide = static_cast<float>(half);
    if (std::isnan(wide)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(Half(wide))));
    } else {
      ASSERT_EQ(Half(wide).bits, bits);
    }
    BFloat16 brain;
    brain.bits = static_cast<uint16_t>(bits);
    const float wider = static_cast<float>(brain);
    if (std::isnan(wider)) {
      EXPECT_TRUE(std::isnan(static_cast<float>(BFloat16(wider))));
    } else {
      ASSERT_EQ(BFloat16(wider).bits, bits);
    }
  }
}

// Halfway between two numbers, the even one; past the largest, infinity.
TEST(DTypeTest, SixteenBitNumbersAreRoundedToNearestEven) {
  EXPECT_EQ(Half(2049.0F).bits, Half(2048.0F).bits);
  EXPECT_EQ(Half(2051.0F).bits, Half(2052.0F).bits);
  EXPECT_EQ(static_cast<float>(Half(65519.0F)), 65504.0F);
  EXPECT_TRUE(std::isinf(static_cast<float>(Half(65520.0F))));
  EXPECT_EQ(static_cast<float>(Half(0x1p-25F)), 0.0F);
  EXPECT_EQ(static_cast<float>(Half(0x1.8p-25F)), 0x1p-24F);
  EXPECT_EQ(static_cast<float>(BFloat16(257.0F)), 256.0F);
  EXPECT_EQ(static_cast<float>(BFloat16(259.0F)), 260.0F);
  EXPECT_TRUE(std::isinf(static_cast<float>(BFloat16(std::numeric_limits<float>::max()))));
}

// Who changes a view changes the tensor; who changes a clone does not.
TEST(TensorTest, ViewsShareTheirElementsAndClonesDoNot) {
  Tensor whole = Tensor::from<float>({3, 2}, {0, 1, 2, 3, 4, 5});
  Tensor rows = whole.rows(1, 3);
  EXPECT_EQ(rows.shape(), Shape({2, 2}));
  rows.flat<float>()[0] = 9;
  EXPECT_EQ(whole.flat<float>()[2], 9);
  Tensor copy = whole.clone();
  copy.flat<float>()[2] = 1;
  EXPECT_EQ(whole.flat<float>()[2], 9);
  EXPECT_THAT(whole.reshaped({6}).flat<float>(), ElementsAre(0, 1, 9, 3, 4, 5));
  EXPECT_THROW((void)whole.reshaped({5}), Error);
}

TEST(TensorTest, AnotherTypeThanItsOwnIsRefused) {
  const Tensor numbers = Tensor::from<int32_t>({2}, {1, 2});
  try {
    (void)numbers.flat<float>();
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("i32"));
  }
  EXPECT_THROW((void)numbers.item<int32_t>(), Error);
  EXPECT_EQ(Tensor::scalar<int64_t>(7).item<int64_t>(), 7);
  EXPECT_EQ(numbers.as_double(1), 2);
  EXPECT_FALSE(Tensor().defined());
}

TEST(TensorTest, PrintsItsTypeAndCutsWhatIsLong) {
  EXPECT_EQ(Tensor::from<float>({2, 2}, {1, 2, 3, 4}).to_string(), "f32[2, 2] {1, 2, 3, 4}");
  EXPECT_THAT(Tensor::zeros(DType::kFloat32, {100}).to_string(2), HasSubstr("0, 0"));
  EXPECT_LT(Tensor::zeros(DType::kFloat32, {100}).to_string(2).size(), 40U);
}

}  // namespace
}  // namespace trireme

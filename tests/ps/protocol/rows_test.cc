// Rows between f32 and the types that travel.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <random>

#include "core/tensor/dtype.h"
#include "ps/protocol/wire.h"

namespace trireme::ps {
namespace {

std::vector<float> random_rows(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> rows(count);
  for (float& x : rows) x = normal(random) * std::pow(10.0F, static_cast<float>(random() % 7) - 4);
  return rows;
}

std::vector<float> round_trip(RowType type, int64_t dim, const std::vector<float>& rows) {
  std::vector<std::byte> wire(rows.size() / static_cast<size_t>(dim) * row_bytes(type, dim));
  encode_rows(type, dim, rows, wire.data());
  std::vector<float> result(rows.size());
  decode_rows(type, dim, wire, result.data());
  return result;
}

class RowsTest : public ::testing::TestWithParam<int64_t> {};
// Vectors, their tails, and both.
INSTANTIATE_TEST_SUITE_P(Dims, RowsTest, ::testing::Values(1, 3, 8, 16, 37, 64, 2000));

TEST_P(RowsTest, SixteenBitRowsAreTheNumbersThatDTypesHave) {
  const auto rows = random_rows(static_cast<size_t>(GetParam()) * 11, 1);
  const auto bf16 = round_trip(RowType::kBFloat16, GetParam(), rows);
  const auto f16 = round_trip(RowType::kFloat16, GetParam(), rows);
  const auto f32 = round_trip(RowType::kFloat32, GetParam(), rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(f32[i], rows[i]);
    EXPECT_EQ(bf16[i], static_cast<float>(BFloat16(rows[i])));
    EXPECT_EQ(f16[i], static_cast<float>(Half(rows[i])));
  }
}

TEST_P(RowsTest, Int8RowsLoseHalfAStepOfTheirOwnScale) {
  const auto dim = static_cast<size_t>(GetParam());
  const auto rows = random_rows(dim * 11, 2);
  const auto result = round_trip(RowType::kInt8, GetParam(), rows);
  for (size_t at = 0; at < rows.size(); at += dim) {
    float most = 0;
    for (size_t i = 0; i < dim; ++i) most = std::max(most, std::abs(rows[at + i]));
    for (size_t i = 0; i < dim; ++i) {
      EXPECT_NEAR(result[at + i], rows[at + i], most / 127 * 0.501F);
      if (std::abs(rows[at + i]) == most) {
        EXPECT_NEAR(result[at + i], rows[at + i], most * 1e-6F);
      }
    }
  }
}

// What is never a number must not become one on the way, and zero stays zero.
TEST_P(RowsTest, KeepsWhatIsNoNumber) {
  const auto dim = static_cast<size_t>(GetParam());
  const float infinity = std::numeric_limits<float>::infinity();
  for (const RowType type :
       {RowType::kFloat32, RowType::kBFloat16, RowType::kFloat16, RowType::kInt8}) {
    for (const float strange : {infinity, -infinity, std::nanf("")}) {
      std::vector<float> rows(3 * dim, 0.5F);
      rows[dim] = strange;
      const auto result = round_trip(type, GetParam(), rows);
      EXPECT_FALSE(std::isfinite(result[dim]));
      EXPECT_NEAR(result[0], 0.5F, 1e-3F);
      EXPECT_NEAR(result[2 * dim], 0.5F, 1e-3F);
    }
    for (const float small : {0.0F, std::numeric_limits<float>::denorm_min()}) {
      for (const float x : round_trip(type, GetParam(), std::vector<float>(dim, small))) {
        EXPECT_NEAR(x, 0.0F, 1e-40F);
      }
    }
  }
}

// What rounding loses is sent later: after many steps the sums agree to one step's rounding.
TEST_P(RowsTest, ErrorFeedbackLosesNothingInTheLongRun) {
  const auto dim = static_cast<size_t>(GetParam());
  for (const RowType type :
       {RowType::kFloat32, RowType::kBFloat16, RowType::kFloat16, RowType::kInt8}) {
    std::vector<float> residual(dim * 3, 0.0F);
    std::vector<double> sent(dim * 3, 0), wanted(dim * 3, 0);
    for (uint64_t step = 0; step < 200; ++step) {
      std::mt19937_64 random(step);
      std::uniform_real_distribution<float> uniform(-1, 1);
      std::vector<float> rows(dim * 3), arrived(dim * 3);
      for (float& x : rows) x = uniform(random) + 0.01F;
      std::vector<std::byte> wire(3 * row_bytes(type, GetParam()));
      encode_rows(type, GetParam(), rows, residual.data(), wire.data());
      decode_rows(type, GetParam(), wire, arrived.data());
      for (size_t i = 0; i < rows.size(); ++i) {
        sent[i] += arrived[i];
        wanted[i] += rows[i];
      }
    }
    for (size_t i = 0; i < sent.size(); ++i) EXPECT_NEAR(sent[i], wanted[i], 0.02);
  }
}

TEST(RowTypesTest, ErrorFeedbackForgetsWhatIsNoNumber) {
  std::vector<float> residual = {0.25F, 0.25F};
  std::vector<std::byte> wire(row_bytes(RowType::kInt8, 2));
  encode_rows(RowType::kInt8, 2, std::vector<float>{INFINITY, 1.0F}, residual.data(), wire.data());
  EXPECT_EQ(residual, (std::vector<float>{0, 0}));
}

TEST(RowTypesTest, RowBytes) {
  EXPECT_EQ(row_bytes(RowType::kFloat32, 5), 20U);
  EXPECT_EQ(row_bytes(RowType::kBFloat16, 5), 10U);
  EXPECT_EQ(row_bytes(RowType::kFloat16, 5), 10U);
  EXPECT_EQ(row_bytes(RowType::kInt8, 5), 9U);
}

}  // namespace
}  // namespace trireme::ps

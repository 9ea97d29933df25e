// What a user reads when shapes do not fit, and shapes that are only partly known.
#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/ops/ops.h"
#include "tests/support/evaluate.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ShapeRulesTest : public ::testing::Test {
 protected:
  Value input(const Shape& shape, DType dtype = DType::kFloat32) {
    return ops::placeholder(graph_, "x", dtype, shape);
  }
  template <typename Action>
  std::string message(Action action) {
    try {
      action();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << error.what();
      return error.what();
    }
    return "nothing was thrown";
  }

  Graph graph_{core_op_table()};
};

TEST_F(ShapeRulesTest, MessagesNameTheOpAndTheShapes) {
  EXPECT_THAT(
      message([&] {
        ops::add(input({2, 3}), input({4}));
      }),
      AllOf(HasSubstr("Add 'add'"), HasSubstr("f32[2, 3], f32[4]"), HasSubstr("do not broadcast")));
  EXPECT_THAT(message([&] { ops::add(input({2}), input({2}, DType::kFloat64)); }),
              HasSubstr("one dtype"));
  EXPECT_THAT(message([&] { ops::exp(input({2}, DType::kInt32)); }), HasSubstr("floating-point"));
  EXPECT_THAT(message([&] {
                ops::sum(input({2, 3}), {2});
              }),
              HasSubstr("axis 2 is out of range for 2 dimensions"));
  EXPECT_THAT(message([&] { ops::sum(input({2, 3}), {1, -1}); }), HasSubstr("named twice"));
  EXPECT_THAT(message([&] {
                ops::reshape(input({2, 3}), {4, -1});
              }),
              HasSubstr("that the shape divides"));
  EXPECT_THAT(message([&] { ops::reshape(input({2, 3}), {-1, -1}); }), HasSubstr("at most one -1"));
  EXPECT_THAT(message([&] { ops::squeeze(input({2, 3}), {0}); }), HasSubstr("size 1"));
  EXPECT_THAT(message([&] { ops::transpose(input({2, 3}), {0, 0}); }), HasSubstr("permutation"));
  EXPECT_THAT(message([&] {
                ops::concat({input({2, 3}), input({3, 3})}, 1);
              }),
              HasSubstr("differ along the axis only"));
  EXPECT_THAT(message([&] { ops::slice(input({4}), {2}, {3}); }),
              HasSubstr("a slice within the input"));
  EXPECT_THAT(message([&] { ops::gather(input({4}), input({2})); }),
              HasSubstr("indices of i32 or i64"));
  EXPECT_THAT(message([&] { ops::add(input({2}), {}); }), HasSubstr("input 1 is not defined"));
  EXPECT_THAT(message([&] { ops::dropout(input({2}), input({2}, DType::kInt64), 1.0, 0); }),
              HasSubstr("attribute 'rate': expected a number at least 0 and below 1, found 1"));
}

TEST_F(ShapeRulesTest, TheBatchMayBeUnknown) {
  const Value x = input({-1, 28, 28, 1});
  EXPECT_EQ(ops::flatten(x).shape(), (Shape{-1, 784}));
  EXPECT_EQ(ops::reshape(x, {-1, 784}).shape(), (Shape{-1, 784}));
  EXPECT_EQ(ops::sum(x, {1, 2}).shape(), (Shape{-1, 1}));
  EXPECT_EQ(ops::mean(x).shape(), (Shape{}));
  EXPECT_EQ(ops::expand_dims(x, {-1}).shape(), (Shape{-1, 28, 28, 1, 1}));
  EXPECT_EQ(ops::transpose(x).shape(), (Shape{1, 28, 28, -1}));
  EXPECT_EQ(ops::slice(x, {0, 0, 0, 0}, {-1, 14, -1, -1}).shape(), (Shape{-1, 14, 28, 1}));
  EXPECT_EQ(ops::pad(x, {0, 2, 2, 0}, {0, 2, 2, 0}).shape(), (Shape{-1, 32, 32, 1}));
  EXPECT_EQ(ops::concat({x, x}, 0).shape(), (Shape{-1, 28, 28, 1}));
  EXPECT_EQ(ops::argmax(input({-1, 10})).type(), (TensorType{DType::kInt64, {-1}}));
}

TEST_F(ShapeRulesTest, KernelsNameAnIndexOutOfRange) {
  const Value table = input({4, 2}), ids = input({3}, DType::kInt64);
  const Value rows = ops::gather(table, ids);
  for (const char* kind : {"reference", "cpu"}) {
    EXPECT_THAT(message([&] {
                  testing::evaluate({rows},
                                    {{table, Tensor::zeros(DType::kFloat32, {4, 2})},
                                     {ids, Tensor::from<int64_t>({3}, {0, -1, 3})}},
                                    kind);
                }),
                HasSubstr("Gather 'gather': index -1 at position 1 is not in [0, 4)"));
  }
}

}  // namespace
}  // namespace trireme

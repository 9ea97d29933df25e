#include "core/graph/rewrite.h"

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/graph/print.h"
#include "core/ops/ops.h"

namespace trireme {
namespace {

class GraphCopierTest : public ::testing::Test {
 protected:
  Graph from_{core_op_table()};
  Graph to_{from_.ops()};
  GraphCopier copier_{from_, to_};
  Value x_ = ops::placeholder(from_, "scope/x", DType::kFloat32, {2});
};

TEST_F(GraphCopierTest, CopiesEverythingOfANode) {
  Value y = ops::relu(x_), z = ops::multiply(y, x_);
  z.node->add_control_input(y.node);
  y.node->set_device("/device:CPU:1");
  copier_.copy_rest();
  EXPECT_EQ(to_text(to_), to_text(from_));
}

// A node may wait for one that was added after it.
TEST_F(GraphCopierTest, CopiesControlInputsThatComeLater) {
  Value y = ops::relu(x_), z = ops::tanh(x_);
  y.node->add_control_input(z.node);
  copier_.copy_rest();
  EXPECT_EQ(to_text(to_), to_text(from_));
}

TEST_F(GraphCopierTest, UsersOfAReplacedNodeUseTheReplacement) {
  Value y = ops::relu(x_), z = ops::negate(y);
  z.node->add_control_input(y.node);
  copier_.copy(*x_.node);
  copier_.replace(*y.node, *ops::tanh(copier_.map(x_)).node);
  Node& copy = copier_.copy(*z.node, {.name = "other", .device = "/device:CPU:3"});
  EXPECT_EQ(to_text(copy), "%other = Negate(%tanh) after %tanh : f32[2] @/device:CPU:3");
}

TEST_F(GraphCopierTest, LeavesOutControlInputsThatAreDropped) {
  Value y = ops::relu(x_), z = ops::negate(x_);
  z.node->add_control_input(y.node);
  copier_.copy(*x_.node);
  EXPECT_TRUE(copier_.copy(*z.node).control_inputs().empty());
  EXPECT_FALSE(copier_.has(y));
  EXPECT_THROW(copier_.map(y), Error);
}

TEST_F(GraphCopierTest, UsersCountEveryUse) {
  Value y = ops::multiply(x_, x_);
  const Users users(from_);
  EXPECT_THAT(users.of(x_), ::testing::ElementsAre(y.node, y.node));
  EXPECT_THAT(users.of(y), ::testing::IsEmpty());
  EXPECT_FALSE(users.has_control_edges(*y.node));
}

}  // namespace
}  // namespace trireme

// The verifier finds each kind of broken graph. Graph's own interface does not let a graph break,
// so these tests reach past it, as a bug would.
#include "core/graph/verify.h"

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/ops/ops.h"
#include "tests/support/updates.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

template <typename T>
T& writable(const T& value) {
  return const_cast<T&>(value);
}

std::string message_of(const Graph& graph) {
  try {
    verify(graph);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "no error";
}

class VerifyTest : public ::testing::Test {
 protected:
  Graph graph_{core_op_table()};
  Value x_ = ops::placeholder(graph_, "x", DType::kFloat32, {-1, 3});
  Value w_ = ops::variable(graph_, "w", DType::kFloat32, {3, 2});
  Value lr_ = ops::scalar(graph_, DType::kFloat32, 0.1);
  Value y_ = ops::relu(ops::matmul(x_, w_));
};

TEST_F(VerifyTest, AcceptsAWholeGraph) {
  testing::apply_sgd(w_, {}, lr_, ops::matmul(x_, y_, true), {});
  y_.node->set_device("/device:CPU:1");
  EXPECT_NO_THROW(verify(graph_));
}

TEST_F(VerifyTest, InputsPrecedeTheirUser) {
  Value late = ops::relu(x_);
  writable(late.node->inputs())[0] = ops::relu(x_);
  EXPECT_THAT(message_of(graph_),
              AllOf(HasSubstr("Relu 'relu_1'"), HasSubstr("must be added before")));
}

TEST_F(VerifyTest, InputsAreOfThisGraph) {
  Graph other(core_op_table());
  writable(y_.node->inputs())[0] = ops::placeholder(other, "x", DType::kFloat32, {-1, 2});
  EXPECT_THAT(message_of(graph_), AllOf(HasSubstr("Relu 'relu'"), HasSubstr("node of this graph")));
}

TEST_F(VerifyTest, InputsAreOutputsThatExist) {
  writable(y_.node->inputs())[0].index = 1;
  EXPECT_THAT(message_of(graph_), AllOf(HasSubstr("Relu 'relu'"), HasSubstr("output 1 of MatMul")));
}

TEST_F(VerifyTest, AnOpHasItsNumberOfInputs) {
  writable(y_.node->inputs()).push_back(x_);
  EXPECT_THAT(message_of(graph_),
              AllOf(HasSubstr("Relu 'relu'"), HasSubstr("takes 1 to 1 inputs")));
}

TEST_F(VerifyTest, NamesAreUnique) {
  writable(y_.node->name()) = "x";
  EXPECT_THAT(message_of(graph_), AllOf(HasSubstr("Relu 'x'"), HasSubstr("unique")));
}

TEST_F(VerifyTest, NamesAreNotEmpty) {
  writable(y_.node->name()) = "";
  EXPECT_THAT(message_of(graph_), AllOf(HasSubstr("Relu"), HasSubstr("needs a name")));
}

TEST_F(VerifyTest, TypesAreWhatTheShapeRuleInfers) {
  writable(y_.node->output_type()).shape = Shape{-1, 5};
  EXPECT_THAT(message_of(graph_),
              AllOf(HasSubstr("Relu 'relu'"), HasSubstr("output 0 is f32[?, 5]"),
                    HasSubstr("infers f32[?, 2]")));
}

TEST_F(VerifyTest, AVariableHasOneUpdate) {
  ops::assign(w_, ops::fill_like(w_, 1));
  ops::assign_add(w_, ops::fill_like(w_, 1));
  EXPECT_THAT(message_of(graph_), AllOf(HasSubstr("AssignAdd 'assign_add'"), HasSubstr("'w'"),
                                        HasSubstr("already updated by Assign 'assign'")));
}

// Two nodes may stand for one variable; it is the variable that may be updated once.
TEST_F(VerifyTest, AVariableOfTwoNodesHasOneUpdate) {
  Value again = graph_.add("Variable", {}, w_.node->attributes()).output();
  ops::assign(w_, ops::fill_like(w_, 1));
  ops::assign(again, ops::fill_like(w_, 2));
  EXPECT_THAT(message_of(graph_), HasSubstr("already updated by Assign 'assign'"));
}

// The memory is the same: what reads the value in between comes before the second update.
TEST_F(VerifyTest, TheValueThatAnUpdateGivesMayBeUpdatedOnceMore) {
  Node& first = ops::assign(w_, ops::fill_like(w_, 1));
  Node& second = ops::assign_add(first.output(), ops::fill_like(w_, 1));
  const Value between = ops::negate(first.output());
  EXPECT_EQ(message_of(graph_), "no error");
  const std::vector<Node*> order = execution_order(graph_);
  const auto place = [&](const Node* node) { return std::ranges::find(order, node); };
  EXPECT_LT(place(&first), place(between.node));
  EXPECT_LT(place(between.node), place(&second));
  ops::assign(first.output(), between);
  EXPECT_THAT(message_of(graph_), HasSubstr("already updated by AssignAdd 'assign_add'"));
}

TEST_F(VerifyTest, OnlyVariablesAreUpdated) {
  ops::assign(ops::identity(w_), ops::fill_like(w_, 1));
  EXPECT_THAT(message_of(graph_),
              AllOf(HasSubstr("Assign 'assign'"), HasSubstr("must be a Variable"),
                    HasSubstr("found Identity 'identity'")));
}

TEST_F(VerifyTest, ControlInputsFormNoCycle) {
  Value z = ops::relu(y_);
  y_.node->add_control_input(z.node);
  EXPECT_THAT(message_of(graph_), AllOf(HasSubstr("wait for each other"), HasSubstr("Relu 'relu'"),
                                        HasSubstr("Relu 'relu_1'")));
}

TEST_F(VerifyTest, ControlInputsAreOfThisGraph) {
  Graph other(core_op_table());
  Value foreign = ops::placeholder(other, "f", DType::kFloat32, {});
  writable(y_.node->control_inputs()).push_back(foreign.node);
  EXPECT_THAT(message_of(graph_), AllOf(HasSubstr("Relu 'relu'"), HasSubstr("control input")));
}

// All readers of a variable run before its update, so a reader that waits for the update waits for
// ever.
TEST_F(VerifyTest, NoOneReadsAVariableAfterItsUpdate) {
  Node& update = ops::assign(w_, ops::fill_like(w_, 1));
  ops::add(update.output(), ops::identity(w_));
  EXPECT_THAT(message_of(graph_), HasSubstr("must use the update's output"));
}

TEST_F(VerifyTest, DevicesAreWellFormed) {
  for (const char* bad : {"CPU:0", "/device:CPU", "/device::0", "/device:CPU:x", "/device:CPU:-1",
                          "/device:cpu:0", "/device:CPU:0:1", "/device:CPU:99999999999"}) {
    y_.node->set_device(bad);
    EXPECT_THAT(message_of(graph_), AllOf(HasSubstr("Relu 'relu'"), HasSubstr(bad))) << bad;
  }
  EXPECT_EQ(parse_device_name("/device:CUDA:12"), (DeviceName{"CUDA", 12}));
}

TEST_F(VerifyTest, ExecutionOrderPutsUpdatesAfterReaders) {
  Node& update = ops::assign_add(w_, ops::fill_like(w_, 1));
  Value late_reader = ops::relu(ops::identity(w_));
  std::vector<Node*> order = execution_order(graph_);
  const auto position = [&](const Node* node) {
    return std::ranges::find(order, node) - order.begin();
  };
  EXPECT_EQ(static_cast<int>(order.size()), graph_.size());
  EXPECT_LT(position(late_reader.node), position(&update));
  EXPECT_EQ(variable_behind(late_reader.node->input(0)), w_.node);
}

}  // namespace
}  // namespace trireme

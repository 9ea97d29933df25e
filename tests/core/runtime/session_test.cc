// What a session promises: right results, clear errors, variables that last, plans by shape.
#include "core/runtime/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/device/kernel.h"
#include "core/ops/ops.h"
#include "tests/support/evaluate.h"
#include "tests/support/updates.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

// A small model with everything that a plan must order: reads of variables, gradients, updates.
struct Regression {
  Graph graph{core_op_table()};
  Value x = ops::placeholder(graph, "x", DType::kFloat32, {-1, 3});
  Value y = ops::placeholder(graph, "y", DType::kFloat32, {-1, 1});
  Value lr = ops::placeholder(graph, "lr", DType::kFloat32, {});
  Value w = ops::variable(graph, "w", DType::kFloat32, {3, 1});
  Value b = ops::variable(graph, "b", DType::kFloat32, {1});
  Value prediction = ops::bias_add(ops::matmul(x, w), b);
  Value loss = ops::mean(ops::square(prediction - y));
  std::vector<Node*> updates;

  Regression() {
    const auto grads = gradients(loss, std::vector{w, b});
    updates = {&testing::apply_sgd(w, {}, lr, grads[0].values, {}),
               &testing::apply_sgd(b, {}, lr, grads[1].values, {})};
  }
  void initialize(Session& session) {
    session.variables().set("w", Tensor::from<float>({3, 1}, {0.f, 0.f, 0.f}));
    session.variables().set("b", Tensor::from<float>({1}, {0.f}));
  }
};

TEST(SessionTest, GradientDescentFindsThePlane) {
  Regression model;
  Session session(model.graph);
  model.initialize(session);
  auto step = session.function({model.x, model.y, model.lr}, {model.loss}, model.updates);
  const Tensor x = testing::random_tensor(DType::kFloat32, {64, 3}, -1, 1, 1);
  Tensor y(DType::kFloat32, {64, 1});
  for (int64_t i = 0; i < 64; ++i) {
    const auto row = x.flat<float>().subspan(static_cast<size_t>(i) * 3, 3);
    y.flat<float>()[static_cast<size_t>(i)] = 2 * row[0] - row[1] + 0.5f * row[2] + 3;
  }
  std::vector<Tensor> results;
  for (int i = 0; i < 300; ++i) step->run(std::vector{x, y, Tensor::scalar(0.3f)}, results);
  EXPECT_LT(results[0].item<float>(), 1e-5f);
  EXPECT_NEAR(session.variables().get("b").item<float>(), 3, 1e-2);
}

// The loss of a step is that of the variables before it, whatever order the nodes were built in.
TEST(SessionTest, EveryReadOfAVariableComesBeforeItsUpdate) {
  Graph graph(core_op_table());
  const Value v = ops::variable(graph, "v", DType::kFloat32, {2});
  Node& update = ops::assign_add(v, ops::constant(graph, Tensor::from<float>({2}, {1.f, 1.f})));
  const Value after = ops::multiply(v, ops::scalar(graph, DType::kFloat32, 10));
  const Value through_view = ops::reshape(v, {2, 1}) * ops::scalar(graph, DType::kFloat32, 10);
  Session session(graph);
  session.variables().set("v", Tensor::from<float>({2}, {1.f, 2.f}));
  const auto results = session.run({}, {after, through_view}, {&update});
  EXPECT_EQ(results[0].as_double(0), 10);
  EXPECT_EQ(results[1].as_double(1), 20);
  EXPECT_EQ(session.variables().get("v").as_double(0), 2);
}

TEST(SessionTest, EachFeedShapeGetsItsOwnPlan) {
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {-1, 2});
  Session session(graph);
  auto twice = session.function({x}, {x + x});
  std::vector<Tensor> results;
  for (int64_t rows : {4, 1, 7, 4}) {
    twice->run(std::vector{testing::random_tensor(DType::kFloat32, {rows, 2}, 1, 2, 3)}, results);
    EXPECT_EQ(results[0].shape(), Shape({rows, 2}));
    EXPECT_GE(results[0].as_double(rows * 2 - 1), 2);
  }
}

TEST(SessionTest, AFeedThatDoesNotFitIsNamed) {
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {-1, 2});
  Session session(graph);
  auto identity = session.function({x}, {ops::negate(x)});
  std::vector<Tensor> results;
  EXPECT_THAT(message_of([&] {
                identity->run(std::vector{Tensor::zeros(DType::kFloat32, {2, 3})}, results);
              }),
              HasSubstr("feed of 'x': expected f32[?, 2], found f32[2, 3]"));
  EXPECT_THAT(message_of([&] { identity->run({}, results); }),
              HasSubstr("expected 1 fed tensors, found 0"));
}

TEST(SessionTest, APlaceholderThatIsNotFedIsNamed) {
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {2});
  Session session(graph);
  EXPECT_THAT(message_of([&] { session.run({}, {ops::exp(x)}); }), HasSubstr("placeholder 'x'"));
}

TEST(SessionTest, AVariableWithoutValueIsNamed) {
  Graph graph(core_op_table());
  const Value v = ops::variable(graph, "weights", DType::kFloat32, {2});
  Session session(graph);
  EXPECT_THAT(message_of([&] { session.run({}, {ops::exp(v)}); }), HasSubstr("variable 'weights'"));
}

TEST(SessionTest, AllMissingKernelsAreListedAtOnce) {
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "x", DType::kUInt8, {2});
  Session session(graph, {.kernels = std::make_shared<KernelTable>()});
  const std::string message = message_of([&] {
    session.run({{x, Tensor::zeros(DType::kUInt8, {2})}},
                {ops::cast(x, DType::kFloat32), ops::equal(x, x)});
  });
  EXPECT_THAT(message, HasSubstr("Cast"));
  EXPECT_THAT(message, HasSubstr("Equal"));
}

TEST(SessionTest, AnUnknownDeviceIsAnErrorThatListsWhatExists) {
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {2});
  ops::exp(x).node->set_device("/device:GPU:0");
  Session session(graph);
  EXPECT_THAT(message_of([&] { session.function({x}, {graph.find("exp")->output()}); }),
              HasSubstr("/device:CPU:0"));
}

TEST(SessionTest, ValuesCrossVirtualDevices) {
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {8});
  Value y;
  {
    Graph::Scope scope(graph, "there", "/device:CPU:1");
    y = ops::square(x);
  }
  const Value z = y + x;
  Session session(graph, {.devices = make_device_set("cpu", 2)});
  auto function = session.function({x}, {z});
  std::vector<Tensor> results;
  function->run(std::vector{Tensor::from<float>({8}, {0.f, 1.f, 2.f, 3.f, 4.f, 5.f, 6.f, 7.f})},
                results);
  EXPECT_EQ(results[0].as_double(7), 56);
  EXPECT_EQ(function->statistics().copies, 2);
}

}  // namespace
}  // namespace trireme

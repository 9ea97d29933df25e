// Gradients are planned into their bucket: the planner's half of a collective that copies nothing.
#include <gtest/gtest.h>

#include <cstring>

#include "core/device/kernel.h"
#include "core/ops/ops.h"
#include "core/runtime/built_in_kernels.h"
#include "core/runtime/session.h"
#include "distributed/collective/make_communicator.h"
#include "distributed/strategy/collective_ops.h"

namespace trireme {
namespace {

// Stands in for AllReduce and counts which of its inputs lie where its outputs are.
struct Count {
  int in_place = 0, elsewhere = 0;
  bool side_by_side = true;
};

class PackingTest : public ::testing::Test {
 protected:
  std::shared_ptr<KernelTable> kernels(Count& count) {
    auto table = std::make_shared<KernelTable>(*built_in_kernels());
    table->add("AllReduce", "cpu", DType::kFloat32, [&count](const KernelSpec& spec) {
      return PreparedKernel{[&count, types = spec.outputs](const KernelArgs& args) {
        for (int i = 0; i < args.input_count; ++i) {
          const size_t bytes = types[static_cast<size_t>(i)].bytes();
          ++(args.inputs[i] == args.outputs[i] ? count.in_place : count.elsewhere);
          if (args.inputs[i] != args.outputs[i]) {
            std::memcpy(args.outputs[i], args.inputs[i], bytes);
          }
          if (i == 0) continue;
          const auto gap = args.out<char>(i) - args.out<char>(i - 1);
          const auto before = static_cast<int64_t>(types[static_cast<size_t>(i - 1)].bytes());
          count.side_by_side &= gap >= before && gap < before + 64;
        }
      }};
    });
    return table;
  }
  Graph graph_{distributed_op_table()};
};

TEST_F(PackingTest, WhatDiesInTheCollectiveIsMadeInItsPlace) {
  Count count;
  Session session(graph_, {.kernels = kernels(count)});
  const Value x = ops::placeholder(graph_, "x", DType::kFloat32, {5});
  Node& node = all_reduce(graph_, {x * x, x + x, ops::exp(x)}, {.label = "b", .collective = "b"});
  const Value sum = ops::sum(node.output(0)) + ops::sum(node.output(1)) + ops::sum(node.output(2));
  const auto found = session.run({{x, Tensor::from<float>({5}, {0, 1, 2, 3, 4})}}, {sum});
  EXPECT_NEAR(found[0].as_double(0), 30 + 20 + 85.7910, 1e-3);
  EXPECT_EQ(count.in_place, 3);
  EXPECT_EQ(count.elsewhere, 0);
  EXPECT_TRUE(count.side_by_side);
}

TEST_F(PackingTest, WhatOthersStillReadIsCopied) {
  Count count;
  Session session(graph_, {.kernels = kernels(count)});
  const Value x = ops::placeholder(graph_, "x", DType::kFloat32, {5});
  const Value square = x * x;
  Node& node = all_reduce(graph_, {square, x, x + x}, {.label = "b", .collective = "b"});
  const auto found = session.run({{x, Tensor::from<float>({5}, {0, 1, 2, 3, 4})}},
                                 {node.output(0), node.output(1), node.output(2), square});
  EXPECT_EQ(count.in_place, 1);
  EXPECT_EQ(count.elsewhere, 2);
  EXPECT_TRUE(count.side_by_side);
  EXPECT_EQ(found[0].as_double(4), 16);
  EXPECT_EQ(found[1].as_double(4), 4);
  EXPECT_EQ(found[2].as_double(4), 8);
  EXPECT_EQ(found[3].as_double(4), 16);
}

// A peer is lost in the middle of a step: nothing may be changed by half of it.
TEST_F(PackingTest, AFailedCollectiveChangesNoVariable) {
  const auto slots = std::make_shared<CommunicatorSlots>();
  auto table = std::make_shared<KernelTable>(*built_in_kernels());
  register_collective_kernels(*table, slots);
  Session session(graph_, {.kernels = table});
  session.variables().set("v", Tensor::from<float>({2}, {1, 2}));
  const Value v = ops::variable(graph_, "v", DType::kFloat32, {2});
  const Value x = ops::placeholder(graph_, "x", DType::kFloat32, {2});
  Node& node = all_reduce(graph_, {x * x}, {.label = "b", .collective = "b"});
  Node& apply = ops::assign_add(v, node.output());

  auto group = make_local_group(2, {.timeout = std::chrono::milliseconds(20'000)});
  group[0]->abort(Error(ErrorCode::kUnavailable, "rank 1 is lost"));
  std::vector<std::unique_ptr<Communicator>> mine;
  mine.push_back(std::move(group[0]));
  slots->set(std::move(mine));
  auto function = session.function({x}, {}, {&apply});
  std::vector<Tensor> results;
  const std::vector<Tensor> feeds = {Tensor::from<float>({2}, {3, 4})};
  EXPECT_THROW(function->run(feeds, results), Error);
  EXPECT_EQ(session.variables().get("v").as_double(0), 1);

  // The next generation works with the same plan.
  slots->set(make_local_group(1));
  function->run(feeds, results);
  EXPECT_EQ(session.variables().get("v").as_double(0), 10);
}

}  // namespace
}  // namespace trireme

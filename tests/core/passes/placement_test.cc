#include "core/passes/placement.h"

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/graph/verify.h"
#include "core/ops/ops.h"
#include "tests/core/passes/run_program.h"
#include "tests/support/updates.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using testing::Build;
using testing::compare;
using testing::count;
using ::testing::HasSubstr;
using testing::make_program;

const PlacementOptions kTwo{{"/device:CPU:0", "/device:CPU:1"}, ""};

std::string error_of(const Build& build, const PlacementOptions& options) {
  try {
    place(make_program(build), options);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(PlacementTest, OneCopyForEachValueAndDevice) {
  const Build build = [](Graph& g, Program& p) {
    Value x = ops::placeholder(g, "x", DType::kFloat32, {4});
    Value y = ops::relu(x), z = ops::tanh(x), here = ops::negate(x);
    y.node->set_device("/device:CPU:1");
    z.node->set_device("/device:CPU:1");
    p.fetches = {y * here, z};
  };
  const Program placed = place(make_program(build), kTwo);
  EXPECT_EQ(placement_log(placed),
            "x (Placeholder): /device:CPU:0\n"
            "x/to_cpu_1 (Copy): /device:CPU:1\n"
            "relu (Relu): /device:CPU:1\n"
            "relu/to_cpu_0 (Copy): /device:CPU:0\n"
            "tanh (Tanh): /device:CPU:1\n"
            "negate (Negate): /device:CPU:0\n"
            "multiply (Multiply): /device:CPU:0\n");
  verify(*placed.graph);
  EXPECT_EQ(compare(placed, make_program(build)), "");
  EXPECT_EQ(compare(placed, make_program(build), 1e-6, "cpu"), "");
}

TEST(PlacementTest, UpdatesRunWhereTheirVariablesAre) {
  for (const char* pinned : {"v", "slot", "update"}) {
    const Build build = [&](Graph& g, Program& p) {
      Value v = ops::variable(g, "v", DType::kFloat32, {4});
      Value slot = ops::variable(g, "slot", DType::kFloat32, {4});
      Value lr = ops::scalar(g, DType::kFloat32, 0.5),
            x = ops::placeholder(g, "x", DType::kFloat32, {4});
      Node& update = testing::apply_sgd(v, slot, lr, x, {.momentum = 0.9});
      (pinned == std::string("update") ? update : *g.find(pinned)).set_device("/device:CPU:1");
      p.targets = {&update};
    };
    const Program placed = place(make_program(build), kTwo);
    EXPECT_EQ(placed.targets[0]->device(), "/device:CPU:1");
    EXPECT_EQ(placed.graph->find("v")->device(), "/device:CPU:1");
    EXPECT_EQ(placed.graph->find("slot")->device(), "/device:CPU:1");
    EXPECT_EQ(count(placed, "Copy"), 2);  // the learning rate and x, never a variable
    verify(*placed.graph);
    EXPECT_EQ(compare(placed, make_program(build)), "");
  }
}

TEST(PlacementTest, EveryOutputOfANodeIsCopiedOnItsOwn) {
  const Build build = [](Graph& g, Program& p) {
    Value x = ops::placeholder(g, "x", DType::kFloat32, {4, 2}),
          c = ops::placeholder(g, "c", DType::kFloat32, {2});
    const auto norm = ops::batch_norm(x, c, c, 0.01);
    Value far = ops::relu(norm.variance) + ops::tanh(norm.mean);
    for (const char* name : {"relu", "tanh", "add"}) g.find(name)->set_device("/device:CPU:1");
    p.fetches = {far, norm.y};
  };
  const Program placed = place(make_program(build), kTwo);
  EXPECT_EQ(count(placed, "Copy"), 2);
  EXPECT_EQ(compare(placed, make_program(build)), "");
}

TEST(PlacementTest, TheDefaultDeviceIsTheCallersChoice) {
  const Build build = [](Graph& g, Program& p) {
    p.fetches = {ops::relu(ops::placeholder(g, "x", DType::kFloat32, {}))};
  };
  const Program placed = place(make_program(build), {kTwo.devices, "/device:CPU:1"});
  EXPECT_EQ(placed.fetches[0].node->device(), "/device:CPU:1");
  EXPECT_THAT(error_of(build, {kTwo.devices, "/device:CUDA:0"}),
              AllOf(HasSubstr("default device"), HasSubstr("/device:CPU:0, /device:CPU:1")));
  EXPECT_THAT(error_of(build, {}), HasSubstr("at least one device"));
}

// A card, CPU:1 here, that has no kernel of `op`.
PlacementOptions without(const std::string& op) {
  return {.devices = {"/device:CPU:1", "/device:CPU:0"},
          .host_devices = {"/device:CPU:0"},
          .runs_on = [op](const Node& node, const std::string& device) {
            return node.op().name != op || device == "/device:CPU:0";
          }};
}

TEST(PlacementTest, WhatTheDeviceCannotDoGoesToTheHostWithTheNumbersThatItCounts) {
  const Build build = [](Graph& g, Program& p) {
    Value table = ops::placeholder(g, "table", DType::kFloat32, {5, 2});
    Value rows = ops::placeholder(g, "rows", DType::kInt32, {4});
    p.fetches = {ops::relu(ops::gather(table, rows))};
  };
  const Program placed = place(make_program(build), without("Gather"));
  EXPECT_EQ(placement_log(placed),
            "table (Placeholder): /device:CPU:1\n"
            "table/to_cpu_0 (Copy): /device:CPU:0\n"
            "rows (Placeholder): /device:CPU:0\n"
            "gather (Gather): /device:CPU:0\n"
            "gather/to_cpu_1 (Copy): /device:CPU:1\n"
            "relu (Relu): /device:CPU:1\n");
  EXPECT_EQ(compare(placed, make_program(build)), "");
}

TEST(PlacementTest, AVariableGoesToTheHostWithItsUpdateAndStaysThere) {
  const Build update = [](Graph& g, Program& p) {
    Value v = ops::variable(g, "v", DType::kFloat32, {4});
    Value gradient = ops::relu(v);
    p.targets = {&testing::apply_sgd(v, {}, ops::scalar(g, DType::kFloat32, 0.5), gradient, {})};
  };
  const Program placed = place(make_program(update), without("ApplySgd"));
  EXPECT_EQ(placed.graph->find("v")->device(), "/device:CPU:0");
  EXPECT_EQ(placed.graph->find("relu")->device(), "/device:CPU:1");
  EXPECT_EQ(placed.targets[0]->device(), "/device:CPU:0");

  const Build use = [](Graph& g, Program& p) {
    p.fetches = {ops::relu(ops::variable(g, "v", DType::kFloat32, {4}))};
  };
  PlacementOptions options = without("ApplySgd");
  options.home = [](const std::string&) { return "/device:CPU:0"; };
  EXPECT_EQ(place(make_program(use), options).graph->find("v")->device(), "/device:CPU:0");
}

TEST(PlacementTest, UnknownDevicesAreAnErrorThatListsTheOthers) {
  const Build build = [](Graph& g, Program& p) {
    p.fetches = {ops::relu(ops::placeholder(g, "x", DType::kFloat32, {}))};
    p.fetches[0].node->set_device("/device:CUDA:0");
  };
  EXPECT_THAT(error_of(build, kTwo), AllOf(HasSubstr("Relu 'relu'"), HasSubstr("/device:CUDA:0"),
                                           HasSubstr("there is /device:CPU:0, /device:CPU:1")));
}

TEST(PlacementTest, AnUpdateAwayFromItsVariableIsAnError) {
  const Build build = [](Graph& g, Program& p) {
    Value v = ops::variable(g, "v", DType::kFloat32, {4});
    p.targets = {&ops::assign_add(v, ops::placeholder(g, "x", DType::kFloat32, {4}))};
    v.node->set_device("/device:CPU:0");
    p.targets[0]->set_device("/device:CPU:1");
  };
  EXPECT_THAT(error_of(build, kTwo), AllOf(HasSubstr("AssignAdd"), HasSubstr("Variable 'v'"),
                                           HasSubstr("must share a device")));
}

}  // namespace
}  // namespace trireme

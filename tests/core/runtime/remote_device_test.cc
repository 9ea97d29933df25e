// Whatever works on the remote device works on a GPU: its memory is out of the host's reach, its
// kernels run later.
#include "tests/support/remote_device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/ops/ops.h"
#include "core/runtime/built_in_kernels.h"
#include "core/runtime/session.h"
#include "tests/support/op_cases.h"

namespace trireme {
namespace {

using testing::OpCase;

SessionOptions remote_options() {
  auto devices = std::make_shared<DeviceSet>();
  devices->add(testing::make_remote_device());
  devices->add(make_host_device("/device:CPU:0", "cpu"));
  auto kernels = std::make_shared<KernelTable>(*built_in_kernels());
  kernels->inherit("reference", "remote");
  return {.devices = devices, .kernels = kernels};
}

TEST(RemoteDeviceDeathTest, TheHostCannotTouchItsMemory) {
  auto device = testing::make_remote_device();
  auto buffer = device->allocate(64);
  EXPECT_DEATH(*static_cast<volatile char*>(buffer->data()) = 1, "");
}

TEST(RemoteDeviceTest, CopiesGoThereAndBack) {
  auto device = testing::make_remote_device();
  const Tensor values = testing::random_tensor(DType::kFloat32, {1000}, -1, 1, 1);
  Tensor there(DType::kFloat32, {1000}, device->allocate(values.bytes()));
  device->copy_from_host(there, values);
  EXPECT_EQ(testing::difference(device->copy_to_host(there), values, 0), "");
}

// The case again with variables where the op mutates, so that the runtime can run it.
struct RuntimeCase {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>(core_op_table());
  std::vector<std::pair<Value, Tensor>> feeds;
  std::vector<std::pair<std::string, Tensor>> variables;
  Node* node = nullptr;

  RuntimeCase(const OpCase& op_case, const testing::BuiltCase& built) {
    const auto mutated = graph->ops()->find(op_case.op).traits.mutated_inputs;
    std::vector<Value> inputs;
    for (size_t i = 0; i < built.inputs.size(); ++i) {
      const Tensor value = built.feeds[i].second.clone();
      const std::string name = "input" + std::to_string(i);
      if (std::ranges::find(mutated, static_cast<int>(i)) != mutated.end()) {
        inputs.push_back(ops::variable(*graph, name, value.dtype(), value.shape()));
        variables.emplace_back(name, value);
      } else {
        inputs.push_back(ops::placeholder(*graph, name, value.dtype(), value.shape()));
        feeds.emplace_back(inputs.back(), value);
      }
    }
    node = &graph->add(op_case.op, inputs, op_case.attributes);
  }
};

TEST(RemoteDeviceTest, EveryOpAgreesWithReference) {
  std::set<std::string> seen;
  for (const OpCase& op_case : testing::all_op_cases()) {
    if (op_case.op == "Placeholder" || op_case.op == "Variable" || op_case.op == "Constant")
      continue;
    SCOPED_TRACE(::testing::PrintToString(op_case.op + "/" + op_case.label));
    const auto built = testing::build_case(op_case, DType::kFloat32);
    RuntimeCase remote(op_case, testing::build_case(op_case, DType::kFloat32));
    Session session(*remote.graph, remote_options());
    for (const auto& [name, value] : remote.variables) session.variables().set(name, value);
    std::vector<Value> fetches;
    for (int i = 0; i < remote.node->output_count(); ++i) fetches.push_back(remote.node->output(i));
    const auto actual = session.run(remote.feeds, fetches, {remote.node});
    const auto expected = testing::evaluate(built.outputs, built.feeds);
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) {
      EXPECT_EQ(testing::difference(actual[i], expected[i], 1e-6), "");
    }
    seen.insert(op_case.op);
  }
  EXPECT_GT(seen.size(), 50u);
}

}  // namespace
}  // namespace trireme

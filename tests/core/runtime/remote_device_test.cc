// Whatever works on the remote device works on a GPU: its memory is out of the host's reach, its
// kernels run later.
#include "tests/support/remote_device.h"

#include <gtest/gtest.h>

#include <set>

#include "core/device/kernel.h"
#include "core/runtime/built_in_kernels.h"
#include "tests/support/session_case.h"

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

TEST(RemoteDeviceTest, EveryOpAgreesWithReference) {
  std::set<std::string> seen;
  for (const OpCase& op_case : testing::all_op_cases()) {
    if (op_case.op == "Placeholder" || op_case.op == "Variable" || op_case.op == "Constant")
      continue;
    SCOPED_TRACE(::testing::PrintToString(op_case.op + "/" + op_case.label));
    const auto built = testing::build_case(op_case, DType::kFloat32);
    const testing::SessionCase remote(op_case, built);
    Session session(*remote.graph, remote_options());
    remote.set_variables(session);
    const auto actual = session.run(remote.feeds, remote.outputs(), {remote.node});
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

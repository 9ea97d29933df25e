// What holds for every op: it has cases, its gradient is right, and the cpu kernels compute what
// the reference does.
#include <gmock/gmock.h>

#include <set>

#include "core/ops/ops.h"
#include "tests/support/gradient_check.h"
#include "tests/support/op_cases.h"

namespace trireme::testing {
namespace {

using ::testing::IsEmpty;

// Nobody can add an op and forget to test it.
TEST(AllOps, HaveACase) {
  std::set<std::string> tried;
  for (const OpCase& op_case : all_op_cases()) tried.insert(op_case.op);
  std::vector<std::string> missing;
  for (const std::string& name : core_op_table()->names()) {
    // Sources have no inputs to try them on.
    if (name == "Placeholder" || name == "Variable" || name == "Constant") continue;
    if (!tried.contains(name)) missing.push_back(name);
  }
  EXPECT_THAT(missing, IsEmpty());
}

TEST(AllOps, ThatAreDifferentiableHaveTheirGradientChecked) {
  std::set<std::string> checked;
  for (const OpCase& op_case : all_op_cases()) {
    if (op_case.check_gradient) checked.insert(op_case.op);
  }
  std::vector<std::string> missing;
  const auto table = core_op_table();
  for (const std::string& name : table->names()) {
    if (table->find(name).gradient && !checked.contains(name)) missing.push_back(name);
  }
  EXPECT_THAT(missing, IsEmpty());
}

// A shape rule sees each case a second time with every first dimension unknown, as when the graph
// is built. It may not refuse, nor claim something else than what it says of known shapes.
TEST(AllOps, AcceptAnUnknownBatch) {
  for (const OpCase& op_case : all_op_cases()) {
    BuiltCase known = build_case(op_case, DType::kFloat32);
    if (!known.outputs[0].node->op().traits.mutated_inputs.empty())
      continue;  // variables have no batch
    Graph graph(known.graph->ops());
    std::vector<Value> inputs;
    for (const Value& input : known.inputs) {
      Shape shape = input.shape();
      if (shape.rank() > 0 && shape[0] > 1 && op_case.op != "OneHot" &&
          input.dtype() != DType::kInt64)
        shape.set(0, -1);
      inputs.push_back(ops::placeholder(graph, "x", input.dtype(), shape));
    }
    Node* node = nullptr;
    ASSERT_NO_THROW(node = &graph.add(op_case.op, inputs, op_case.attributes)) << op_case;
    for (int i = 0; i < node->output_count(); ++i) {
      EXPECT_TRUE(
          compatible(node->output_type(i).shape, known.outputs[static_cast<size_t>(i)].shape()))
          << op_case << ": " << node->output_type(i) << " and "
          << known.outputs[static_cast<size_t>(i)].type();
    }
  }
}

class OpCaseTest : public ::testing::TestWithParam<OpCase> {};

TEST_P(OpCaseTest, GradientAgreesWithCentralDifferences) {
  const OpCase& op_case = GetParam();
  BuiltCase built = build_case(op_case, DType::kFloat64);
  if (!op_case.check_gradient || !built.outputs[0].node->op().gradient) return;
  std::vector<Value> inputs;
  for (size_t i = 0; i < built.inputs.size(); ++i) {
    if (op_case.inputs[i].is_real) inputs.push_back(built.inputs[i]);
  }
  if (inputs.empty()) return;  // a case for an integer or 16-bit dtype
  EXPECT_EQ(check_gradients(built.outputs, inputs, built.feeds,
                            {.tolerance = op_case.gradient_tolerance}),
            "");
}

TEST_P(OpCaseTest, CpuAgreesWithReference) { EXPECT_EQ(compare_devices(GetParam(), "cpu"), ""); }

std::string case_name(const ::testing::TestParamInfo<OpCase>& info) {
  std::string text = info.param.op + "_" + info.param.label;
  for (char& c : text) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return text + "_" + std::to_string(info.index);
}

INSTANTIATE_TEST_SUITE_P(All, OpCaseTest, ::testing::ValuesIn(all_op_cases()), case_name);

}  // namespace
}  // namespace trireme::testing

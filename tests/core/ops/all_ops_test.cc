// What holds for every op: it has cases, its gradient is right, and the cpu kernels compute what
// the reference does.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
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

// The cases whose gradient can be checked: not those of ops without one, nor of integers or 16-bit
// floats, nor those that say they are none.
std::vector<OpCase> gradient_cases() {
  const auto table = core_op_table();
  std::vector<OpCase> cases = all_op_cases();
  std::erase_if(cases, [&](const OpCase& op_case) {
    return !op_case.check_gradient || op_case.refuses_gradient ||
           !table->find(op_case.op).gradient ||
           std::ranges::none_of(op_case.inputs, &OpInput::is_real);
  });
  return cases;
}

TEST(AllOps, ThatAreDifferentiableHaveTheirGradientChecked) {
  std::map<std::string, int> checked;
  for (const OpCase& op_case : gradient_cases()) ++checked[op_case.op];
  for (const OpCase& op_case : all_op_cases()) {
    if (op_case.refuses_gradient) ++checked[op_case.op];  // by the test below
  }
  std::vector<std::string> missing;
  const auto table = core_op_table();
  for (const std::string& name : table->names()) {
    if (table->find(name).gradient && !checked.contains(name)) missing.push_back(name);
  }
  EXPECT_THAT(missing, IsEmpty());
  // There are 527: should a change to the filter or the cases lose some, it is seen here.
  EXPECT_GE(gradient_cases().size(), 500);
}

// Gradients that stopped there without a word would be wrong numbers.
TEST(AllOps, ThatCannotBeDifferentiatedAgainSaySo) {
  for (const OpCase& op_case : all_op_cases()) {
    if (!op_case.refuses_gradient) continue;
    const BuiltCase built = build_case(op_case, DType::kFloat64);
    const Value loss = ops::sum(built.outputs[0]);
    std::string error;
    try {
      (void)gradients(loss, std::vector{built.inputs[0]});
    } catch (const Error& refusal) {
      error = refusal.what();
    }
    EXPECT_THAT(error, ::testing::HasSubstr("cannot be differentiated twice")) << op_case;
  }
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

// The reference and the CPU compute by the same formula: a wrong one would look right to both.
TEST(AllOps, ElementwiseFormulasGiveTheTruth) {
  std::set<std::string> tried;
  for (const OpCase& op_case : all_op_cases()) {
    if (op_case.truth == nullptr) continue;
    const BuiltCase built = build_case(op_case, DType::kFloat64);
    const Value like = built.outputs[0];
    std::vector<Value> wanted = {like};
    for (const Value& input : built.inputs) wanted.push_back(ops::broadcast_like(input, like));
    const std::vector<Tensor> found = evaluate(wanted, built.feeds);
    for (int64_t i = 0; i < found[0].elements(); ++i) {
      const double a = found[1].as_double(i), b = found.size() > 2 ? found[2].as_double(i) : 0;
      const double expected = op_case.truth(a, b);
      ASSERT_NEAR(found[0].as_double(i), expected, 1e-12 * (1 + std::fabs(expected)))
          << op_case << " of " << a << " and " << b;
      tried.insert(op_case.op);
    }
  }
  std::vector<std::string> missing;
  const auto table = core_op_table();
  for (const std::string& name : table->names()) {
    // The rows of core/ops/elementwise_rows.h; the others have kernels of their own.
    if (name == "BiasAdd" || name == "SigmoidCrossEntropy") continue;
    if (!table->find(name).formula.real.empty() && !tried.contains(name)) missing.push_back(name);
  }
  EXPECT_THAT(missing, IsEmpty());
}

class OpGradientTest : public ::testing::TestWithParam<OpCase> {};

TEST_P(OpGradientTest, AgreesWithCentralDifferences) {
  const OpCase& op_case = GetParam();
  BuiltCase built = build_case(op_case, DType::kFloat64);
  std::vector<Value> inputs;
  for (size_t i = 0; i < built.inputs.size(); ++i) {
    if (op_case.inputs[i].is_real) inputs.push_back(built.inputs[i]);
  }
  int compared = 0;
  EXPECT_EQ(check_gradients(built.outputs, inputs, built.feeds,
                            {.tolerance = op_case.gradient_tolerance,
                             .second = op_case.has_second_derivative,
                             .compared = &compared}),
            "");
  EXPECT_GE(compared, 3);
}

class OpCaseTest : public ::testing::TestWithParam<OpCase> {};

TEST_P(OpCaseTest, CpuAgreesWithReference) { EXPECT_EQ(compare_devices(GetParam(), "cpu"), ""); }

std::string case_name(const ::testing::TestParamInfo<OpCase>& info) {
  std::string text = info.param.op + "_" + info.param.label;
  for (char& c : text) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return text + "_" + std::to_string(info.index);
}

INSTANTIATE_TEST_SUITE_P(All, OpGradientTest, ::testing::ValuesIn(gradient_cases()), case_name);
INSTANTIATE_TEST_SUITE_P(All, OpCaseTest, ::testing::ValuesIn(all_op_cases()), case_name);

}  // namespace
}  // namespace trireme::testing

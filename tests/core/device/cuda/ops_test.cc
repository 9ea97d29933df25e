// Every op on the kind "cuda" does what "reference" does, through the runtime: fed tensors are
// copied to the card, results back.
#include <gmock/gmock.h>

#include <set>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/device/kernel.h"
#include "core/runtime/built_in_kernels.h"
#include "tests/support/cuda_devices.h"
#include "tests/support/session_case.h"

namespace trireme::testing {
namespace {

using ::testing::IsEmpty;

SessionOptions gpu_options() {
  // Each op's own kernel, not what the passes make of it.
  PassOptions passes;
  passes.fold_constants = passes.merge_common_subexpressions = passes.simplify_casts =
      passes.shrink_pool_gradients = passes.fuse_bias_activation = passes.fuse_gradient_update =
          false;
  return {.devices = shared_gpu_set(), .passes = passes};
}

// Only a pass makes it, and only where it has a kernel: cuDNN writes a filter's gradient in the
// type of the images.
bool is_optional(const OpCase& op_case) { return op_case.op == "WideConv2dBackwardFilter"; }

bool is_source(const OpCase& op_case) {
  return op_case.op == "Placeholder" || op_case.op == "Variable" || op_case.op == "Constant";
}

// Variables stay f32 where the rest is computed in 16 bits.
bool mutates_real_input(const OpCase& op_case) {
  static const std::shared_ptr<const OpTable> table = core_op_table();
  for (int i : table->find(op_case.op).traits.mutated_inputs) {
    const OpInput& input = op_case.inputs.at(static_cast<size_t>(i));
    if (input.is_real && !input.is_statistic) return true;
  }
  return false;
}

bool has_real(const OpCase& op_case) {
  return std::ranges::any_of(op_case.inputs, [](const OpInput& input) { return input.is_real; });
}

// The dtypes that a case is tried in: one, where it says itself which.
std::vector<DType> dtypes_of(const OpCase& op_case) {
  if (!has_real(op_case)) return {DType::kFloat32};
  if (mutates_real_input(op_case)) return {DType::kFloat32, DType::kFloat64};
  return {DType::kFloat32, DType::kFloat64, DType::kBFloat16, DType::kFloat16};
}

double tolerance(const OpCase& op_case, DType dtype) {
  if (dtype == DType::kFloat64) return op_case.tolerance_f64;
  return dtype == DType::kFloat32 ? op_case.tolerance_f32 : op_case.tolerance_small;
}

bool has_kernel(const Node& node) {
  return node.op().traits.is_view ||
         built_in_kernels()->find(node.op().name, "cuda", kernel_dtype(node)) != nullptr;
}

// f64 is for checking gradients on the host; no model asks for it on a card.
bool may_be_missing(const OpCase& op_case, DType dtype) {
  return has_real(op_case) && dtype == DType::kFloat64;
}

// No GPU is needed to see which kernels the program has.
TEST(CudaKernels, CoverEveryCaseOfEveryOp) {
  if (built_in_kernels()->dtypes("Add", "cuda").empty() &&
      built_in_kernels()->dtypes("MatMul", "cuda").empty()) {
    GTEST_SKIP() << "this build has no CUDA kernels: " << cuda_problem();
  }
  std::set<std::string> missing;
  for (const OpCase& op_case : all_op_cases()) {
    if (is_source(op_case) || is_optional(op_case)) continue;
    for (const DType dtype : dtypes_of(op_case)) {
      const BuiltCase built = build_case(op_case, dtype);
      const Node& node = *built.outputs[0].node;
      if (!has_kernel(node) && !may_be_missing(op_case, dtype)) {
        missing.insert(str_cat(op_case.op, " ", name(kernel_dtype(node))));
      }
    }
  }
  EXPECT_THAT(missing, IsEmpty());
}

// The stand-in of NVRTC needs half a second for a kernel, and elementwise ops have one for each op,
// dtype and way to broadcast. What they compute is tried by chain_test.cc, in a few kernels; how
// they broadcast, by those ops that stay.
bool is_left_to_cards(const OpCase& op_case) {
  static const bool is_stand_in = cuda_cards()[0].name == "Fake GPU";
  static const std::shared_ptr<const OpTable> table = core_op_table();
  static const std::set<std::string> kept = {"Add",           "Select",  "FillLike",
                                             "BroadcastLike", "BiasAdd", "SigmoidCrossEntropy"};
  return is_stand_in && table->find(op_case.op).traits.is_elementwise && !kept.contains(op_case.op);
}

class CudaOpTest : public ::testing::TestWithParam<OpCase> {};

TEST_P(CudaOpTest, AgreesWithReference) {
  TRIREME_NEEDS_GPU();
  const OpCase& op_case = GetParam();
  if (is_left_to_cards(op_case)) GTEST_SKIP() << "left to cards: see is_left_to_cards()";
  std::string skipped;
  for (const DType dtype : dtypes_of(op_case)) {
    SCOPED_TRACE(name(dtype));
    const BuiltCase built = build_case(op_case, dtype);
    if (!has_kernel(*built.outputs[0].node)) {
      skipped += str_cat(" ", name(kernel_dtype(*built.outputs[0].node)));
      continue;
    }
    const SessionCase on_gpu(op_case, built);
    Session session(*on_gpu.graph, gpu_options());
    on_gpu.set_variables(session);
    const auto actual = session.run(on_gpu.feeds, on_gpu.outputs(), {on_gpu.node});
    const auto expected = evaluate(built.outputs, built.feeds);
    for (size_t i = 0; i < actual.size(); ++i) {
      EXPECT_EQ(difference(actual[i], expected[i], tolerance(op_case, dtype)), "")
          << "output " << i;
    }
    for (const auto& [variable, before] : on_gpu.variables) {
      const auto input = static_cast<size_t>(std::stoi(variable.substr(5)));  // "input3"
      EXPECT_EQ(difference(session.variables().get(variable), built.feeds[input].second,
                           tolerance(op_case, dtype)),
                "")
          << variable << " after the run";
    }
  }
  if (!skipped.empty() && skipped != " f64") GTEST_SKIP() << "no cuda kernel for" << skipped;
}

// The gradient's graph of each case, in f32, on both kinds. That the rules are right is checked on
// "reference" by differences, in f64.
TEST_P(CudaOpTest, GradientAgreesWithReference) {
  TRIREME_NEEDS_GPU();
  const OpCase& op_case = GetParam();
  if (is_left_to_cards(op_case)) GTEST_SKIP() << "left to cards: see is_left_to_cards()";
  const BuiltCase built = build_case(op_case, DType::kFloat32);
  const Node& node = *built.outputs[0].node;
  if (!op_case.check_gradient || !node.op().gradient || !node.op().traits.mutated_inputs.empty())
    return;
  std::vector<Value> inputs;
  for (size_t i = 0; i < built.inputs.size(); ++i) {
    if (op_case.inputs[i].is_real) inputs.push_back(built.inputs[i]);
  }
  if (inputs.empty() || !is_floating(built.outputs[0].dtype())) return;
  const Value seed = ops::constant(
      *built.graph,
      random_tensor(built.outputs[0].dtype(), built.outputs[0].shape(), 0.5, 1.5, 91));
  std::vector<Value> fetches;
  const Value seeds[] = {seed};
  for (const Gradient& gradient : gradients(built.outputs[0], inputs, seeds)) {
    if (gradient.defined()) fetches.push_back(gradient.values);
  }
  if (fetches.empty()) return;
  const auto expected = evaluate(fetches, built.feeds);
  Session session(*built.graph, gpu_options());
  std::vector<Tensor> actual;
  try {
    actual = session.run(built.feeds, fetches);
  } catch (const Error& error) {
    const std::string_view text = error.what();
    if (!text.starts_with("kernels are missing")) throw;
    GTEST_SKIP() << text;
  }
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_EQ(difference(actual[i], expected[i], 10 * op_case.tolerance_f32), "")
        << "gradient " << i;
  }
}

std::vector<OpCase> cases() {
  std::vector<OpCase> all = all_op_cases();
  std::erase_if(all, is_source);
  std::erase_if(all, is_optional);
  return all;
}

std::string case_name(const ::testing::TestParamInfo<OpCase>& info) {
  std::string text = info.param.op + "_" + info.param.label;
  for (char& c : text) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return text + "_" + std::to_string(info.index);
}

INSTANTIATE_TEST_SUITE_P(All, CudaOpTest, ::testing::ValuesIn(cases()), case_name);

}  // namespace
}  // namespace trireme::testing

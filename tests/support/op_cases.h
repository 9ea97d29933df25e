// Cases of ops: what each op is tried on, by every test that goes over all ops (gradients,
// agreement of devices).
//
// One table a family, in tests/core/ops/cases_<family>.cc. A test fails, naming the op, when an op
// has no case.
#pragma once

#include <string>
#include <vector>

#include "core/graph/attributes.h"
#include "tests/support/evaluate.h"

namespace trireme::testing {

struct OpInput {
  DType dtype;  // see `is_real`
  Shape shape;
  double low, high;  // drawn uniformly from [low, high); whole numbers for integers
  // Takes the dtype under test (f32, f64, f16, bf16) instead of `dtype`, and is differentiated.
  bool is_real = false;
  bool is_statistic = false;  // real, but f32 where the dtype under test has 16 bits
};
// An input of the floating-point dtype under test.
OpInput real(const Shape& shape, double low = -2, double high = 2);
OpInput statistic(const Shape& shape, double low = -2, double high = 2);
// An input of just that dtype: indices, keys, learning rates, masks. It is not differentiated.
OpInput fixed(DType dtype, const Shape& shape, double low, double high);

struct OpCase {
  std::string op;     // OpDef::name
  std::string label;  // what is special about it: "row_broadcast"
  std::vector<OpInput> inputs;
  Attributes attributes = {};
  double tolerance_f32 = 1e-5;  // between devices, times 1 + |expected|
  double tolerance_f64 = 1e-11;
  double gradient_tolerance = 1e-6;
  bool check_gradient = true;  // false where the point is a corner (a tie, a kink) or the case is
                               // only for speed or size
  double tolerance_small = 1e-2;  // f16 and bf16, between devices
  // The gradient cannot be differentiated again: the rule of the op that computes it throws. Of
  // that op's own cases `refuses_gradient` says so.
  bool has_second_derivative = true, refuses_gradient = false;
  // What an elementwise op makes of one element of each input (of one, b is 0), computed in other
  // words than in its formula. Null: not said.
  double (*truth)(double a, double b) = nullptr;
};
std::ostream& operator<<(std::ostream& out, const OpCase& op_case);  // "Add/row_broadcast"

// A case as a graph: placeholders for its inputs (drawn by `seed`), and the op's node.
struct BuiltCase {
  std::shared_ptr<Graph> graph;
  std::vector<Value> inputs;
  std::vector<Value> outputs;
  Feeds feeds;  // fresh memory at each build
};
BuiltCase build_case(const OpCase& op_case, DType real_dtype, uint64_t seed = 5);

// Runs the case on both kinds with the same inputs and compares the outputs and what was mutated.
// Empty: they agree. Runs for f32, f64, f16 and bf16 (the last two not where a variable would be of
// that dtype: variables are f32 then, too), once when the case has no real inputs.
std::string compare_devices(const OpCase& op_case, std::string_view device_kind,
                            std::string_view expected_kind = "reference");

std::vector<OpCase> source_cases();
std::vector<OpCase> elementwise_cases();
std::vector<OpCase> reduction_cases();
std::vector<OpCase> shaping_cases();
std::vector<OpCase> indexing_cases();
std::vector<OpCase> axis_indexing_cases();
std::vector<OpCase> sorting_cases();
std::vector<OpCase> random_cases();
std::vector<OpCase> update_cases();
std::vector<OpCase> linear_cases();
std::vector<OpCase> attention_cases();
std::vector<OpCase> recurrent_cases();
std::vector<OpCase> convolution_cases();
std::vector<OpCase> pooling_cases();
std::vector<OpCase> image_cases();
std::vector<OpCase> normalization_cases();
std::vector<OpCase> layer_norm_cases();
std::vector<OpCase> loss_cases();
std::vector<OpCase> pairwise_dots_cases();
// All of them.
std::vector<OpCase> all_op_cases();

}  // namespace trireme::testing

#include "tests/support/op_cases.h"

#include <ostream>

#include "core/base/error.h"
#include "core/device/small_floats.h"
#include "core/graph/verify.h"
#include "core/ops/ops.h"

namespace trireme::testing {

OpInput real(const Shape& shape, double low, double high) {
  return {DType::kFloat32, shape, low, high, true, false};
}

OpInput statistic(const Shape& shape, double low, double high) {
  return {DType::kFloat32, shape, low, high, true, true};
}

OpInput fixed(DType dtype, const Shape& shape, double low, double high) {
  return {dtype, shape, low, high, false, false};
}

std::ostream& operator<<(std::ostream& out, const OpCase& op_case) {
  return out << op_case.op << "/" << op_case.label;
}

BuiltCase build_case(const OpCase& op_case, DType real_dtype, uint64_t seed) {
  static const std::shared_ptr<const OpTable> table = core_op_table();
  BuiltCase built{std::make_shared<Graph>(table), {}, {}, {}};
  for (size_t i = 0; i < op_case.inputs.size(); ++i) {
    const OpInput& input = op_case.inputs[i];
    const bool is_wide = input.is_statistic && is_small(real_dtype);
    const DType dtype = input.is_real && !is_wide ? real_dtype : input.dtype;
    const Value x = ops::placeholder(*built.graph, str_cat("x", i), dtype, input.shape);
    built.inputs.push_back(x);
    built.feeds.emplace_back(x, random_tensor(dtype, input.shape, input.low, input.high, seed + i));
  }
  Node& node = built.graph->add(op_case.op, built.inputs, op_case.attributes);
  for (int i = 0; i < node.output_count(); ++i) built.outputs.push_back(node.output(i));
  return built;
}

namespace {

bool updates_small_variable(const OpCase& op_case) {
  const auto table = core_op_table();
  for (int i : mutated_inputs(table->find(op_case.op), op_case.attributes)) {
    const OpInput& input = op_case.inputs.at(static_cast<size_t>(i));
    if (input.is_real && !input.is_statistic) return true;
  }
  return false;
}

std::string compare(const OpCase& op_case, DType dtype, double tolerance,
                    std::string_view device_kind, std::string_view expected_kind) {
  BuiltCase actual = build_case(op_case, dtype), expected = build_case(op_case, dtype);
  const auto actual_outputs = evaluate(actual.outputs, actual.feeds, device_kind);
  const auto expected_outputs = evaluate(expected.outputs, expected.feeds, expected_kind);
  for (size_t i = 0; i < actual_outputs.size(); ++i) {
    const std::string error = difference(actual_outputs[i], expected_outputs[i], tolerance);
    if (!error.empty()) return str_cat(name(dtype), ", output ", i, ": ", error);
  }
  for (size_t i = 0; i < actual.feeds.size(); ++i) {
    const std::string error =
        difference(actual.feeds[i].second, expected.feeds[i].second, tolerance);
    if (!error.empty()) return str_cat(name(dtype), ", input ", i, " after the run: ", error);
  }
  return "";
}

}  // namespace

std::string compare_devices(const OpCase& op_case, std::string_view device_kind,
                            std::string_view expected_kind) {
  std::string error =
      compare(op_case, DType::kFloat32, op_case.tolerance_f32, device_kind, expected_kind);
  bool has_real = false;
  for (const OpInput& input : op_case.inputs) has_real = has_real || input.is_real;
  if (error.empty() && has_real) {
    error = compare(op_case, DType::kFloat64, op_case.tolerance_f64, device_kind, expected_kind);
  }
  for (DType small : {DType::kFloat16, DType::kBFloat16}) {
    if (!error.empty() || !has_real || updates_small_variable(op_case)) break;
    error = compare(op_case, small, op_case.tolerance_small, device_kind, expected_kind);
  }
  return error;
}

}  // namespace trireme::testing

// Elementwise ops, products and reductions.
#include <algorithm>
#include <cmath>

#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/formats/saved_model/import_call.h"
#include "core/ops/arrays.h"
#include "core/ops/elementwise_functions.h"
#include "core/ops/ops.h"
#include "core/ops/rules.h"
#include "core/ops/sorting.h"

namespace trireme::formats {
namespace {

using Kind = ImportValue::Kind;
using Unary = Value (*)(Value);
using Binary = Value (*)(Value, Value);
using Sizes = std::vector<BatchNumber>;
using OneSize = std::optional<BatchNumber> (*)(const BatchNumber&, const BatchNumber&);

// --- arithmetic on sizes; nothing: the result is no multiple of the batch

std::optional<BatchNumber> add_sizes(const BatchNumber& a, const BatchNumber& b) {
  return BatchNumber{checked_add(a.constant, b.constant, "a size"),
                     checked_add(a.per_batch, b.per_batch, "a size")};
}

std::optional<BatchNumber> multiply_sizes(const BatchNumber& a, const BatchNumber& b) {
  if (!a.is_constant() && !b.is_constant()) return std::nullopt;
  const BatchNumber& size = a.is_constant() ? b : a;
  const int64_t factor = a.is_constant() ? a.constant : b.constant;
  return BatchNumber{checked_multiply(size.constant, factor, "a size"),
                     checked_multiply(size.per_batch, factor, "a size")};
}

std::optional<BatchNumber> subtract_sizes(const BatchNumber& a, const BatchNumber& b) {
  return add_sizes(a, *multiply_sizes(b, {-1, 0}));
}

std::optional<BatchNumber> divide_sizes(const BatchNumber& a, const BatchNumber& b) {
  if (!b.is_constant() || b.constant <= 0) {
    // Two multiples of the batch, whatever its size.
    const bool has_ratio = a.constant == 0 && b.constant == 0 && b.per_batch > 0 &&
                           a.per_batch >= 0 && a.per_batch % b.per_batch == 0;
    if (!has_ratio) return std::nullopt;
    return BatchNumber{a.per_batch / b.per_batch, 0};
  }
  if (a.constant % b.constant != 0 || a.per_batch % b.constant != 0) return std::nullopt;
  return BatchNumber{a.constant / b.constant, a.per_batch / b.constant};
}

// Of vectors or scalars of sizes, of which one depends on the batch.
std::optional<ImportValue> on_sizes(const ImportValue& a, const ImportValue& b, OneSize one) {
  if (!a.is(Kind::kNumbers) && !b.is(Kind::kNumbers)) return std::nullopt;
  const auto left = numbers_of(a), right = numbers_of(b);
  if (!left || !right) return std::nullopt;
  const auto is_scalar = [](const ImportValue& v) {
    return v.is(Kind::kNumbers) ? v.is_scalar : v.tensor.shape().rank() == 0;
  };
  const size_t count = std::max(left->size(), right->size());
  if ((left->size() != count && left->size() != 1) ||
      (right->size() != count && right->size() != 1)) {
    return std::nullopt;
  }
  Sizes made;
  for (size_t i = 0; i < count; ++i) {
    const auto size = one((*left)[left->size() == 1 ? 0 : i], (*right)[right->size() == 1 ? 0 : i]);
    if (!size) return std::nullopt;
    made.push_back(*size);
  }
  return ImportValue::of(std::move(made), is_scalar(a) && is_scalar(b), a.dtype);
}

void add_unary(ImportTable& table, std::initializer_list<const char*> names, Unary make) {
  table.add(names, {[make](ImportCall& c) { return c.results({make(c.value(0))}); }});
}

void add_binary(ImportTable& table, std::initializer_list<const char*> names, Binary make,
                OneSize sizes = nullptr) {
  table.add(names, {[make, sizes](ImportCall& c) -> ImportValues {
              if (sizes != nullptr) {
                if (auto made = on_sizes(c.input(0), c.input(1), sizes)) return {std::move(*made)};
              }
              const Value a = c.value(0), b = c.value(1);
              return c.results({make(a, b)});
            }});
}

Value erfc(Value x) { return ops::constant_like(x, 1) - ops::erf(x); }
Value softsign(Value x) { return ops::softsign(x); }
Value reciprocal(Value x) { return ops::reciprocal(x); }

// a / b, and 0 where b is 0.
Value divide_no_nan(Value a, Value b) {
  const Value is_zero = ops::equal(b, ops::constant_like(b, 0));
  const Value quotient = a / ops::select(is_zero, ops::constant_like(b, 1), b);
  return ops::select(is_zero, ops::constant_like(quotient, 0), quotient);
}

// RealDiv, Div: of whole numbers rounded towards zero, as ours.
Value divide(Value a, Value b) { return a / b; }

ImportValues import_cast(ImportCall& c) {
  const DType to = c.dtype("DstT", DType::kFloat32);
  const ImportValue& x = c.input(0);
  if (x.is(Kind::kNumbers) && (to == DType::kInt32 || to == DType::kInt64)) {
    ImportValue cast = x;
    cast.dtype = to;
    return {cast};
  }
  return c.results({ops::cast(c.value(0), to)});
}

// A condition of one axis chooses rows in the older op.
ImportValues import_select(ImportCall& c) {
  if (c.is_known(0) && c.tensor(0).elements() == 1 && c.tensor(0).dtype() == DType::kBool &&
      c.tensor(0).shape().rank() == 0) {
    // Which of the two is known now; they may be sizes, but must agree where they broadcast.
    const bool first = c.tensor(0).flat<bool>()[0];
    const ImportValue &chosen = c.input(first ? 1 : 2), &other = c.input(first ? 2 : 1);
    if (chosen.is(Kind::kNumbers) && numbers_of(other)) return {chosen};
  }
  Value condition = c.value(0);
  const Value a = c.value(1), b = c.value(2);
  if (c.op() == "Select" && condition.shape().rank() == 1 && a.shape().rank() > 1) {
    ops::Axes axes;
    for (int i = 1; i < a.shape().rank(); ++i) axes.push_back(i);
    condition = ops::expand_dims(condition, axes);
  }
  return c.results({ops::select(condition, a, b)});
}

ImportValues import_matmul(ImportCall& c) {
  const bool is_batched = c.op() != "MatMul";
  const Value a = c.value(0), b = c.value(1);
  return c.results({ops::matmul(a, b, c.flag(is_batched ? "adj_x" : "transpose_a"),
                                c.flag(is_batched ? "adj_y" : "transpose_b"))});
}

ImportValues import_einsum(ImportCall& c) {
  std::vector<Value> operands;
  for (int i = 0; i < c.count(); ++i) operands.push_back(c.value(i));
  const std::string equation = c.text("equation");
  c.require(equation.size() < 256, "a short equation");
  return c.results({ops::einsum(equation, operands)});
}

ImportValues import_bias_add(ImportCall& c) {
  const Value x = c.value(0), bias = c.value(1);
  if (c.text("data_format", "NHWC") == "NHWC" || x.shape().rank() < 3) {
    return c.results({ops::bias_add(x, bias)});
  }
  ops::Axes axes;
  for (int i = 1; i + 1 < x.shape().rank(); ++i) axes.push_back(i);
  return c.results({x + ops::expand_dims(bias, axes)});
}

ImportValues import_add_n(ImportCall& c) {
  c.require(c.count() > 0, "at least one input");
  Value sum = c.value(0);
  for (int i = 1; i < c.count(); ++i) sum = sum + c.value(i);
  return c.results({sum});
}

using Reduction = Value (*)(Value, ops::Axes, bool);

Value all_of(Value x, ops::Axes axes, bool keep) {
  return ops::equal(ops::min(ops::cast(x, DType::kInt32), std::move(axes), keep),
                    ops::scalar(x.graph(), DType::kInt32, 1));
}
Value any_of(Value x, ops::Axes axes, bool keep) {
  return ops::equal(ops::max(ops::cast(x, DType::kInt32), std::move(axes), keep),
                    ops::scalar(x.graph(), DType::kInt32, 1));
}
Value mean_of(Value x, ops::Axes axes, bool keep) {
  if (is_floating(x.dtype())) return ops::mean(x, std::move(axes), keep);
  throw invalid_argument("expected floating-point numbers to average, found ", x.type());
}

void add_reduction(ImportTable& table, const char* name, Reduction reduce) {
  table.add({name}, {[reduce, name](ImportCall& c) -> ImportValues {
              const std::vector<int64_t> axes = c.ints(1);
              const bool keep = c.flag("keep_dims");
              const ImportValue& x = c.input(0);
              if (x.is(Kind::kNumbers) && name == std::string_view("Prod") && axes.size() == 1) {
                std::optional<BatchNumber> product = BatchNumber{1, 0};
                for (const BatchNumber& size : x.numbers) {
                  if (product) product = multiply_sizes(*product, size);
                }
                if (product) return {ImportValue::of({*product}, !keep, x.dtype)};
              }
              const Value value = c.value(0);
              if (axes.empty()) return {c.result(value)};
              return c.results({reduce(value, axes, keep)});
            }});
}

ImportValues import_arg(ImportCall& c) {
  const int64_t axis = c.integer(1);
  const Value x = c.value(0);
  const Value index = c.op() == "ArgMax" ? ops::argmax(x, axis) : ops::argmin(x, axis);
  return c.results({ops::cast(index, c.dtype("output_type", DType::kInt64))});
}

ImportValues import_cumsum(ImportCall& c) {
  const int64_t axis = c.integer(1);
  return c.results({ops::cumsum(c.value(0), axis, c.flag("exclusive"), c.flag("reverse"))});
}

ImportValues import_top_k(ImportCall& c) {
  const int64_t k = c.op() == "TopKV2" ? c.integer(1) : c.integer("k", 1);
  const ops::TopK top = ops::top_k(c.value(0), k);
  return c.results({top.values, ops::cast(top.indices, c.dtype("index_type", DType::kInt32))});
}

Value lower(Value a, Value b) { return ops::less(a, b); }

}  // namespace

void add_math_imports(ImportTable& table) {
  add_unary(table, {"Abs"}, ops::abs);
  add_unary(table, {"Neg"}, ops::negate);
  add_unary(table, {"Square"}, ops::square);
  add_unary(table, {"Sign"}, ops::sign);
  add_unary(table, {"Floor"}, ops::floor);
  add_unary(table, {"Ceil"}, ops::ceil);
  add_unary(table, {"Round", "Rint"}, ops::round);
  add_unary(table, {"Exp"}, ops::exp);
  add_unary(table, {"Expm1"}, ops::expm1);
  add_unary(table, {"Log"}, ops::log);
  add_unary(table, {"Log1p"}, ops::log1p);
  add_unary(table, {"Sqrt"}, ops::sqrt);
  add_unary(table, {"Rsqrt"}, ops::rsqrt);
  add_unary(table, {"Reciprocal", "Inv"}, reciprocal);
  add_unary(table, {"Tanh"}, ops::tanh);
  add_unary(table, {"Sin"}, ops::sin);
  add_unary(table, {"Cos"}, ops::cos);
  add_unary(table, {"Tan"}, ops::tan);
  add_unary(table, {"Asin"}, ops::asin);
  add_unary(table, {"Acos"}, ops::acos);
  add_unary(table, {"Atan"}, ops::atan);
  add_unary(table, {"Sinh"}, ops::sinh);
  add_unary(table, {"Cosh"}, ops::cosh);
  add_unary(table, {"Asinh"}, ops::asinh);
  add_unary(table, {"Acosh"}, ops::acosh);
  add_unary(table, {"Atanh"}, ops::atanh);
  add_unary(table, {"Sigmoid"}, ops::sigmoid);
  add_unary(table, {"Softplus"}, ops::softplus);
  add_unary(table, {"Softsign"}, softsign);
  add_unary(table, {"Erf"}, ops::erf);
  add_unary(table, {"Erfc"}, erfc);
  add_unary(table, {"Relu"}, ops::relu);
  add_unary(table, {"Relu6"}, ops::relu6);
  add_unary(table, {"Selu"}, ops::selu);
  add_unary(table, {"Softmax"}, ops::softmax);
  add_unary(table, {"LogSoftmax"}, ops::log_softmax);
  add_unary(table, {"LogicalNot"}, ops::logical_not);
  add_unary(table, {"IsNan"}, ops::is_nan);
  add_unary(table, {"IsInf"}, ops::is_inf);
  add_unary(table, {"IsFinite"}, ops::is_finite);
  table.add({"Elu"}, {[](ImportCall& c) { return c.results({ops::elu(c.value(0))}); }});
  table.add({"LeakyRelu"}, {[](ImportCall& c) {
              return c.results({ops::leaky_relu(c.value(0), c.number("alpha", 0.2F))});
            }});
  add_binary(table, {"Add", "AddV2"}, ops::add, add_sizes);
  add_binary(table, {"Sub"}, ops::subtract, subtract_sizes);
  add_binary(table, {"Mul"}, ops::multiply, multiply_sizes);
  add_binary(table, {"RealDiv", "Div", "TruncateDiv"}, divide, divide_sizes);
  add_binary(table, {"FloorDiv"}, ops::floor_divide, divide_sizes);
  add_binary(table, {"FloorMod"}, ops::floor_mod);
  add_binary(table, {"DivNoNan"}, divide_no_nan);
  add_binary(table, {"Maximum"}, ops::maximum);
  add_binary(table, {"Minimum"}, ops::minimum);
  add_binary(table, {"Pow"}, ops::power);
  add_binary(table, {"Atan2"}, ops::atan2);
  add_binary(table, {"SquaredDifference"}, ops::squared_difference);
  add_binary(table, {"Equal"}, ops::equal);
  add_binary(table, {"NotEqual"}, ops::not_equal);
  add_binary(table, {"Less"}, lower);
  add_binary(table, {"LessEqual"}, ops::less_equal);
  add_binary(table, {"Greater"}, ops::greater);
  add_binary(table, {"GreaterEqual"}, ops::greater_equal);
  add_binary(table, {"LogicalAnd"}, ops::logical_and);
  add_binary(table, {"LogicalOr"}, ops::logical_or);
  table.add({"ClipByValue"}, {[](ImportCall& c) {
              const Value x = c.value(0), low = c.value(1), high = c.value(2);
              return c.results({ops::minimum(ops::maximum(x, low), high)});
            }});
  table.add({"Cast"}, {import_cast});
  table.add({"Select", "SelectV2"}, {import_select});
  table.add({"MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"}, {import_matmul});
  table.add({"Einsum"}, {import_einsum});
  table.add({"BiasAdd", "BiasAddV1"}, {import_bias_add});
  table.add({"AddN"}, {import_add_n});
  add_reduction(table, "Sum", ops::sum);
  add_reduction(table, "Mean", mean_of);
  add_reduction(table, "Max", ops::max);
  add_reduction(table, "Min", ops::min);
  add_reduction(table, "Prod", ops::prod);
  add_reduction(table, "All", all_of);
  add_reduction(table, "Any", any_of);
  table.add({"ArgMax", "ArgMin"}, {import_arg});
  table.add({"Cumsum"}, {import_cumsum});
  table.add({"TopK", "TopKV2"}, {import_top_k, {"values", "indices"}});
}

}  // namespace trireme::formats

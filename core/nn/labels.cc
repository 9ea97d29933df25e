#include "core/nn/labels.h"

#include <cmath>
#include <span>

#include "core/base/error.h"

namespace trireme::nn {
namespace {

// A distribution's numbers are f32, whose sum is not exact.
constexpr double kSumTolerance = 1e-3;

// The first element that `is_right` refuses, or -1. The whole is checked without a branch for each
// element first: wrong labels are rare.
template <typename T, typename Predicate>
int64_t find_first(std::span<const T> values, Predicate is_right) {
  bool all = true;
  for (const T value : values) all &= is_right(value);
  if (all) return -1;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!is_right(values[i])) return static_cast<int64_t>(i);
  }
  return -1;
}

template <typename T>
int64_t find_sum_not_one(std::span<const T> values, int64_t rows) {
  const int64_t width = static_cast<int64_t>(values.size()) / rows;
  for (int64_t row = 0; row < rows; ++row) {
    double sum = 0;
    for (const T value :
         values.subspan(static_cast<size_t>(row * width), static_cast<size_t>(width)))
      sum += static_cast<double>(value);
    if (!(std::abs(sum - 1) <= kSumTolerance)) return row;
  }
  return -1;
}

template <typename T>
int64_t find_outside(const LabelRule& rule, std::span<const T> values) {
  switch (rule.domain) {
    case LabelDomain::kAny:
      return -1;
    case LabelDomain::kFinite:
      if constexpr (std::is_integral_v<T>) return -1;
      return find_first(values, [](T x) { return x - x == 0; });
    case LabelDomain::kUnitInterval:
    case LabelDomain::kDistribution:
      return find_first(values, [](T x) { return x >= T(0) && x <= T(1); });
    case LabelDomain::kZeroOrOne:
      return find_first(values, [](T x) { return x == T(0) || x == T(1); });
    case LabelDomain::kSign:
      return find_first(values, [](T x) { return x == T(1) || x == T(0) || x == T(-1); });
    case LabelDomain::kNotNegative:
    case LabelDomain::kWeight:
      return find_first(values, [](T x) { return x >= T(0) && x - x == T(0); });
    case LabelDomain::kClass: {
      const int64_t classes = rule.classes, ignored = rule.ignored.value_or(0);
      return find_first(values, [classes, ignored](T x) {
        const auto label = static_cast<int64_t>(x);
        return (label >= 0 && label < classes) || label == ignored;
      });
    }
  }
  return -1;
}

std::string what_it_takes(const LabelRule& rule) {
  const std::string takes = str_cat("; ", rule.of, " takes ");
  switch (rule.domain) {
    case LabelDomain::kFinite:
      return takes + "finite labels: clean the data set";
    case LabelDomain::kUnitInterval:
      return takes +
             "labels from 0 to 1: write the two classes as 0 and 1, or choose another loss "
             "(sparse_categorical_cross_entropy for more classes, mean_squared_error for "
             "quantities)";
    case LabelDomain::kZeroOrOne:
      return takes +
             "the labels 0 and 1: write the two classes as 0 and 1, or choose another metric";
    case LabelDomain::kSign:
      return takes + "the labels -1 (or 0) and 1: the two classes";
    case LabelDomain::kNotNegative:
      return takes + "finite labels of at least 0: clean the data set, or choose another loss";
    case LabelDomain::kWeight:
      return takes + "finite weights of at least 0: 0 leaves an example out";
    case LabelDomain::kClass:
      return takes + str_cat("classes from 0 to ", rule.classes - 1, ", because the model has ",
                             rule.classes,
                             " outputs: number the classes from 0, and give the last layer as many "
                             "units as there are classes");
    case LabelDomain::kDistribution:
      return takes +
             "a probability from 0 to 1 for each class, which add up to 1 for each example; for "
             "class numbers use sparse_categorical_cross_entropy";
    case LabelDomain::kAny:
      break;
  }
  return "";
}

template <typename T>
std::optional<std::string> describe_wrong(const LabelRule& rule, const Tensor& labels) {
  const std::span<const T> values = labels.flat<T>();
  const int64_t rows = labels.shape()[0];
  if (rows == 0) return std::nullopt;
  if (const int64_t at = find_outside(rule, values); at >= 0) {
    const int64_t width = labels.elements() / rows;
    const std::string element = width == 1 ? "" : str_cat(" (element ", at % width, ")");
    return str_cat("row ", at / width, " of this batch has the label ", labels.as_double(at),
                   element, what_it_takes(rule));
  }
  if (rule.domain != LabelDomain::kDistribution) return std::nullopt;
  if (const int64_t row = find_sum_not_one(values, rows); row >= 0) {
    return str_cat("row ", row, " of this batch has labels that do not add up to 1",
                   what_it_takes(rule));
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> find_wrong_label(const LabelRule& rule, const Tensor& labels) {
  if (rule.domain == LabelDomain::kAny || labels.shape().rank() == 0) return std::nullopt;
  switch (labels.dtype()) {
    case DType::kFloat32:
      return describe_wrong<float>(rule, labels);
    case DType::kFloat64:
      return describe_wrong<double>(rule, labels);
    case DType::kInt32:
      return describe_wrong<int32_t>(rule, labels);
    case DType::kInt64:
      return describe_wrong<int64_t>(rule, labels);
    case DType::kUInt8:
      return describe_wrong<uint8_t>(rule, labels);
    default:
      return std::nullopt;  // such labels are 0 or 1, or no loss takes them
  }
}

}  // namespace trireme::nn

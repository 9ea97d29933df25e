#include "core/formats/saved_model/import_value.h"

#include <algorithm>

#include "core/base/error.h"

namespace trireme::formats {

ImportValue ImportValue::of(Tensor tensor) {
  ImportValue made;
  made.kind = Kind::kTensor;
  made.dtype = tensor.dtype();
  made.tensor = std::move(tensor);
  return made;
}

ImportValue ImportValue::of(Value value, int64_t per_batch) {
  ImportValue made;
  made.kind = Kind::kGraph;
  made.dtype = value.dtype();
  made.value = value;
  made.per_batch = per_batch;
  return made;
}

ImportValue ImportValue::of(std::vector<BatchNumber> numbers, bool is_scalar, DType dtype) {
  TRIREME_CHECK(!is_scalar || numbers.size() == 1, "a scalar of ", numbers.size(), " numbers");
  if (std::ranges::all_of(numbers, &BatchNumber::is_constant)) {
    const Shape shape = is_scalar ? Shape() : Shape{static_cast<int64_t>(numbers.size())};
    if (dtype == DType::kInt64) {
      Tensor tensor(dtype, shape);
      std::ranges::transform(numbers, tensor.flat<int64_t>().begin(), &BatchNumber::constant);
      return of(std::move(tensor));
    }
    Tensor tensor(DType::kInt32, shape);
    std::ranges::transform(numbers, tensor.flat<int32_t>().begin(), [](const BatchNumber& number) {
      return static_cast<int32_t>(number.constant);
    });
    return of(std::move(tensor));
  }
  ImportValue made;
  made.kind = Kind::kNumbers;
  made.numbers = std::move(numbers);
  made.is_scalar = is_scalar;
  made.dtype = dtype;
  return made;
}

ImportValue ImportValue::of_variable(size_t variable) {
  ImportValue made;
  made.kind = Kind::kVariable;
  made.variable = variable;
  return made;
}

std::string ImportValue::describe() const {
  switch (kind) {
    case Kind::kMissing:
      return "nothing";
    case Kind::kDead:
      return "a branch that is not taken";
    case Kind::kTensor:
      return str_cat("a known ", tensor.type());
    case Kind::kNumbers:
      return str_cat("sizes that depend on the batch, ", numbers.size(), " numbers");
    case Kind::kGraph:
      return value.type().to_string();
    case Kind::kVariable:
      return "the handle of a variable";
    case Kind::kList:
      return str_cat("a list of ", list->size(), " tensors");
  }
  return "nothing";
}

std::optional<std::vector<BatchNumber>> numbers_of(const ImportValue& value) {
  if (value.is(ImportValue::Kind::kNumbers)) return value.numbers;
  if (!value.is(ImportValue::Kind::kTensor)) return std::nullopt;
  const Tensor& tensor = value.tensor;
  if (tensor.shape().rank() > 1 || tensor.elements() > kMostNumbers) return std::nullopt;
  std::vector<BatchNumber> numbers;
  if (tensor.dtype() == DType::kInt32) {
    for (const int32_t number : tensor.flat<int32_t>()) numbers.push_back({number, 0});
  } else if (tensor.dtype() == DType::kInt64) {
    for (const int64_t number : tensor.flat<int64_t>()) numbers.push_back({number, 0});
  } else {
    return std::nullopt;
  }
  return numbers;
}

std::vector<BatchNumber> dimensions_of(const Shape& shape, int64_t per_batch) {
  std::vector<BatchNumber> dimensions;
  for (const int64_t size : shape) {
    dimensions.push_back(size < 0 ? BatchNumber{0, per_batch} : BatchNumber{size, 0});
  }
  return dimensions;
}

}  // namespace trireme::formats

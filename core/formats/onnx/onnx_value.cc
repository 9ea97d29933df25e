#include "core/formats/onnx/onnx_value.h"

#include <algorithm>

#include "core/base/error.h"

namespace trireme::formats {

OnnxValue OnnxValue::missing() {
  OnnxValue made;
  made.kind = Kind::kMissing;
  return made;
}

OnnxValue OnnxValue::of(Tensor tensor) {
  OnnxValue made;
  made.kind = Kind::kTensor;
  made.tensor = std::move(tensor);
  return made;
}

OnnxValue OnnxValue::of(Value value, int64_t per_batch) {
  OnnxValue made;
  made.kind = Kind::kGraph;
  made.value = value;
  made.per_batch = per_batch;
  return made;
}

OnnxValue OnnxValue::of_channels_last(Value value, int64_t per_batch) {
  OnnxValue made;
  made.kind = Kind::kGraph;
  made.channels_last = value;
  made.per_batch = per_batch;
  return made;
}

OnnxValue OnnxValue::of(std::vector<BatchNumber> numbers, bool is_scalar) {
  OnnxValue made;
  const bool is_known =
      std::ranges::all_of(numbers, [](const BatchNumber& number) { return number.per_batch == 0; });
  if (!is_known) {
    made.kind = Kind::kNumbers;
    made.numbers = std::move(numbers);
    made.is_scalar = is_scalar;
    return made;
  }
  std::vector<int64_t> values;
  for (const BatchNumber& number : numbers) values.push_back(number.constant);
  const Shape shape = is_scalar ? Shape() : Shape({static_cast<int64_t>(values.size())});
  return of(Tensor::from<int64_t>(shape, values));
}

TensorType OnnxValue::type() const {
  switch (kind) {
    case Kind::kTensor:
      return tensor.type();
    case Kind::kNumbers:
      return {DType::kInt64, is_scalar ? Shape() : Shape({static_cast<int64_t>(numbers.size())})};
    case Kind::kGraph: {
      if (value.defined()) return value.type();
      const Shape& s = channels_last.shape();
      return {channels_last.dtype(), {s[0], s[3], s[1], s[2]}};
    }
    default:
      return {};
  }
}

std::string OnnxValue::describe() const {
  switch (kind) {
    case Kind::kAbsent:
      return "nothing";
    case Kind::kMissing:
      return "what an op would give that is missing";
    case Kind::kTensor:
      return str_cat("a known ", tensor.type());
    case Kind::kNumbers:
      return str_cat(numbers.size(), " number(s) that depend on the size of the batch");
    case Kind::kGraph:
      return str_cat(type());
  }
  return "";
}

std::optional<std::vector<BatchNumber>> numbers_of(const OnnxValue& value) {
  if (value.is(OnnxValue::Kind::kNumbers)) return value.numbers;
  if (!value.is(OnnxValue::Kind::kTensor)) return {};
  const Tensor& tensor = value.tensor;
  if (!is_integer(tensor.dtype()) || tensor.shape().rank() > 1 ||
      tensor.elements() > kMostNumbers) {
    return {};
  }
  std::vector<BatchNumber> numbers;
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const auto at = static_cast<size_t>(i);
    const int64_t number = tensor.dtype() == DType::kInt64   ? tensor.flat<int64_t>()[at]
                           : tensor.dtype() == DType::kInt32 ? tensor.flat<int32_t>()[at]
                                                             : tensor.flat<uint8_t>()[at];
    numbers.push_back({number, 0});
  }
  return numbers;
}

std::vector<BatchNumber> dimensions_of(const OnnxValue& value) {
  std::vector<BatchNumber> dimensions;
  for (int64_t size : value.type().shape) {
    dimensions.push_back(size >= 0 ? BatchNumber{size, 0} : BatchNumber{0, value.per_batch});
  }
  return dimensions;
}

}  // namespace trireme::formats

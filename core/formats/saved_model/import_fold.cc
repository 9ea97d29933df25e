// Known values: what constants say, and what reference kernels compute of them.
#include <cstring>
#include <unordered_map>

#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/device/kernel.h"
#include "core/formats/saved_model/import_call.h"
#include "core/formats/translation/known_values.h"

namespace trireme::formats {
namespace {

// The elements of a field; one that is given for all stands once.
template <typename T, typename Field>
void copy_field(const Field& field, Tensor& tensor) {
  const auto elements = tensor.flat<T>();
  if (elements.empty()) return;
  const auto given = static_cast<size_t>(field.size());
  if (given > elements.size()) {
    throw invalid_argument("expected at most ", elements.size(), " elements, found ", given);
  }
  for (size_t i = 0; i < given; ++i) elements[i] = static_cast<T>(field[static_cast<int>(i)]);
  // What is left out equals the last one, and without any it is 0.
  for (size_t i = given; i < elements.size(); ++i)
    elements[i] = given > 0 ? elements[given - 1] : T();
}

template <typename T>
void copy_half(const tf::TensorProto& proto, Tensor& tensor) {
  const auto count = static_cast<size_t>(tensor.elements());
  auto* const elements = static_cast<T*>(tensor.raw());
  const auto given = static_cast<size_t>(proto.half_val_size());
  if (given > count) throw invalid_argument("expected at most ", count, " elements, found ", given);
  for (size_t i = 0; i < count; ++i) {
    if (given == 0) {
      elements[i].bits = 0;
    } else {
      elements[i].bits =
          static_cast<uint16_t>(proto.half_val(static_cast<int>(std::min(i, given - 1))));
    }
  }
}

}  // namespace

Tensor tensor_of(const tf::TensorProto& proto, uint64_t most_bytes) {
  const std::optional<DType> dtype = dtype_of_tensorflow(proto.dtype());
  if (!dtype) {
    throw invalid_argument("expected a constant of a type that Trireme has, found ",
                           tensorflow_dtype_name(proto.dtype()));
  }
  Shape shape;
  uint64_t bytes = size_of(*dtype);
  if (proto.tensor_shape().dim_size() > Shape::kMaxRank) {
    throw invalid_argument("expected a constant of at most ", Shape::kMaxRank,
                           " dimensions, found ", proto.tensor_shape().dim_size());
  }
  for (const auto& dim : proto.tensor_shape().dim()) {
    if (dim.size() < 0) throw invalid_argument("expected a constant of known shape");
    shape.push_back(dim.size());
    if (dim.size() == 0) bytes = 0;
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(dim.size()), &bytes))
      bytes = UINT64_MAX;
  }
  if (shape.is_known() && bytes > 0 && bytes > most_bytes) {
    throw invalid_argument("expected a constant of at most ", most_bytes, " bytes, found ",
                           proto.tensor_shape().dim_size(), " dimensions with more");
  }
  Tensor tensor(*dtype, shape);
  if (!proto.tensor_content().empty() && *dtype != DType::kString) {
    if (proto.tensor_content().size() != tensor.bytes()) {
      throw invalid_argument("expected ", tensor.bytes(), " bytes of a constant ", tensor.type(),
                             ", found ", proto.tensor_content().size());
    }
    std::memcpy(tensor.raw(), proto.tensor_content().data(), tensor.bytes());
    if (*dtype == DType::kBool) {
      auto* const flags = static_cast<unsigned char*>(tensor.raw());
      for (int64_t i = 0; i < tensor.elements(); ++i) flags[i] = flags[i] != 0 ? 1 : 0;
    }
    return tensor;
  }
  switch (*dtype) {
    case DType::kFloat32:
      copy_field<float>(proto.float_val(), tensor);
      break;
    case DType::kFloat64:
      copy_field<double>(proto.double_val(), tensor);
      break;
    case DType::kInt32:
      copy_field<int32_t>(proto.int_val(), tensor);
      break;
    case DType::kInt64:
      copy_field<int64_t>(proto.int64_val(), tensor);
      break;
    case DType::kUInt8:
      copy_field<uint8_t>(proto.int_val(), tensor);
      break;
    case DType::kBool:
      copy_field<bool>(proto.bool_val(), tensor);
      break;
    case DType::kFloat16:
      copy_half<Half>(proto, tensor);
      break;
    case DType::kBFloat16:
      copy_half<BFloat16>(proto, tensor);
      break;
    case DType::kString:
      copy_field<std::string>(proto.string_val(), tensor);
      break;
  }
  return tensor;
}

Tensor GraphImporter::evaluate(Value value) {
  return evaluate_constants(value, *kernels_, limits_.known_bytes);
}

}  // namespace trireme::formats

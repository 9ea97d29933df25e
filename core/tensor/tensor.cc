#include "core/tensor/tensor.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <ostream>
#include <sstream>

#include "core/base/error.h"

namespace trireme {
namespace {

// Strings need their destructors run, so they do not live in plain bytes.
class StringBuffer : public Buffer {
 public:
  explicit StringBuffer(std::unique_ptr<std::string[]> strings, size_t count)
      : Buffer(strings.get(), count * sizeof(std::string), true), strings_(std::move(strings)) {}

 private:
  std::unique_ptr<std::string[]> strings_;
};

std::shared_ptr<Buffer> allocate(const TensorType& type) {
  if (type.dtype != DType::kString) return allocate_host(type.bytes());
  const auto count = static_cast<size_t>(type.shape.elements());
  return std::make_shared<StringBuffer>(std::make_unique<std::string[]>(count), count);
}

}  // namespace

std::string TensorType::to_string() const { return str_cat(name(dtype), shape); }
std::ostream& operator<<(std::ostream& out, const TensorType& type) {
  return out << type.to_string();
}

Tensor::Tensor(DType dtype, const Shape& shape)
    : Tensor(dtype, shape, allocate(TensorType{dtype, shape})) {}

Tensor::Tensor(DType dtype, const Shape& shape, std::shared_ptr<Buffer> buffer, size_t offset)
    : type_{dtype, shape}, elements_(shape.elements()), buffer_(std::move(buffer)) {
  TRIREME_CHECK(offset + bytes() <= buffer_->bytes(), type_, " at byte ", offset,
                " does not fit a buffer of ", buffer_->bytes(), " bytes");
  data_ = static_cast<char*>(buffer_->data()) + offset;
}

template <typename T>
Tensor Tensor::from(const Shape& shape, std::span<const T> values) {
  Tensor tensor(dtype_of<T>, shape);
  TRIREME_CHECK(values.size() == static_cast<size_t>(tensor.elements()), values.size(),
                " values for shape ", shape);
  std::ranges::copy(values, tensor.flat<T>().begin());
  return tensor;
}

template Tensor Tensor::from(const Shape&, std::span<const float>);
template Tensor Tensor::from(const Shape&, std::span<const double>);
template Tensor Tensor::from(const Shape&, std::span<const int32_t>);
template Tensor Tensor::from(const Shape&, std::span<const int64_t>);
template Tensor Tensor::from(const Shape&, std::span<const uint8_t>);
template Tensor Tensor::from(const Shape&, std::span<const bool>);
template Tensor Tensor::from(const Shape&, std::span<const std::string>);

Tensor Tensor::zeros(DType dtype, const Shape& shape) {
  Tensor tensor(dtype, shape);
  if (dtype != DType::kString) std::memset(tensor.raw(), 0, tensor.bytes());
  return tensor;
}

void Tensor::check_access(DType dtype) const {
  TRIREME_CHECK(defined(), "the tensor holds nothing");
  TRIREME_CHECK(buffer_->on_host(), type_, " is not on the host");
  TRIREME_CHECK(dtype == type_.dtype, "asked for ", name(dtype), ", the tensor is ", type_);
}

Tensor Tensor::reshaped(const Shape& shape) const {
  TRIREME_CHECK(shape.elements() == elements_, "cannot see ", type_, " as ", shape);
  Tensor view = *this;
  view.type_.shape = shape;
  return view;
}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
  TRIREME_CHECK(shape().rank() > 0 && 0 <= begin && begin <= end && end <= shape()[0], "rows ",
                begin, " to ", end, " of ", type_);
  Tensor view = *this;
  const int64_t row = shape()[0] == 0 ? 0 : elements_ / shape()[0];
  view.type_.shape.set(0, end - begin);
  view.elements_ = row * (end - begin);
  view.data_ = static_cast<char*>(data_) + static_cast<size_t>(begin * row) * size_of(dtype());
  return view;
}

Tensor Tensor::clone() const {
  TRIREME_CHECK(on_host(), type_, " is not on the host");
  Tensor copy(dtype(), shape());
  if (dtype() == DType::kString) {
    std::ranges::copy(flat<std::string>(), copy.flat<std::string>().begin());
  } else if (elements_ > 0) {
    std::memcpy(copy.raw(), raw(), bytes());
  }
  return copy;
}

double Tensor::as_double(int64_t index) const {
  const auto i = static_cast<size_t>(index);
  switch (dtype()) {
    case DType::kFloat16:
      return static_cast<float>(flat<Half>()[i]);
    case DType::kBFloat16:
      return static_cast<float>(flat<BFloat16>()[i]);
    case DType::kFloat32:
      return flat<float>()[i];
    case DType::kFloat64:
      return flat<double>()[i];
    case DType::kInt32:
      return flat<int32_t>()[i];
    case DType::kInt64:
      return static_cast<double>(flat<int64_t>()[i]);
    case DType::kUInt8:
      return flat<uint8_t>()[i];
    case DType::kBool:
      return flat<bool>()[i];
    case DType::kString:
      break;
  }
  throw Error(ErrorCode::kInternal, "a string tensor has no numbers");
}

std::string Tensor::to_string(int64_t max_elements) const {
  if (!defined()) return "(nothing)";
  std::ostringstream out;
  out << type_ << " {";
  for (int64_t i = 0; i < std::min(elements_, max_elements); ++i) {
    if (i > 0) out << ", ";
    if (dtype() == DType::kString) {
      out << '"' << flat<std::string>()[static_cast<size_t>(i)] << '"';
    } else {
      out << as_double(i);
    }
  }
  if (elements_ > max_elements) out << ", …";
  out << "}";
  return out.str();
}

}  // namespace trireme

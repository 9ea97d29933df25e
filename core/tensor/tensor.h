// A Tensor: dtype, shape and a shared buffer; contiguous and row-major. Copying one copies the
// handle, not the data.
//
// Not synchronised: whoever shares a tensor between threads orders the accesses. Most code sees
// host tensors; a tensor on a device has on_host() == false and must be copied
// (Device::copy_to_host) before it is read.
#pragma once

#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/tensor/buffer.h"
#include "core/tensor/dtype.h"
#include "core/tensor/shape.h"

namespace trireme {

// What is known of a value before it is computed. In a graph a dimension may be -1.
struct TensorType {
  DType dtype = DType::kFloat32;
  Shape shape;

  bool operator==(const TensorType&) const = default;
  size_t bytes() const { return size_of(dtype) * static_cast<size_t>(shape.elements()); }
  std::string to_string() const;  // "f32[128, 10]"
};
std::ostream& operator<<(std::ostream& out, const TensorType& type);

class Tensor {
 public:
  Tensor() = default;  // holds nothing: defined() is false

  // Uninitialised host memory (empty strings for kString). REQUIRES: shape.is_known().
  Tensor(DType dtype, const Shape& shape);

  // A view of `buffer` from byte `offset`. REQUIRES: it fits.
  Tensor(DType dtype, const Shape& shape, std::shared_ptr<Buffer> buffer, size_t offset = 0);

  template <typename T>
  static Tensor from(const Shape& shape, std::span<const T> values);
  template <typename T>
  static Tensor from(const Shape& shape, std::initializer_list<T> values) {
    return from<T>(shape, std::span<const T>(values.begin(), values.size()));
  }
  template <typename T>
  static Tensor from(const Shape& shape, const std::vector<T>& values) {
    return from<T>(shape, std::span<const T>(values));
  }
  template <typename T>
  static Tensor scalar(T value) {
    return from<T>({}, {value});
  }
  static Tensor zeros(DType dtype, const Shape& shape);

  bool defined() const { return buffer_ != nullptr; }
  DType dtype() const { return type_.dtype; }
  const Shape& shape() const { return type_.shape; }
  const TensorType& type() const { return type_; }
  int64_t elements() const { return elements_; }
  size_t bytes() const { return size_of(type_.dtype) * static_cast<size_t>(elements_); }
  bool on_host() const { return buffer_->on_host(); }
  const std::shared_ptr<Buffer>& buffer() const { return buffer_; }

  void* raw() { return data_; }
  const void* raw() const { return data_; }

  // The elements. Throws Error{kInternal} for another dtype or a tensor that is not on the host.
  template <typename T>
  std::span<T> flat() {
    check_access(dtype_of<T>);
    return {static_cast<T*>(data_), static_cast<size_t>(elements_)};
  }
  template <typename T>
  std::span<const T> flat() const {
    check_access(dtype_of<T>);
    return {static_cast<const T*>(data_), static_cast<size_t>(elements_)};
  }
  template <typename T>
  T item() const;  // the only element

  Tensor reshaped(const Shape& shape) const;      // same buffer; throws when the sizes differ
  Tensor rows(int64_t begin, int64_t end) const;  // same buffer; along the first axis
  Tensor clone() const;                           // own host buffer; REQUIRES: on_host()
  double as_double(int64_t index) const;          // any numeric dtype; for printing and tests
  std::string to_string(int64_t max_elements = 8) const;  // "f32[2, 2] {1, 2, 3, 4}"

 private:
  void check_access(DType dtype) const;

  TensorType type_;
  int64_t elements_ = 0;
  std::shared_ptr<Buffer> buffer_;
  void* data_ = nullptr;
};

template <typename T>
T Tensor::item() const {
  auto values = flat<T>();
  if (values.size() != 1) check_access(DType::kString);  // reports the type that it found
  return values[0];
}

extern template Tensor Tensor::from(const Shape&, std::span<const float>);
extern template Tensor Tensor::from(const Shape&, std::span<const double>);
extern template Tensor Tensor::from(const Shape&, std::span<const int32_t>);
extern template Tensor Tensor::from(const Shape&, std::span<const int64_t>);
extern template Tensor Tensor::from(const Shape&, std::span<const uint8_t>);
extern template Tensor Tensor::from(const Shape&, std::span<const bool>);
extern template Tensor Tensor::from(const Shape&, std::span<const std::string>);

}  // namespace trireme

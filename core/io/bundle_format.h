// What the writer and the reader of tensor bundles share. Internal to core/io.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/io/tensor_bundle.h"

namespace trireme::io {

// TensorFlow's DataType number of ours, and back.
int tf_dtype(DType dtype);
std::optional<DType> dtype_from_tf(int number);

// The version of the format that is written, and the newest that is understood.
inline constexpr int kBundleVersion = 1;

// The index's key of one slice of a tensor: TensorFlow's "ordered code" of 0, the name, the rank
// and the extents.
std::string slice_key(std::string_view name, const Slice& slice);

// Copies `part` to its place in `whole`. REQUIRES: same dtype, and the slice's shape is the part's;
// extents are explicit.
void copy_slice(const Tensor& part, const Slice& slice, Tensor& whole);

}  // namespace trireme::io

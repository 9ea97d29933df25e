// IDX files, the format of MNIST and Fashion-MNIST (http://yann.lecun.com/exdb/mnist/): a
// big-endian header of magic, then one 32-bit size a dimension, then the elements. Only bytes (type
// 0x08) are read.
//
// A damaged file is Error{kDataLoss} that names the file, what its header promises and what is
// there.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/data/labeled_images.h"

namespace trireme::data {

struct IdxHeader {
  Shape shape;        // [n, …] as the header says; its elements are all there
  size_t offset = 0;  // of the first element
};

// Checks the whole of an unpacked file of `rank` dimensions: type, rank, and that it ends where it
// should.
IdxHeader parse_idx(std::span<const uint8_t> data, int rank, std::string_view name);

// Image file (3 dimensions) → u8 [n, h, w, 1]; label file (1 dimension) → u8 [n]. Packed or not.
Tensor read_idx_images(const std::string& path);
Tensor read_idx_labels(const std::string& path, int64_t classes = 10);

// Reads train-images-idx3-ubyte and train-labels-idx1-ubyte (t10k-… for the test split), or those
// names with .gz, from `directory`. Throws Error{kNotFound} that says which names were looked for.
LabeledImages mnist(const std::string& directory, Split split);

}  // namespace trireme::data

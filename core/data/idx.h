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

// A file of `rank` dimensions: 3 for images → u8 [n, h, w], 1 for labels → u8 [n]. It must end
// where its header says. Packed or not; memory holds the elements and no more.
Tensor read_idx(const std::string& path, int rank);
// The same for a file in memory; `name` is for messages.
Tensor parse_idx(std::span<const uint8_t> data, int rank, std::string_view name);

// Image file → u8 [n, h, w, 1]; label file → u8 [n], each below `classes`.
Tensor read_idx_images(const std::string& path);
Tensor read_idx_labels(const std::string& path, int64_t classes = 10);

// Reads train-images-idx3-ubyte and train-labels-idx1-ubyte (t10k-… for the test split), or those
// names with .gz, from `directory`. Throws Error{kNotFound} that says which names were looked for.
LabeledImages mnist(const std::string& directory, Split split);

}  // namespace trireme::data

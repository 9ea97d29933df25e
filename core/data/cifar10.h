// CIFAR-10's binary version (https://www.cs.toronto.edu/~kriz/cifar.html): records of a label byte
// and 3 × 1024 bytes, the red, green and blue planes of a 32×32 image.
//
// A damaged file is Error{kDataLoss} that names the file and the offset.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/labeled_images.h"

namespace trireme::data {

inline constexpr size_t kCifarRecordBytes = 1 + 3 * 32 * 32;

// The three planes of an image, as a file has them, into pixels of red, green and blue. REQUIRES:
// both have 3 × 1024 bytes.
void interleave_cifar10(std::span<const uint8_t> planes, std::span<uint8_t> pixels);

// Reads the files one after another into one data set. Packed or not; memory holds the pixels and
// the labels and no more.
LabeledImages read_cifar10(const std::vector<std::string>& paths);
// One file in memory; `name` is for messages.
LabeledImages parse_cifar10(std::span<const uint8_t> data, std::string_view name);

// From `directory`, data_batch_1.bin to data_batch_5.bin, as many as are there but at least the
// first, or test_batch.bin; or those names with .gz. Throws Error{kNotFound} that says which names
// were looked for.
LabeledImages cifar10(const std::string& directory, Split split);
// The files of which that is made.
std::vector<std::string> cifar10_files(const std::string& directory, Split split);

}  // namespace trireme::data

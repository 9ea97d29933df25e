// Data sets that the program makes itself, so that every example runs without a file. Each is a
// function of its seed alone, the same on every machine.
#pragma once

#include <cstdint>
#include <string>

#include "core/data/labeled_images.h"
#include "core/data/text.h"

namespace trireme::data {

// Film reviews with a planted sentiment: label 1 is a good review, 0 a bad one. A review has 20 to
// 80 words; a few of them speak for its label, some against it, most say nothing. About 3 % of the
// labels are flipped, which bounds what any model can reach.
LabeledText synthetic_reviews(int64_t count, uint64_t seed);

// A table of 13 numbers a house and its price ("medv", in thousands), with the column names of the
// well-known Boston set: a nonlinear planted function of the columns, with interactions, and noise
// of about 2 around a spread of about 9. Throws Error{kFailed} when `path` cannot be written.
std::string synthetic_housing_csv(int64_t rows, uint64_t seed);
void write_synthetic_housing_csv(const std::string& path, int64_t rows, uint64_t seed);

// Images [n, height, width, channels] of random pixels with random labels below `classes`, to
// measure speed with: each pixel is uniform and each image its own. Throws Error{kInvalidArgument}
// for a shape that is no batch of images, for more than 65,536 classes, and for more than 64 GiB.
LabeledImages noise(const Shape& shape, int64_t classes, uint64_t seed);

}  // namespace trireme::data

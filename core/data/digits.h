// The built-in data set: pictures of the ten digits that the program draws itself, for whoever has
// no file at hand.
//
// 28×28 grey pixels as in MNIST, light strokes on dark ground. Each picture is a function of (seed,
// split, index): a digit in one of several ways of writing it, bent, turned, sheared, scaled and
// moved at random, drawn with a pen of random width, with specks and noise. A linear model reaches
// about 90 %, a LeNet 99 % after three epochs.
#pragma once

#include <cstdint>
#include <span>

#include "core/data/labeled_images.h"

namespace trireme::data {

inline constexpr int64_t kDigitSide = 28;
inline constexpr int64_t kDigitTrainSize = 60000;
inline constexpr int64_t kDigitTestSize = 10000;

// Draws one picture and returns its digit. REQUIRES: 784 pixels; index ≥ 0. Any thread.
uint8_t draw_digit(uint64_t seed, Split split, int64_t index, std::span<uint8_t> pixels);

// All pictures of a split, on the compute threads; or the first `count`.
LabeledImages digits(Split split, uint64_t seed = 1, int64_t count = -1);

// The same data set, in which a picture is drawn when it is first read, and kept: for one of many
// workers, which reads few of them.
Dataset digits_as_they_are_read(Split split, uint64_t seed = 1, int64_t count = -1);

}  // namespace trireme::data

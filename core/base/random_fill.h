// Values that are a function of their place: what variables and the rows of tables start with.
//
// Element i is drawn from Philox by (key, i) only, so that any part can be filled by itself: a
// worker fills a variable, a parameter server one row of it when that row is first seen, and both
// have the same bytes. Any thread.
#pragma once

#include <cstdint>
#include <span>

namespace trireme {

struct RandomFill {
  // kTruncatedNormal: a normal number of those within two standard deviations of the mean.
  enum class Kind : uint8_t { kConstant, kUniform, kNormal, kTruncatedNormal };
  Kind kind = Kind::kConstant;
  double a = 0;  // the constant; low; mean
  double b = 0;  // high; standard deviation (of what is not truncated)
  uint64_t key = 0;
};

// Writes the elements `first`, first + 1, … into `values`. Serial.
void fill_random(const RandomFill& fill, uint64_t first, std::span<float> values);

}  // namespace trireme

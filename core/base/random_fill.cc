#include "core/base/random_fill.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "core/base/philox.h"

namespace trireme {
namespace {

// Each block of four words makes four uniform or four normal numbers, so that blocks can be drawn
// in any order.
struct Uniform {
  static std::array<double, 4> draw(const PhiloxBlock& words) {
    return {uniform_float(words[0]), uniform_float(words[1]), uniform_float(words[2]),
            uniform_float(words[3])};
  }
};

// Box-Muller, on two pairs of words.
struct Normal {
  static std::array<double, 4> draw(const PhiloxBlock& words) {
    std::array<double, 4> out;
    for (size_t i = 0; i < 4; i += 2) {
      const double u = (words[i] + 1.0) * 0x1p-32;  // in (0, 1]: its logarithm is finite
      const double angle = 2 * std::numbers::pi * (words[i + 1] * 0x1p-32);
      const double radius = std::sqrt(-2 * std::log(u));
      out[i] = radius * std::cos(angle);
      out[i + 1] = radius * std::sin(angle);
    }
    return out;
  }
};

struct TruncatedNormal {
  static std::array<double, 4> draw(const PhiloxBlock& words) {
    return {truncated_normal(words[0]), truncated_normal(words[1]), truncated_normal(words[2]),
            truncated_normal(words[3])};
  }
};

template <typename Distribution>
void draw(uint64_t key, uint64_t first, double scale, double shift, std::span<float> values) {
  for (size_t i = 0; i < values.size();) {
    const uint64_t element = first + i;
    const auto numbers = Distribution::draw(philox(key, 0, element / 4));
    const size_t count = std::min<size_t>(values.size() - i, 4 - element % 4);
    for (size_t k = 0; k < count; ++k) {
      values[i + k] = static_cast<float>(numbers[element % 4 + k] * scale + shift);
    }
    i += count;
  }
}

}  // namespace

void fill_random(const RandomFill& fill, uint64_t first, std::span<float> values) {
  switch (fill.kind) {
    case RandomFill::Kind::kConstant:
      std::fill(values.begin(), values.end(), static_cast<float>(fill.a));
      break;
    case RandomFill::Kind::kUniform:
      draw<Uniform>(fill.key, first, fill.b - fill.a, fill.a, values);
      break;
    case RandomFill::Kind::kNormal:
      draw<Normal>(fill.key, first, fill.b, fill.a, values);
      break;
    case RandomFill::Kind::kTruncatedNormal:
      draw<TruncatedNormal>(fill.key, first, fill.b, fill.a, values);
      break;
  }
}

}  // namespace trireme

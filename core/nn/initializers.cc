#include "core/nn/initializers.h"

#include <cmath>
#include <map>
#include <numbers>

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/base/philox.h"
#include "core/nn/names.h"

namespace trireme::nn {
namespace {

// Each block of four words makes four uniform or four normal numbers, so that blocks can be drawn
// in any order.
using BlockFunction = std::array<double, 4> (*)(const PhiloxBlock&);

std::array<double, 4> uniform_block(const PhiloxBlock& words) {
  return {uniform_float(words[0]), uniform_float(words[1]), uniform_float(words[2]),
          uniform_float(words[3])};
}

// Box-Muller, on two pairs of words.
std::array<double, 4> normal_block(const PhiloxBlock& words) {
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

template <typename T>
void fill_random(Tensor& tensor, uint64_t key, BlockFunction draw, double scale, double shift) {
  auto values = tensor.flat<T>();
  const int64_t n = tensor.elements();
  parallel_for((n + 3) / 4, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const auto numbers = draw(philox(key, 0, static_cast<uint64_t>(block)));
      for (int64_t i = 4 * block; i < std::min(n, 4 * block + 4); ++i) {
        const double number = numbers[static_cast<size_t>(i - 4 * block)] * scale + shift;
        values[static_cast<size_t>(i)] = static_cast<T>(static_cast<float>(number));
      }
    }
  });
}

Tensor random(const InitializerInput& input, BlockFunction draw, double scale, double shift) {
  Tensor out(input.type.dtype, input.type.shape);
  switch (input.type.dtype) {
    case DType::kFloat32:
      fill_random<float>(out, input.key, draw, scale, shift);
      break;
    case DType::kFloat64:
      fill_random<double>(out, input.key, draw, scale, shift);
      break;
    case DType::kFloat16:
      fill_random<Half>(out, input.key, draw, scale, shift);
      break;
    case DType::kBFloat16:
      fill_random<BFloat16>(out, input.key, draw, scale, shift);
      break;
    default:
      throw invalid_argument("random initial values need a floating-point variable; found ",
                             input.type);
  }
  return out;
}

Tensor random_uniform(const InitializerInput& input, double low, double high) {
  return random(input, uniform_block, high - low, low);
}

}  // namespace

Fans fans_of(const Shape& kernel) {
  if (kernel.rank() == 0) return {};
  if (kernel.rank() == 1) return {double(kernel[0]), double(kernel[0])};
  double receptive = 1;
  for (int i = 0; i < kernel.rank() - 2; ++i) receptive *= double(kernel[i]);
  return {receptive * double(kernel.dim(-2)), receptive * double(kernel.dim(-1))};
}

Initializer zeros() { return constant(0); }
Initializer ones() { return constant(1); }

Initializer constant(double value) {
  return [value](const InitializerInput& input) {
    if (value == 0) return Tensor::zeros(input.type.dtype, input.type.shape);
    return random(input, uniform_block, 0, value);
  };
}

Initializer uniform(double low, double high) {
  return [=](const InitializerInput& input) { return random_uniform(input, low, high); };
}

Initializer normal(double mean, double stddev) {
  return [=](const InitializerInput& input) { return random(input, normal_block, stddev, mean); };
}

Initializer glorot_uniform() {
  return [](const InitializerInput& input) {
    const double limit = std::sqrt(6 / (input.fans.in + input.fans.out));
    return random_uniform(input, -limit, limit);
  };
}

Initializer glorot_normal() {
  return [](const InitializerInput& input) {
    return random(input, normal_block, std::sqrt(2 / (input.fans.in + input.fans.out)), 0);
  };
}

Initializer he_uniform() {
  return [](const InitializerInput& input) {
    const double limit = std::sqrt(6 / input.fans.in);
    return random_uniform(input, -limit, limit);
  };
}

Initializer he_normal() {
  return [](const InitializerInput& input) {
    return random(input, normal_block, std::sqrt(2 / input.fans.in), 0);
  };
}

Initializer fan_in_uniform() {
  return [](const InitializerInput& input) {
    const double limit = std::sqrt(1 / input.fans.in);
    return random_uniform(input, -limit, limit);
  };
}

Initializer initializer_from_name(std::string_view name) {
  static const std::map<std::string, Initializer, std::less<>> known = {
      {"zeros", zeros()},
      {"ones", ones()},
      {"uniform", uniform()},
      {"normal", normal()},
      {"glorot_uniform", glorot_uniform()},
      {"glorot_normal", glorot_normal()},
      {"he_uniform", he_uniform()},
      {"he_normal", he_normal()},
      {"fan_in_uniform", fan_in_uniform()},
  };
  return find_by_name(known, name, "initializer");
}

uint64_t initializer_key(uint64_t seed, std::string_view variable) {
  const PhiloxBlock block = philox(seed, 0x696e6974, hash_name(variable));
  return (uint64_t{block[0]} << 32) | block[1];
}

}  // namespace trireme::nn

#include "core/nn/initializers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/base/philox.h"
#include "core/nn/names.h"

namespace trireme::nn {
namespace {

constexpr int64_t kPiece = 1024;

// Cut anywhere, the values are the same.
template <typename T>
void fill(const RandomFill& fill, Tensor& tensor) {
  T* const values = tensor.flat<T>().data();
  parallel_for(tensor.elements(), kPiece, [&](int64_t begin, int64_t end) {
    if constexpr (std::is_same_v<T, float>) {
      fill_random(fill, static_cast<uint64_t>(begin), {values + begin, values + end});
    } else {
      std::array<float, kPiece> piece;
      for (int64_t i = begin; i < end; i += kPiece) {
        const std::span<float> part(piece.data(), static_cast<size_t>(std::min(kPiece, end - i)));
        fill_random(fill, static_cast<uint64_t>(i), part);
        std::transform(part.begin(), part.end(), values + i,
                       [](float value) { return static_cast<T>(value); });
      }
    }
  });
}

Tensor filled(const RandomFill& values, const TensorType& type) {
  if (values.kind == RandomFill::Kind::kConstant && values.a == 0) {
    return Tensor::zeros(type.dtype, type.shape);
  }
  Tensor out(type.dtype, type.shape);
  switch (type.dtype) {
    case DType::kFloat32:
      fill<float>(values, out);
      break;
    case DType::kFloat64:
      fill<double>(values, out);
      break;
    case DType::kFloat16:
      fill<Half>(values, out);
      break;
    case DType::kBFloat16:
      fill<BFloat16>(values, out);
      break;
    default:
      throw invalid_argument("random initial values need a floating-point variable; found ", type);
  }
  return out;
}

using Kind = RandomFill::Kind;

RandomFill uniform_within(double limit) { return {Kind::kUniform, -limit, limit}; }
RandomFill normal_with(double stddev) { return {Kind::kNormal, 0, stddev}; }

}  // namespace

Fans fans_of(const Shape& kernel) {
  if (kernel.rank() == 0) return {};
  if (kernel.rank() == 1) return {double(kernel[0]), double(kernel[0])};
  double receptive = 1;
  for (int i = 0; i < kernel.rank() - 2; ++i) receptive *= double(kernel[i]);
  return {receptive * double(kernel.dim(-2)), receptive * double(kernel.dim(-1))};
}

Initializer Initializer::of_fill(std::function<RandomFill(const Fans&)> choose) {
  Initializer out;
  out.choose_ = choose;
  out.make_ = [choose = std::move(choose)](const InitializerInput& input) {
    RandomFill values = choose(input.fans);
    values.key = input.key;
    return filled(values, input.type);
  };
  return out;
}

std::optional<RandomFill> Initializer::fill(const Fans& fans, uint64_t key) const {
  if (!choose_) return std::nullopt;
  RandomFill values = choose_(fans);
  values.key = key;
  return values;
}

Initializer zeros() { return constant(0); }
Initializer ones() { return constant(1); }

Initializer constant(double value) {
  return Initializer::of_fill([=](const Fans&) { return RandomFill{Kind::kConstant, value}; });
}

Initializer uniform(double low, double high) {
  return Initializer::of_fill([=](const Fans&) { return RandomFill{Kind::kUniform, low, high}; });
}

Initializer normal(double mean, double stddev) {
  return Initializer::of_fill([=](const Fans&) { return RandomFill{Kind::kNormal, mean, stddev}; });
}

Initializer glorot_uniform() {
  return Initializer::of_fill(
      [](const Fans& fans) { return uniform_within(std::sqrt(6 / (fans.in + fans.out))); });
}

Initializer glorot_normal() {
  return Initializer::of_fill(
      [](const Fans& fans) { return normal_with(std::sqrt(2 / (fans.in + fans.out))); });
}

Initializer he_uniform() {
  return Initializer::of_fill(
      [](const Fans& fans) { return uniform_within(std::sqrt(6 / fans.in)); });
}

Initializer he_normal() {
  return Initializer::of_fill([](const Fans& fans) { return normal_with(std::sqrt(2 / fans.in)); });
}

Initializer fan_in_uniform() {
  return Initializer::of_fill(
      [](const Fans& fans) { return uniform_within(std::sqrt(1 / fans.in)); });
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

void register_core_initializers(Catalog<InitializerOptions>&) {}

}  // namespace trireme::nn

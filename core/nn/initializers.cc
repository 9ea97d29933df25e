#include "core/nn/initializers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/base/philox.h"

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
// Truncated, and of that standard deviation nevertheless.
RandomFill normal_with(double stddev) {
  return {Kind::kTruncatedNormal, 0, stddev / kTruncatedNormalStddev};
}

}  // namespace

Fans fans_of(const Shape& kernel) {
  if (kernel.rank() == 0) return {};
  if (kernel.rank() == 1) return {double(kernel[0]), double(kernel[0])};
  double receptive = 1;
  for (int i = 0; i < kernel.rank() - 2; ++i) receptive *= double(kernel[i]);
  return {receptive * double(kernel.dim(-2)), receptive * double(kernel.dim(-1))};
}

Initializer::Initializer(std::shared_ptr<const InitializerOptions> options)
    : Initializer(options->make()) {
  options_ = std::move(options);
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

namespace {

// One that the values of its options say all about.
template <typename Options>
Initializer made(Options options = Options()) {
  check_options(options, "initializer");
  return Initializer(std::make_shared<const Options>(std::move(options)));
}

// One that knows nothing but the layer's fans.
template <RandomFill choose(const Fans&)>
class OfFans : public InitializerOptions {
 public:
  Initializer make() const override { return Initializer::of_fill(choose); }
};

RandomFill fill_zeros(const Fans&) { return {Kind::kConstant, 0}; }
RandomFill fill_ones(const Fans&) { return {Kind::kConstant, 1}; }
RandomFill fill_glorot_uniform(const Fans& fans) {
  return uniform_within(std::sqrt(6 / (fans.in + fans.out)));
}
RandomFill fill_glorot_normal(const Fans& fans) {
  return normal_with(std::sqrt(2 / (fans.in + fans.out)));
}
RandomFill fill_he_uniform(const Fans& fans) { return uniform_within(std::sqrt(6 / fans.in)); }
RandomFill fill_he_normal(const Fans& fans) { return normal_with(std::sqrt(2 / fans.in)); }
RandomFill fill_lecun_uniform(const Fans& fans) { return uniform_within(std::sqrt(3 / fans.in)); }
RandomFill fill_lecun_normal(const Fans& fans) { return normal_with(std::sqrt(1 / fans.in)); }
RandomFill fill_fan_in_uniform(const Fans& fans) { return uniform_within(std::sqrt(1 / fans.in)); }

using Zeros = OfFans<fill_zeros>;
using Ones = OfFans<fill_ones>;
using GlorotUniform = OfFans<fill_glorot_uniform>;
using GlorotNormal = OfFans<fill_glorot_normal>;
using HeUniform = OfFans<fill_he_uniform>;
using HeNormal = OfFans<fill_he_normal>;
using LecunUniform = OfFans<fill_lecun_uniform>;
using LecunNormal = OfFans<fill_lecun_normal>;
using FanInUniform = OfFans<fill_fan_in_uniform>;

class Constant : public InitializerOptions {
 public:
  explicit Constant(double value = 0) : value_(value) {}
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "value", .help = "of each element"}, value_);
  }
  Initializer make() const override {
    return Initializer::of_fill([value = value_](const Fans&) {
      return RandomFill{Kind::kConstant, value};
    });
  }

 private:
  double value_;
};

class Uniform : public InitializerOptions {
 public:
  explicit Uniform(double low = -0.05, double high = 0.05) : low_(low), high_(high) {}
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "low", .help = "the least", .keras = "minval"}, low_);
    visitor.field({.name = "high", .help = "what all are below", .keras = "maxval"}, high_);
  }
  void check() const override {
    if (!(low_ <= high_)) {
      throw invalid_argument("low: expected at most high, ", high_, ", found ", low_);
    }
  }
  Initializer make() const override {
    return Initializer::of_fill([low = low_, high = high_](const Fans&) {
      return RandomFill{Kind::kUniform, low, high};
    });
  }

 private:
  double low_, high_;
};

template <Kind kind>
class NormalOf : public InitializerOptions {
 public:
  explicit NormalOf(double mean = 0, double stddev = 0.05) : mean_(mean), stddev_(stddev) {}
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "mean", .help = "of the numbers"}, mean_);
    visitor.field({.name = "stddev",
                   .help = kind == Kind::kNormal
                               ? "the numbers' standard deviation"
                               : "standard deviation before numbers beyond two are left out",
                   .range = at_least(0)},
                  stddev_);
  }
  Initializer make() const override {
    return Initializer::of_fill([mean = mean_, stddev = stddev_](const Fans&) {
      return RandomFill{kind, mean, stddev};
    });
  }

 private:
  double mean_, stddev_;
};
using Normal = NormalOf<Kind::kNormal>;
using TruncatedNormal = NormalOf<Kind::kTruncatedNormal>;

class VarianceScaling : public InitializerOptions {
 public:
  explicit VarianceScaling(double scale = 1, FanMode mode = FanMode::kFanIn,
                           Distribution distribution = Distribution::kTruncatedNormal)
      : scale_(scale), mode_(mode), distribution_(distribution) {}

  void describe(OptionVisitor& visitor) override {
    static constexpr EnumName<FanMode> kModes[] = {{FanMode::kFanIn, "FAN_IN"},
                                                   {FanMode::kFanOut, "FAN_OUT"},
                                                   {FanMode::kFanAverage, "FAN_AVG"}};
    static constexpr EnumName<Distribution> kDistributions[] = {
        {Distribution::kTruncatedNormal, "TRUNCATED_NORMAL"},
        {Distribution::kUntruncatedNormal, "UNTRUNCATED_NORMAL"},
        {Distribution::kUniform, "UNIFORM"}};
    visitor.field(
        {.name = "scale", .help = "the variance times the number of inputs", .range = above(0)},
        scale_);
    visitor.field({.name = "mode", .help = "what the variance is divided by"}, mode_, kModes);
    visitor.field({.name = "distribution", .help = "of the numbers"}, distribution_,
                  kDistributions);
  }
  Initializer make() const override {
    return Initializer::of_fill([scale = scale_, mode = mode_,
                                 distribution = distribution_](const Fans& fans) -> RandomFill {
      const double fan = mode == FanMode::kFanIn    ? fans.in
                         : mode == FanMode::kFanOut ? fans.out
                                                    : (fans.in + fans.out) / 2;
      const double variance = scale / std::max(1.0, fan);
      switch (distribution) {
        case Distribution::kTruncatedNormal:
          return normal_with(std::sqrt(variance));
        case Distribution::kUntruncatedNormal:
          return {Kind::kNormal, 0, std::sqrt(variance)};
        case Distribution::kUniform:
          return uniform_within(std::sqrt(3 * variance));
      }
      TRIREME_CHECK(false, "distribution ", static_cast<int>(distribution));
    });
  }

 private:
  double scale_;
  FanMode mode_;
  Distribution distribution_;
};

// Makes each of `count` vectors of `length`, one after the other in memory, of length 1 and
// orthogonal to those before it (Gram and Schmidt). Twice: what rounding leaves of the first pass
// is gone after the second.
void orthogonalise(std::vector<double>& vectors, int64_t count, int64_t length) {
  const auto row = [&](int64_t i) { return vectors.data() + i * length; };
  for (int64_t i = 0; i < count; ++i) {
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t before = 0; before < i; ++before) {
        const double share = std::inner_product(row(i), row(i) + length, row(before), 0.0);
        for (int64_t k = 0; k < length; ++k) row(i)[k] -= share * row(before)[k];
      }
    }
    const double norm = std::sqrt(std::inner_product(row(i), row(i) + length, row(i), 0.0));
    for (int64_t k = 0; k < length; ++k) row(i)[k] /= norm;
  }
}

// `value(row, column)` of a matrix in the shape and dtype of `type`.
template <typename Value>
Tensor matrix(const TensorType& type, int64_t columns, Value value) {
  Tensor wide(DType::kFloat64, type.shape);
  const auto numbers = wide.flat<double>();
  for (int64_t i = 0; i < wide.elements(); ++i)
    numbers[static_cast<size_t>(i)] = value(i / columns, i % columns);
  if (type.dtype == DType::kFloat64) return wide;
  Tensor out(type.dtype, type.shape);
  const auto copy = [&]<typename T>(T) {
    std::ranges::transform(numbers, out.flat<T>().begin(),
                           [](double x) { return static_cast<T>(static_cast<float>(x)); });
  };
  switch (type.dtype) {
    case DType::kFloat32:
      copy(float());
      break;
    case DType::kFloat16:
      copy(Half());
      break;
    case DType::kBFloat16:
      copy(BFloat16());
      break;
    default:
      throw invalid_argument("initial values need a floating-point variable; found ", type);
  }
  return out;
}

class Orthogonal : public InitializerOptions {
 public:
  explicit Orthogonal(double gain = 1) : gain_(gain) {}
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "gain", .help = "length of the vectors"}, gain_);
  }
  Initializer make() const override {
    return Initializer([gain = gain_](const InitializerInput& input) {
      const Shape& shape = input.type.shape;
      if (shape.rank() < 2) {
        throw invalid_argument("orthogonal: expected a variable of at least two dimensions; found ",
                               input.type);
      }
      const int64_t columns = shape.dim(-1), rows = shape.first(shape.rank() - 1).elements();
      const int64_t count = std::min(rows, columns), length = std::max(rows, columns);
      std::vector<float> drawn(static_cast<size_t>(count * length));
      fill_random({Kind::kNormal, 0, 1, input.key}, 0, drawn);
      std::vector<double> vectors(drawn.begin(), drawn.end());
      orthogonalise(vectors, count, length);
      return matrix(input.type, columns, [&](int64_t row, int64_t column) {
        const int64_t at = rows <= columns ? row * length + column : column * length + row;
        return gain * vectors[static_cast<size_t>(at)];
      });
    });
  }

 private:
  double gain_;
};

class Identity : public InitializerOptions {
 public:
  explicit Identity(double gain = 1) : gain_(gain) {}
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "gain", .help = "of the elements on the diagonal"}, gain_);
  }
  Initializer make() const override {
    return Initializer([gain = gain_](const InitializerInput& input) {
      if (input.type.shape.rank() != 2) {
        throw invalid_argument("identity: expected a variable of two dimensions; found ",
                               input.type);
      }
      return matrix(input.type, input.type.shape[1],
                    [=](int64_t row, int64_t column) { return row == column ? gain : 0; });
    });
  }

 private:
  double gain_;
};

}  // namespace

Initializer zeros() { return made<Zeros>(); }
Initializer ones() { return made<Ones>(); }
Initializer constant(double value) { return made(Constant(value)); }
Initializer uniform(double low, double high) { return made(Uniform(low, high)); }
Initializer normal(double mean, double stddev) { return made(Normal(mean, stddev)); }
Initializer truncated_normal(double mean, double stddev) {
  return made(TruncatedNormal(mean, stddev));
}
Initializer variance_scaling(double scale, FanMode mode, Distribution distribution) {
  return made(VarianceScaling(scale, mode, distribution));
}
Initializer orthogonal(double gain) { return made(Orthogonal(gain)); }
Initializer identity(double gain) { return made(Identity(gain)); }
Initializer lecun_uniform() { return made<LecunUniform>(); }
Initializer lecun_normal() { return made<LecunNormal>(); }
Initializer glorot_uniform() { return made<GlorotUniform>(); }
Initializer glorot_normal() { return made<GlorotNormal>(); }
Initializer he_uniform() { return made<HeUniform>(); }
Initializer he_normal() { return made<HeNormal>(); }
Initializer fan_in_uniform() { return made<FanInUniform>(); }

uint64_t initializer_key(uint64_t seed, std::string_view variable) {
  const PhiloxBlock block = philox(seed, 0x696e6974, hash_name(variable));
  return (uint64_t{block[0]} << 32) | block[1];
}

void describe(OptionVisitor& visitor, const OptionInfo& info, Initializer& initializer) {
  std::shared_ptr<const InitializerOptions> options = initializer.options();
  visitor.component(info, options);
  if (options != initializer.options()) {
    initializer = options ? Initializer(std::move(options)) : Initializer();
  }
}

void register_core_initializers(Catalog<InitializerOptions>& catalog) {
  catalog.add<Zeros>("zeros", "Zeros", "Zeros.");
  catalog.add<Ones>("ones", "Ones", "Ones.");
  catalog.add<Constant>("constant", "Constant", "One number everywhere.");
  catalog.add<Uniform>("uniform", "RandomUniform", "Numbers spread evenly between two.");
  catalog.add<Normal>("normal", "RandomNormal", "Normally distributed numbers.");
  catalog.add<TruncatedNormal>("truncated_normal", "TruncatedNormal",
                               "Normally distributed numbers without those beyond two standard "
                               "deviations.");
  catalog.add<VarianceScaling>("variance_scaling", "VarianceScaling",
                               "Random numbers of the variance scale / fan.");
  catalog.add<Orthogonal>("orthogonal", "Orthogonal",
                          "A matrix of orthogonal rows or columns (Saxe et al. 2014); the axes "
                          "before the last count as one.");
  catalog.add<Identity>("identity", "Identity", "The identity matrix.");
  catalog.add<GlorotUniform>(
      "glorot_uniform", "GlorotUniform",
      "Even between ±sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010).");
  catalog.add<GlorotNormal>("glorot_normal", "GlorotNormal",
                            "Normal with the variance 2 / (inputs + outputs), truncated at two "
                            "standard deviations.");
  catalog.add<HeUniform>("he_uniform", "HeUniform",
                         "Even between ±sqrt(6 / inputs) (He et al. 2015).");
  catalog.add<HeNormal>("he_normal", "HeNormal",
                        "Normal with the variance 2 / inputs, truncated at two standard "
                        "deviations.");
  catalog.add<LecunUniform>("lecun_uniform", "LecunUniform",
                            "Even between ±sqrt(3 / inputs) (LeCun et al. 1998).");
  catalog.add<LecunNormal>("lecun_normal", "LecunNormal",
                           "Normal with the variance 1 / inputs, truncated at two standard "
                           "deviations.");
  catalog.add<FanInUniform>("fan_in_uniform", "",
                            "Even between ±sqrt(1 / inputs), as PyTorch's layers start.");
}

}  // namespace trireme::nn

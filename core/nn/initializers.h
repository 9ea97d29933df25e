// Initialisers: the first values of variables.
//
// Computed on the host from Philox, element i from (key, i), where the key is made of the model's
// seed and the variable's name. So a variable starts with the same values whatever else the model
// has, and on every worker. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/base/random_fill.h"
#include "core/catalog/catalog.h"
#include "core/tensor/tensor.h"

namespace trireme::nn {

// How many inputs and outputs meet in one unit of a layer: what the variance of its weights is
// chosen by.
struct Fans {
  double in = 1;
  double out = 1;
};

// Of a kernel: [in, out] for a dense layer, [height, width, in, out] for a convolution.
Fans fans_of(const Shape& kernel);

struct InitializerInput {
  TensorType type;  // floating-point, shape known
  Fans fans;        // of the layer's kernel, for its bias too
  uint64_t key = 0;
};

class InitializerOptions;

// Callable: makes a variable's first value. Constructible from a function that does so.
class Initializer {
 public:
  using Function = std::function<Tensor(const InitializerInput&)>;

  Initializer() = default;
  template <typename F>
  requires(std::is_invocable_r_v<Tensor, const F&, const InitializerInput&> &&
           !std::is_same_v<F, Initializer>) Initializer(F make)
      : make_(std::move(make)) {}
  // What `options` make; keeps them, so that it can be written to a job file.
  explicit Initializer(std::shared_ptr<const InitializerOptions> options);
  // One whose values are a RandomFill, chosen by the layer's fans.
  static Initializer of_fill(std::function<RandomFill(const Fans&)> choose);

  Tensor operator()(const InitializerInput& input) const { return make_(input); }
  explicit operator bool() const { return static_cast<bool>(make_); }

  // What it fills a variable with, for whoever makes only a part of it (a parameter server makes a
  // row when it is first seen). Nothing: it is a function that nobody can look into.
  std::optional<RandomFill> fill(const Fans& fans, uint64_t key = 0) const;

  // What it was made of. Null: it is a function of the program's.
  const std::shared_ptr<const InitializerOptions>& options() const { return options_; }

 private:
  std::shared_ptr<const InitializerOptions> options_;
  Function make_;
  std::function<RandomFill(const Fans&)> choose_;
};

Initializer zeros();
Initializer ones();
Initializer constant(double value);
Initializer uniform(double low = -0.05, double high = 0.05);
Initializer normal(double mean = 0, double stddev = 0.05);
// Of a normal distribution the numbers within two `stddev` of the mean; their own standard
// deviation is 0.88 of it.
Initializer truncated_normal(double mean = 0, double stddev = 0.05);
Initializer glorot_uniform();  // Glorot and Bengio 2010: ±sqrt(6 / (in + out))
Initializer he_uniform();      // He et al. 2015: ±sqrt(6 / in)
Initializer lecun_uniform();   // LeCun et al. 1998: ±sqrt(3 / in)
// Truncated at two standard deviations, and scaled so that the variance is 2 / (in + out), 2 / in
// and 1 / in.
Initializer glorot_normal();
Initializer he_normal();
Initializer lecun_normal();
Initializer fan_in_uniform();  // ±sqrt(1 / in): PyTorch's default for kernels and biases
enum class FanMode : uint8_t { kFanIn, kFanOut, kFanAverage };
enum class Distribution : uint8_t { kTruncatedNormal, kUntruncatedNormal, kUniform };
// Of the variance `scale` / fan.
Initializer variance_scaling(double scale = 1, FanMode mode = FanMode::kFanIn,
                             Distribution distribution = Distribution::kTruncatedNormal);
// The last axis against all others as one, a matrix whose rows or columns (the fewer of them) are
// orthogonal and of length `gain` (Saxe et al. 2014). Of at least two axes.
Initializer orthogonal(double gain = 1);
Initializer identity(double gain = 1);  // of matrices

// The key of a variable.
uint64_t initializer_key(uint64_t seed, std::string_view variable);

// An initialiser as a job file names it: "glorot_uniform", with options of its own.
class InitializerOptions : public Component {
 public:
  static constexpr std::string_view kFamily = "initializer";
  virtual Initializer make() const = 0;
};
// As an option of a layer.
void describe(OptionVisitor& visitor, const OptionInfo& info, Initializer& initializer);
void register_core_initializers(Catalog<InitializerOptions>& catalog);

}  // namespace trireme::nn

// A generative adversarial network with a training step of its own: a generator makes points of a
// ring out of noise, a judge tells them from true ones. gan [--steps N]
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/nn/functional.h"
#include "core/nn/losses.h"
#include "core/nn/optimizers.h"
#include "core/nn/train_step.h"
#include "core/ops/ops.h"

using namespace trireme;

namespace {

constexpr int64_t kBatch = 128;

Tensor draw_noise(PhiloxGenerator& random) {
  Tensor noise(DType::kFloat32, {kBatch, 2});
  for (float& x : noise.flat<float>()) x = random.normal();
  return noise;
}

// On a circle of radius 2, give or take 0.05.
Tensor draw_ring(PhiloxGenerator& random) {
  Tensor points(DType::kFloat32, {kBatch, 2});
  const auto xy = points.flat<float>();
  for (size_t i = 0; i < xy.size(); i += 2) {
    const float angle = 6.2831853F * random.uniform(), radius = 2 + 0.05F * random.normal();
    xy[i] = radius * std::cos(angle);
    xy[i + 1] = radius * std::sin(angle);
  }
  return points;
}

Value cross_entropy(Value logits, double label) {
  return nn::binary_cross_entropy().function(logits, ops::fill_like(logits, label));
}

// The mean distance of the points from the ring.
double distance(const Tensor& points) {
  double sum = 0;
  const auto xy = points.flat<float>();
  for (size_t i = 0; i < xy.size(); i += 2) sum += std::fabs(std::hypot(xy[i], xy[i + 1]) - 2);
  return 2 * sum / static_cast<double>(xy.size());
}

}  // namespace

int main(int argc, char** argv) try {
  const bool is_given = argc == 3 && std::strcmp(argv[1], "--steps") == 0;
  const int64_t steps = is_given ? std::atoll(argv[2]) : 5000;
  const auto relu = nn::Activation::kRelu;
  const auto noise = nn::input({2}), real = nn::input({2});
  const auto made = nn::dense({.units = 64, .activation = relu, .name = "generator_1"})(noise);
  const auto fake = nn::dense({.units = 2, .name = "generator_3"})(
      nn::dense({.units = 64, .activation = relu, .name = "generator_2"})(made));
  const auto first = nn::dense({.units = 64, .activation = relu, .name = "judge_1"});
  const auto second = nn::dense({.units = 64, .activation = relu, .name = "judge_2"});
  const auto third = nn::dense({.units = 1, .name = "judge_3"});
  const auto judge = [&](const nn::LayerOutput& x) { return third(second(first(x))); };
  nn::Model model({noise, real}, {fake, judge(fake), judge(real)}, {.name = "gan"});
  model.build();

  using Values = std::span<const Value>;
  nn::TrainStep step(
      model,
      {{.name = "judge",
        .loss = [](Values out,
                   Values) { return cross_entropy(out[1], 0) + cross_entropy(out[2], 1); },
        .optimizer = std::make_shared<nn::Adam>(nn::constant_rate(1e-3), rules::Adam{.beta1 = 0.5}),
        .variables = "judge_.*"},
       {.name = "generator",
        .loss = [](Values out, Values) { return cross_entropy(out[1], 1); },
        .optimizer = std::make_shared<nn::Adam>(nn::constant_rate(1e-3), rules::Adam{.beta1 = 0.5}),
        .variables = "generator_.*"}});
  PhiloxGenerator random(1);
  const std::vector<Tensor> test = {draw_noise(random), draw_ring(random)};
  std::printf("mean distance from the ring before %.3f\n", distance(model.predict_all(test)[0]));
  for (int64_t i = 0; i < steps; ++i) {
    data::Element batch = {draw_noise(random), draw_ring(random)};
    const std::vector<double> losses = step.run(batch);
    if ((i + 1) % 1000 == 0) {
      std::printf("step %lld: judge %.3f, generator %.3f\n", static_cast<long long>(i + 1),
                  losses[0], losses[1]);
    }
  }
  std::printf("mean distance from the ring after %.3f\n", distance(model.predict_all(test)[0]));
  return 0;
} catch (const Error& error) {
  std::fprintf(stderr, "gan: %s\n", error.what());
  return error.exit_code();
}

// Values that compute at once: a small network is fitted to a curve by a loop of its own.
//
//   build/release/bin/eager            prints the loss as it falls
#include <cmath>
#include <iostream>
#include <vector>

#include "core/base/philox.h"
#include "core/eager/function.h"
#include "core/eager/ops.h"
#include "core/eager/tape.h"

namespace eager = trireme::eager;
using eager::Value;
using trireme::Tensor;

namespace {

Value random_values(const trireme::Shape& shape, float scale, uint64_t seed) {
  Tensor tensor(trireme::DType::kFloat32, shape);
  trireme::PhiloxGenerator random(seed);
  for (float& x : tensor.flat<float>()) x = scale * random.normal();
  return Value(tensor);
}

}  // namespace

int main() {
  // z = x·y + sin(x), and dz/dx.
  {
    const Value x(3.0), y(2.0);
    eager::Tape tape;
    tape.watch(x);
    const Value z = x * y + eager::sin(x);
    std::cout << "z = " << z << ", dz/dx = " << tape.gradient(z, x) << "\n";
  }

  // sin(3x) at 64 points, by 1-32-1.
  Tensor points(trireme::DType::kFloat32, {64, 1}), curve(trireme::DType::kFloat32, {64, 1});
  for (size_t i = 0; i < 64; ++i) {
    points.flat<float>()[i] = static_cast<float>(i) / 32 - 1;
    curve.flat<float>()[i] = std::sin(3 * points.flat<float>()[i]);
  }
  const Value x(points), y(curve);
  std::vector<Value> weights = {random_values({1, 32}, 1, 1), random_values({32}, 0.5f, 2),
                                random_values({32, 1}, 0.2f, 3), random_values({1}, 0, 4)};

  // One step as a graph: the loss, and the weights after it.
  auto step = eager::function([](const Value& in, const Value& target, const Value& w,
                                 const Value& b, const Value& v, const Value& c) {
    std::vector<Value> variables = {w, b, v, c};
    eager::Tape tape;
    for (const Value& variable : variables) tape.watch(variable);
    const Value hidden = eager::tanh(eager::matmul(in, w) + b);
    const Value loss = eager::mean(eager::square(eager::matmul(hidden, v) + c - target));
    const std::vector<Value> gradients = tape.gradient(loss, variables);
    std::vector<Value> results = {loss};
    for (size_t i = 0; i < variables.size(); ++i) {
      results.push_back(variables[i] - 0.1 * gradients[i]);
    }
    return results;
  });
  double loss = 0;
  for (int i = 0; i <= 3000; ++i) {
    const std::vector<Value> results = step(x, y, weights[0], weights[1], weights[2], weights[3]);
    weights.assign(results.begin() + 1, results.end());
    loss = results[0].item();
    if (i % 500 == 0) std::cout << "step " << i << ": loss " << loss << "\n";
  }
  return loss < 0.02 ? 0 : 1;
}

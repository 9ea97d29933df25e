#include "benchmarks/eager_bench.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <vector>

#include "core/base/parallel.h"
#include "core/device/kernel.h"
#include "core/eager/ops.h"
#include "core/eager/tape.h"
#include "core/runtime/built_in_kernels.h"

namespace trireme {
namespace {

constexpr int kCalls = 2000;  // in each of the repetitions

double median_ns(int repetitions, const std::function<void()>& calls) {
  calls();  // prepares what is called
  std::vector<double> times;
  for (int i = 0; i < repetitions; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    calls();
    const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - begin;
    times.push_back(time.count() / kCalls);
  }
  std::ranges::nth_element(times, times.begin() + repetitions / 2);
  return times[static_cast<size_t>(repetitions / 2)];
}

// `node`'s kernel by itself, on inputs that are there.
double kernel_ns(int repetitions, const Node& node, std::vector<Tensor> inputs) {
  const auto kernels = built_in_kernels();
  std::vector<TensorType> types, outputs;
  std::vector<void*> in, out;
  for (Tensor& input : inputs) {
    types.push_back(input.type());
    in.push_back(input.raw());
  }
  Tensor result(node.output_type().dtype, node.output_type().shape);
  outputs.push_back(result.type());
  out.push_back(result.raw());
  const PreparedKernel kernel = (*kernels->find(node.op().name, "cpu", kernel_dtype(node)))(
      spec_of(node, *kernels, types, outputs));
  const auto scratch = allocate_host(std::max<size_t>(kernel.scratch_bytes, 1));
  return median_ns(repetitions, [&] {
    for (int i = 0; i < kCalls; ++i) {
      kernel.run({.inputs = in.data(),
                  .outputs = out.data(),
                  .scratch = scratch->data(),
                  .input_count = static_cast<int>(in.size()),
                  .output_count = 1});
    }
  });
}

struct Case {
  const char* name;
  std::vector<Shape> inputs;
  std::function<eager::Value(const std::vector<eager::Value>&)> call;
  std::function<Value(const std::vector<Value>&)> build;
};

std::vector<Case> cases() {
  using Values = std::vector<eager::Value>;
  using Nodes = std::vector<Value>;
  return {
      {"add_scalar",
       {{}, {}},
       [](const Values& x) { return x[0] + x[1]; },
       [](const Nodes& x) { return x[0] + x[1]; }},
      {"multiply_16",
       {{16}, {16}},
       [](const Values& x) { return x[0] * x[1]; },
       [](const Nodes& x) { return x[0] * x[1]; }},
      {"tanh_64",
       {{64}},
       [](const Values& x) { return eager::tanh(x[0]); },
       [](const Nodes& x) { return ops::tanh(x[0]); }},
      {"matmul_8x8",
       {{8, 8}, {8, 8}},
       [](const Values& x) { return eager::matmul(x[0], x[1]); },
       [](const Nodes& x) { return ops::matmul(x[0], x[1]); }},
      {"sum_16x16",
       {{16, 16}},
       [](const Values& x) { return eager::sum(x[0], {1}); },
       [](const Nodes& x) { return ops::sum(x[0], {1}); }},
  };
}

}  // namespace

void bench_eager(const EagerBenchOptions& options, std::ostream& out) {
  for (const Case& now : cases()) {
    std::vector<Tensor> tensors;
    std::vector<eager::Value> values;
    std::vector<Value> nodes;
    Graph graph(core_op_table());
    for (const Shape& shape : now.inputs) {
      tensors.push_back(Tensor::zeros(DType::kFloat32, shape));
      for (float& x : tensors.back().flat<float>()) x = 0.5f;
      values.emplace_back(tensors.back());
      nodes.push_back(ops::placeholder(graph, "x", DType::kFloat32, shape));
    }
    const double kernel = kernel_ns(options.repetitions, *now.build(nodes).node, tensors);
    const double op = median_ns(options.repetitions, [&] {
      for (int i = 0; i < kCalls; ++i) now.call(values);
    });
    const double recorded = median_ns(options.repetitions, [&] {
      const eager::Tape tape;
      for (int i = 0; i < kCalls; ++i) now.call(values);
    });
    const double watched = median_ns(options.repetitions, [&] {
      eager::Tape tape;
      tape.watch(values[0]);
      for (int i = 0; i < kCalls; ++i) now.call(values);
    });
    nlohmann::ordered_json line;
    const auto rounded = [](double ns) { return std::round(ns * 10) / 10; };
    line["case"] = now.name;
    line["op_ns"] = rounded(op);
    line["kernel_ns"] = rounded(kernel);
    line["dispatch_ns"] = rounded(op - kernel);
    line["beside_a_tape_ns"] = rounded(recorded);
    line["recorded_ns"] = rounded(watched);
    out << line.dump() << std::endl;
  }
}

}  // namespace trireme

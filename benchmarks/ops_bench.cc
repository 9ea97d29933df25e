#include "benchmarks/ops_bench.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/base/philox.h"
#include "core/ops/ops.h"
#include "core/runtime/device_options.h"
#include "core/runtime/session.h"
#include "worker/program_tables.h"

namespace trireme {
namespace {

// The inputs of a case, drawn once; the graph's own time is only that of the op. On a GPU they are
// variables: what is fed would be copied there each time.
class CaseGraph {
 public:
  CaseGraph(Graph& graph, bool has_variables) : graph_(graph), has_variables_(has_variables) {}
  Value input(const Shape& shape) {
    Tensor tensor(DType::kFloat32, shape);
    PhiloxGenerator random(1, count());
    for (float& v : tensor.flat<float>()) v = random.uniform(-1, 1);
    return feed(tensor);
  }
  Value integers(const Shape& shape, int64_t below) {
    Tensor tensor(DType::kInt64, shape);
    PhiloxGenerator random(2, count());
    for (int64_t& v : tensor.flat<int64_t>())
      v = static_cast<int64_t>(random.below(static_cast<uint64_t>(below)));
    return feed(tensor);
  }
  std::vector<Value> values;
  std::vector<Tensor> feeds;
  std::map<std::string, Tensor> variables;

 private:
  size_t count() const { return feeds.size() + variables.size(); }
  Value feed(const Tensor& tensor) {
    const std::string name = str_cat("input", count() + 1);
    if (has_variables_) {
      variables.emplace(name, tensor);
      return ops::variable(graph_, name, tensor.dtype(), tensor.shape());
    }
    feeds.push_back(tensor);
    values.push_back(ops::placeholder(graph_, name, tensor.dtype(), tensor.shape()));
    return values.back();
  }
  Graph& graph_;
  const bool has_variables_;
};

struct OpsCase {
  std::string name;
  double flops;  // of one run; 0: it moves memory
  double bytes;  // read and written at least
  std::function<Value(CaseGraph&)> build;
};

OpsCase matmul_case(int64_t m, int64_t k, int64_t n, bool transpose_a, bool transpose_b) {
  const auto [mf, kf, nf] =
      std::tuple(static_cast<double>(m), static_cast<double>(k), static_cast<double>(n));
  return {str_cat("matmul_", m, "x", k, "x", n, transpose_a ? "_ta" : "", transpose_b ? "_tb" : ""),
          2 * mf * kf * nf, 4 * (mf * kf + kf * nf + mf * nf), [=](CaseGraph& g) {
            const Value a = g.input(transpose_a ? Shape{k, m} : Shape{m, k});
            const Value b = g.input(transpose_b ? Shape{n, k} : Shape{k, n});
            return ops::matmul(a, b, transpose_a, transpose_b);
          }};
}

OpsCase conv_case(const std::string& name, const Shape& input, const Shape& filter,
                  ops::Padding padding) {
  const bool same = padding == ops::Padding::kSame;
  const auto rows = static_cast<double>(same ? input[1] : input[1] - filter[0] + 1);
  const auto columns = static_cast<double>(same ? input[2] : input[2] - filter[1] + 1);
  const double outputs =
      static_cast<double>(input[0]) * rows * columns * static_cast<double>(filter[3]);
  return {name, 2 * outputs * static_cast<double>(filter[0] * filter[1] * filter[2]),
          4 * (static_cast<double>(input.elements()) + outputs), [=](CaseGraph& g) {
            return ops::conv2d(g.input(input), g.input(filter), {.padding = padding});
          }};
}

std::vector<OpsCase> all_cases() {
  constexpr double kMillion = 1 << 20;
  std::vector<OpsCase> cases;
  for (const auto& [m, k, n] : {std::tuple<int64_t, int64_t, int64_t>{128, 784, 128},
                                {128, 2048, 2048},
                                {128, 4096, 512}}) {
    cases.push_back(matmul_case(m, k, n, false, false));
    cases.push_back(matmul_case(k, m, n, true, false));
    cases.push_back(matmul_case(m, n, k, false, true));
  }
  cases.push_back(conv_case("conv_lenet1", {128, 32, 32, 1}, {5, 5, 1, 6}, ops::Padding::kValid));
  cases.push_back(conv_case("conv_lenet2", {128, 14, 14, 6}, {5, 5, 6, 16}, ops::Padding::kValid));
  cases.push_back(conv_case("conv_cifar1", {128, 32, 32, 3}, {3, 3, 3, 32}, ops::Padding::kSame));
  cases.push_back(conv_case("conv_cifar2", {128, 16, 16, 32}, {3, 3, 32, 64}, ops::Padding::kSame));
  const Shape million{1024, 1024};
  cases.push_back({"add_1m", 0, 12 * kMillion,
                   [=](CaseGraph& g) { return g.input(million) + g.input(million); }});
  cases.push_back({"add_row_1m", 0, 8 * kMillion,
                   [=](CaseGraph& g) { return g.input(million) + g.input({1024}); }});
  cases.push_back(
      {"relu_1m", 0, 8 * kMillion, [=](CaseGraph& g) { return ops::relu(g.input(million)); }});
  cases.push_back(
      {"tanh_1m", 0, 8 * kMillion, [=](CaseGraph& g) { return ops::tanh(g.input(million)); }});
  cases.push_back({"sum_rows_1m", 0, 4 * kMillion,
                   [=](CaseGraph& g) { return ops::sum(g.input(million), {0}); }});
  cases.push_back({"sum_columns_1m", 0, 4 * kMillion,
                   [=](CaseGraph& g) { return ops::sum(g.input(million), {1}); }});
  cases.push_back({"transpose_1m", 0, 8 * kMillion,
                   [=](CaseGraph& g) { return ops::transpose(g.input(million)); }});
  cases.push_back({"max_pool_28x28x6", 0, 4 * 1.25 * 128 * 28 * 28 * 6, [](CaseGraph& g) {
                     return ops::max_pool2d(g.input({128, 28, 28, 6}));
                   }});
  cases.push_back({"softmax_128x1000", 0, 8 * 128 * 1000, [](CaseGraph& g) {
                     return ops::softmax(g.input({128, 1000}));
                   }});
  cases.push_back(
      {"embedding_4096_of_100000x64", 0, 8 * 4096 * 64, [](CaseGraph& g) {
         return ops::embedding_lookup(g.input({100000, 64}), g.integers({4096}, 100000));
       }});
  return cases;
}

}  // namespace

void bench_ops(const OpsBenchOptions& options, std::ostream& out) {
  set_compute_threads(options.threads);
  const auto devices = make_devices({.kind = options.device});
  for (const OpsCase& op_case : all_cases()) {
    if (op_case.name.find(options.filter) == std::string::npos) continue;
    Graph graph(core_tables().ops);
    CaseGraph inputs(graph, options.device == "gpu");
    const Value result = op_case.build(inputs);
    Session session(graph, {.devices = devices});
    for (const auto& [name, value] : inputs.variables) session.variables().set(name, value);
    // One element is fetched, so that the copy to the host does not count.
    const Value probe = ops::slice(ops::reshape(result, {-1}), {0}, {1});
    auto function = session.function(inputs.values, {probe});
    std::vector<Tensor> results;
    std::vector<double> us;
    for (int i = -3; i < options.repetitions; ++i) {
      const auto start = std::chrono::steady_clock::now();
      function->run(inputs.feeds, results);
      const std::chrono::duration<double, std::micro> elapsed =
          std::chrono::steady_clock::now() - start;
      if (i >= 0) us.push_back(elapsed.count());
    }
    std::ranges::sort(us);
    const double median = us[us.size() / 2];
    nlohmann::ordered_json line = {{"case", op_case.name},
                                   {"device", options.device},
                                   {"threads", options.threads},
                                   {"us", median},
                                   {"min_us", us.front()}};
    if (op_case.flops > 0) {
      line["gflop_s"] = op_case.flops / median / 1e3;
    } else {
      line["gb_s"] = op_case.bytes / median / 1e3;
    }
    line["arena_mib"] = static_cast<double>(function->statistics().arena_bytes) / (1 << 20);
    out << line.dump() << std::endl;
  }
}

}  // namespace trireme

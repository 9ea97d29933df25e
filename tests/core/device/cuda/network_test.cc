// What the kernels of networks promise beyond agreeing with reference: the CPU's random numbers,
// sums that do not depend on scheduling, errors that name the row, and how few launches they take.
#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/ops/ops.h"
#include "core/runtime/session.h"
#include "tests/support/cuda_devices.h"
#include "tests/support/evaluate.h"
#include "tests/support/fake_cuda/fake_cuda.h"
#include "tests/support/updates.h"

namespace trireme::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

using Build = std::function<std::vector<Value>(Graph&)>;

// A model's part on the GPU and on the CPU, with the same feeds.
class CudaNetworkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    TRIREME_NEEDS_GPU();
    fake_ = fake_cuda::fake_cuda();
    if (fake_ != nullptr) fake_->take_complaints();
  }
  void TearDown() override {
    if (fake_ == nullptr) return;
    EXPECT_THAT(fake_->take_complaints(), IsEmpty());
  }

  static std::vector<Tensor> run(const Build& build, const std::vector<Tensor>& feeds,
                                 SessionOptions options) {
    Graph graph(core_op_table());
    std::vector<std::pair<Value, Tensor>> fed;
    for (const Tensor& feed : feeds) {
      fed.emplace_back(ops::placeholder(graph, "x", feed.dtype(), feed.shape()), feed);
    }
    const std::vector<Value> fetches = build(graph);
    Session session(graph, std::move(options));
    return session.run(fed, fetches);
  }
  static std::vector<Tensor> on_gpu(const Build& build, const std::vector<Tensor>& feeds) {
    return run(build, feeds, {.devices = shared_gpu_set()});
  }
  static std::vector<Tensor> on_cpu(const Build& build, const std::vector<Tensor>& feeds) {
    return run(build, feeds, {});
  }
  static Value input(Graph& graph, int i) {
    return graph.nodes()[static_cast<size_t>(i)]->output();
  }

  fake_cuda::FakeCuda* fake_ = nullptr;  // null on a real card, which does not count
};

Tensor key(int64_t step, int64_t example) { return Tensor::from<int64_t>({2}, {step, example}); }

TEST_F(CudaNetworkTest, MasksAndUniformsAreThoseOfTheCpu) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16}) {
    for (const Shape& shape : {Shape{64, 48}, Shape{33, 3, 7}, Shape{9}}) {
      const Build build = [](Graph& g) {
        return std::vector<Value>{ops::dropout(input(g, 1), input(g, 0), 0.3, 77),
                                  ops::random_uniform(input(g, 0), input(g, 1), -4)};
      };
      const std::vector<Tensor> feeds = {key(12345678901, 987654),
                                         random_tensor(dtype, shape, 1, 2, 3)};
      const auto gpu = on_gpu(build, feeds), cpu = on_cpu(build, feeds);
      for (size_t i = 0; i < cpu.size(); ++i) EXPECT_EQ(difference(gpu[i], cpu[i], 0), "") << i;
    }
  }
}

// Rows 4 … 7 of a batch, drawn by another worker that has only those.
TEST_F(CudaNetworkTest, AWorkersShareOfTheBatchDrawsItsShareOfTheNumbers) {
  const Build build = [](Graph& g) {
    return std::vector<Value>{ops::random_normal(input(g, 0), input(g, 1), 5)};
  };
  const Tensor all = on_gpu(build, {key(3, 100), Tensor::zeros(DType::kFloat32, {8, 6})})[0];
  const Tensor share = on_gpu(build, {key(3, 104), Tensor::zeros(DType::kFloat32, {4, 6})})[0];
  for (int64_t i = 0; i < share.elements(); ++i) {
    EXPECT_EQ(share.as_double(i), all.as_double(24 + i)) << i;
  }
}

TEST_F(CudaNetworkTest, ALabelThatIsNoClassIsNamed) {
  const Build build = [](Graph& g) {
    return std::vector<Value>{ops::sparse_softmax_cross_entropy(input(g, 0), input(g, 1))};
  };
  for (const int64_t wrong : {int64_t{10}, int64_t{-1}}) {
    const std::vector<Tensor> feeds = {random_tensor(DType::kFloat32, {4, 10}, -1, 1, 1),
                                       Tensor::from<int64_t>({4}, {3, 0, wrong, 9})};
    EXPECT_THAT(
        [&] { on_gpu(build, feeds); },
        ThrowsMessage<Error>(HasSubstr(str_cat("label ", wrong, " of row 2 is not in [0, 10)"))));
  }
}

TEST_F(CudaNetworkTest, ARowThatIsNotThereIsNamed) {
  const std::vector<Tensor> feeds = {random_tensor(DType::kFloat32, {5, 3}, -1, 1, 1),
                                     Tensor::from<int32_t>({4}, {4, 0, 5, 1}),
                                     random_tensor(DType::kFloat32, {4, 3}, -1, 1, 2)};
  const std::string expected = "index 5 at position 2 is not in [0, 5)";
  EXPECT_THAT(
      [&] {
        on_gpu([](Graph& g) { return std::vector{ops::gather(input(g, 0), input(g, 1))}; }, feeds);
      },
      ThrowsMessage<Error>(HasSubstr(expected)));
  EXPECT_THAT(
      [&] {
        on_gpu(
            [](Graph& g) {
              return std::vector{ops::scatter_add(input(g, 1), input(g, 2), input(g, 0))};
            },
            feeds);
      },
      ThrowsMessage<Error>(HasSubstr(expected)));
}

// One among so many that they are sorted.
TEST_F(CudaNetworkTest, ARowThatIsNotThereIsNamedAmongMany) {
  Tensor indices = random_tensor(DType::kInt64, {5000}, 0, 700, 1);
  indices.flat<int64_t>()[4321] = 700;
  const std::vector<Tensor> feeds = {Tensor::zeros(DType::kFloat32, {700, 3}), indices,
                                     random_tensor(DType::kFloat32, {5000, 3}, -1, 1, 2)};
  EXPECT_THAT(
      [&] {
        on_gpu(
            [](Graph& g) {
              return std::vector{ops::scatter_add(input(g, 1), input(g, 2), input(g, 0))};
            },
            feeds);
      },
      ThrowsMessage<Error>(HasSubstr("index 700 at position 4321 is not in [0, 700)")));
}

// The fake runs blocks in another order each time.
TEST_F(CudaNetworkTest, SumsHaveTheSameBitsInEveryRun) {
  const auto check = [](const Build& build, const std::vector<Tensor>& feeds) {
    const auto first = on_gpu(build, feeds);
    for (int i = 0; i < 3; ++i) {
      const auto again = on_gpu(build, feeds);
      for (size_t k = 0; k < first.size(); ++k) EXPECT_EQ(difference(again[k], first[k], 0), "");
    }
  };
  for (const int64_t count : {500, 5000}) {
    check(
        [](Graph& g) {
          return std::vector{ops::scatter_add(input(g, 0), input(g, 1), input(g, 2))};
        },
        {random_tensor(DType::kInt32, {count}, 0, 9, 1),
         random_tensor(DType::kFloat32, {count, 8}, -1, 1, 2),
         Tensor::zeros(DType::kFloat32, {9, 8})});
  }
  check(
      [](Graph& g) {
        const auto y = ops::batch_norm(input(g, 0), input(g, 1), input(g, 2), 1e-3);
        return std::vector{y.y, y.mean, y.variance};
      },
      {random_tensor(DType::kFloat32, {40001, 8}, -1, 1, 1),
       random_tensor(DType::kFloat32, {8}, 1, 2, 2), random_tensor(DType::kFloat32, {8}, 1, 2, 3)});
}

// A model of `variables` layers with momentum: one step.
struct Momentum {
  Graph graph{core_op_table()};
  std::unique_ptr<Session> session;
  std::unique_ptr<Function> function;
  std::vector<Tensor> results;

  Momentum(int variables, SessionOptions options) {
    const Value x = ops::placeholder(graph, "x", DType::kFloat32, {40});
    const Value lr = ops::placeholder(graph, "lr", DType::kFloat32, {});
    std::vector<Node*> updates;
    for (int i = 0; i < variables; ++i) {
      const Value w = ops::variable(graph, str_cat("w", i), DType::kFloat32, {40});
      const Value v = ops::variable(graph, str_cat("v", i), DType::kFloat32, {40});
      updates.push_back(&testing::apply_sgd(w, v, lr, x - w, {.momentum = 0.9}));
    }
    session = std::make_unique<Session>(graph, std::move(options));
    for (int i = 0; i < variables; ++i) {
      session->variables().set(str_cat("w", i), random_tensor(DType::kFloat32, {40}, -1, 1, 5));
      session->variables().set(str_cat("v", i), Tensor::zeros(DType::kFloat32, {40}));
    }
    function = session->function({x, lr}, {ops::sum(x)}, updates);
  }
  void step(uint64_t seed) {
    function->run(
        std::vector{random_tensor(DType::kFloat32, {40}, -1, 1, seed), Tensor::scalar<float>(0.1f)},
        results);
  }
};

TEST_F(CudaNetworkTest, AllVariablesAreUpdatedByOneLaunch) {
  constexpr int kVariables = 30, kSteps = 4;
  Momentum gpu(kVariables, {.devices = shared_gpu_set()}), cpu(kVariables, {});
  if (fake_ != nullptr) fake_->reset_statistics();
  for (uint64_t i = 0; i < kSteps; ++i) {
    gpu.step(i);
    cpu.step(i);
  }
  if (fake_ != nullptr) {
    int64_t updates = 0;
    for (const auto& [name, count] : fake_->statistics().launches) {
      if (name.starts_with("update_")) updates += count;
    }
    EXPECT_EQ(updates, kSteps);
  }
  for (int i = 0; i < kVariables; ++i) {
    for (const char* name : {"w", "v"}) {
      EXPECT_EQ(difference(gpu.session->variables().get(str_cat(name, i)),
                           cpu.session->variables().get(str_cat(name, i)), 1e-6),
                "")
          << name << i;
    }
  }
}

}  // namespace
}  // namespace trireme::testing

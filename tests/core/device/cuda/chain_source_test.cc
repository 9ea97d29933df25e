// Generated kernels compile: NVRTC needs no card. What they compute is tested where they run
// (ops_test.cc, chain_test.cc).
#include "core/device/cuda/chain_source.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/device/cuda/kernel.h"
#include "core/ops/ops.h"

namespace trireme::cuda {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const DType kDTypes[] = {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                         DType::kInt32,   DType::kInt64,    DType::kUInt8,   DType::kBool};

const OpTable& table() {
  static const std::shared_ptr<const OpTable> ops = core_op_table();
  return *ops;
}

// Input 0 is of the outputs' shape, `whole`; inputs 1 and 2 (of bool) may be broadcast to it. Every
// op that `dtype` has is a step and an output.
Chain all_ops(DType dtype, const Shape& whole) {
  Chain chain{.input_count = 3, .steps = {}, .outputs = {}};
  const auto add = [&](const std::string& op, std::vector<int> inputs, Attributes attributes = {}) {
    chain.outputs.push_back(chain.input_count + static_cast<int>(chain.steps.size()));
    chain.steps.push_back({op, std::move(inputs), std::move(attributes)});
  };
  for (const std::string& op : table().names()) {
    if (!has_chain_op(table().find(op), dtype)) continue;
    if (op == "Select") {
      add(op, {2, 0, 1});
    } else if (op == "Cast") {
      for (DType to : kDTypes) add(op, {0}, {{"dtype", to}});
    } else if (op == "FillLike") {
      for (double value : {0.0, -1.5, 1e30, HUGE_VAL, -HUGE_VAL}) {
        if (is_floating(dtype) || std::abs(value) < 2) add(op, {0}, {{"value", value}});
      }
    } else if (op == "BroadcastLike") {
      add(op, {1, 0}, {{"average", false}});
      if (dtype != DType::kBool) add(op, {1, 0}, {{"average", true}});
    } else if (op == "BroadcastTo") {
      add(op, {1}, {{"shape", Ints(whole.begin(), whole.end())}});
    } else if (table().find(op).max_inputs == 1) {
      add(op, {0});
    } else if (op != "BiasAdd" && op != "SigmoidCrossEntropy") {  // of one shape
      add(op, {0, 1});
    }
  }
  return chain;
}

ChainSource generate(const Chain& chain, const std::vector<TensorType>& inputs) {
  return generate_chain(chain, chain_types(chain, inputs, table()), table());
}

bool is_compiler_missing(std::string& why) {
  try {
    nvrtc();
    return false;
  } catch (const Error& error) {
    why = error.what();
    return true;
  }
}

TEST(ChainSourceTest, HasAFormulaForEveryElementwiseOp) {
  for (const std::string& name : table().names()) {
    const OpDef& op = table().find(name);
    const bool has_any =
        std::ranges::any_of(kDTypes, [&](DType dtype) { return has_chain_op(op, dtype); });
    EXPECT_EQ(has_any, op.traits.is_elementwise) << name;
  }
}

TEST(ChainSourceTest, CompilesEveryOpForEveryDType) {
  std::string why;
  if (is_compiler_missing(why)) GTEST_SKIP() << why;
  for (DType dtype : kDTypes) {
    const Shape whole{4, 6, 8};
    // Ways to broadcast in turn, so that each is seen with some dtypes.
    const Shape parts[] = {whole, {8}, {}, {6, 1}, {4, 1, 8}};
    const Shape& part = parts[static_cast<size_t>(dtype) % std::size(parts)];
    const ChainSource source =
        generate(all_ops(dtype, whole), {{dtype, whole}, {dtype, part}, {DType::kBool, {4, 1, 1}}});
    for (int card : {80, 90}) {
      ASSERT_NO_THROW(EXPECT_NE(compile_source(card, source.name, source.text), ""));
    }
  }
}

// Of an op with two inputs of one shape everything is floats, so that nothing is computed in f64 by
// mistake: that is slow on a GPU.
TEST(ChainSourceTest, FloatsStayFloats) {
  std::string why;
  if (is_compiler_missing(why)) GTEST_SKIP() << why;
  const Shape shape{1001};
  Chain chain = all_ops(DType::kFloat32, shape);
  // CUDA's own sinf, cosf and tanf reduce large angles in f64.
  const auto is_double = [](const Chain::Step& step) {
    return step.op == "Sin" || step.op == "Cos" || step.op == "Tan" ||
           (step.op == "Cast" && step.attributes.get<DType>("dtype") == DType::kFloat64);
  };
  EXPECT_EQ(std::erase_if(chain.steps, is_double), 4u);
  chain.outputs.resize(chain.steps.size());
  const ChainSource source =
      generate(chain, {{DType::kFloat32, shape}, {DType::kFloat32, shape}, {DType::kBool, shape}});
  // No such card: what is made is PTX, which can be read.
  EXPECT_THAT(compile_source(1, source.name, source.text), Not(HasSubstr(".f64")));
}

TEST(ChainSourceTest, ReadsWholeVectorsWhereRowsAllowIt) {
  const Chain add = parse_chain("Add(0,1) -> 2", 2);
  const auto width = [&](DType dtype, const Shape& a, const Shape& b) {
    return generate(add, {{dtype, a}, {dtype, b}}).per_thread;
  };
  EXPECT_EQ(width(DType::kFloat32, {7, 9}, {7, 9}), 4);
  EXPECT_EQ(width(DType::kBFloat16, {7, 9}, {7, 9}), 8);
  EXPECT_EQ(width(DType::kBFloat16, {7, 9}, {}), 8);
  EXPECT_EQ(width(DType::kBFloat16, {7, 12}, {12}), 4);
  EXPECT_EQ(width(DType::kBFloat16, {7, 9}, {9}), 1);
  EXPECT_EQ(width(DType::kBFloat16, {8, 12}, {8, 1}), 4);
  EXPECT_EQ(width(DType::kFloat64, {4, 16}, {16}), 2);
}

// A smaller last batch must not cost a compilation.
TEST(ChainSourceTest, TheBatchIsNoPartOfTheSource) {
  const Chain chain = parse_chain("Add(0,1) Relu(2) -> 3", 2);
  const auto text = [&](int64_t batch, const Shape& bias) {
    return generate(chain, {{DType::kFloat32, {batch, 28, 28, 16}}, {DType::kFloat32, bias}}).text;
  };
  EXPECT_EQ(text(128, {16}), text(96, {16}));
  EXPECT_EQ(text(128, {28, 1, 16}), text(96, {28, 1, 16}));
  EXPECT_NE(text(128, {16}), text(128, {28, 1, 16}));
}

TEST(ChainSourceTest, CountsInLongNumbersWhereItMust) {
  const Chain chain = parse_chain("Relu(0) -> 1", 1);
  const auto text = [&](int64_t size) { return generate(chain, {{DType::kInt32, {size}}}).text; };
  EXPECT_THAT(text(1000), HasSubstr("typedef unsigned int Index"));
  EXPECT_THAT(text(int64_t{3} << 30), HasSubstr("typedef unsigned long long Index"));
}

}  // namespace
}  // namespace trireme::cuda

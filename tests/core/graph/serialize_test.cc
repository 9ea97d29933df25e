#include "core/graph/serialize.h"

#include <gmock/gmock.h>

#include <functional>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/graph/print.h"
#include "core/ops/ops.h"
#include "proto/graph.pb.h"

namespace trireme {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

void build(Graph& graph) {
  Value x = ops::placeholder(graph, "x", DType::kFloat32, {-1, 4, 4, 3});
  Value w = ops::variable(graph, "w", DType::kFloat32, {3, 3, 3, 2});
  Value y = ops::conv2d(x, w, {.padding = ops::Padding::kSame});
  Value z = ops::mean(y, {1, 2}) * ops::constant(graph, Tensor::from<float>({2}, {0.1f, -2.5f}));
  z.node->set_device("/device:CPU:1");
  z.node->add_control_input(y.node);
  Value b = ops::constant(graph, Tensor::from<bool>({2}, {true, false}), "flags");
  ops::logical_not(b);
  ops::constant(graph, Tensor::from<std::string>({2}, {"a", std::string("b\0c\xff", 4)}), "words");
  ops::cast(z, DType::kFloat64);
  ops::random_uniform(ops::constant(graph, Tensor::from<int64_t>({2}, {1, 2})), z, INT64_MIN);
}

TEST(SerializeTest, ReadsWhatItWrote) {
  Graph graph(core_op_table());
  build(graph);
  const std::string bytes = serialize(graph);
  const auto copy = parse_graph(bytes, graph.ops(), "g.pb");
  EXPECT_EQ(to_text(*copy), to_text(graph));
  EXPECT_EQ(graph_hash(*copy), graph_hash(graph));
  EXPECT_EQ(serialize(*copy), bytes);
}

TEST(SerializeTest, ControlInputsMayComeLater) {
  Graph graph(core_op_table());
  Value x = ops::placeholder(graph, "x", DType::kFloat32, {});
  Value a = ops::relu(x), b = ops::tanh(x);
  a.node->add_control_input(b.node);
  EXPECT_EQ(to_text(*parse_graph(serialize(graph), graph.ops(), "g.pb")), to_text(graph));
}

TEST(SerializeTest, HashSeesEveryPart) {
  const auto hash = [](const std::function<void(Graph&)>& more) {
    Graph graph(core_op_table());
    build(graph);
    more(graph);
    return graph_hash(graph);
  };
  const uint64_t plain = hash([](Graph&) {});
  EXPECT_EQ(plain, hash([](Graph&) {}));
  EXPECT_NE(plain, hash([](Graph& g) { g.find("mean")->set_device("/device:CPU:0"); }));
  EXPECT_NE(plain, hash([](Graph& g) { g.find("mean")->add_control_input(g.find("x")); }));
  EXPECT_NE(plain, hash([](Graph& g) { ops::relu(g.find("x")->output()); }));
  // These two differ in the last bit only.
  const auto constant = [&](float value) {
    return hash([&](Graph& g) { ops::constant(g, Tensor::scalar(value)); });
  };
  EXPECT_NE(constant(0.1f), constant(std::nextafter(0.1f, 1.0f)));
}

struct BadGraph {
  const char* what;
  std::function<void(proto::GraphProto&)> spoil;
  const char* message;
};

class BadGraphTest : public ::testing::TestWithParam<BadGraph> {};

TEST_P(BadGraphTest, IsAnErrorThatNamesTheNode) {
  Graph graph(core_op_table());
  Value x = ops::placeholder(graph, "x", DType::kFloat32, {2});
  Value c = ops::constant(graph, Tensor::from<float>({2}, {1, 2}), "c");
  ops::add(x, c);
  proto::GraphProto message;
  to_proto(graph, message);
  GetParam().spoil(message);
  try {
    from_proto(message, graph.ops(), "g.pb");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDataLoss);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("g.pb"), HasSubstr(GetParam().message)));
  }
}

proto::TensorProto& constant_of(proto::GraphProto& g) {
  return *(*g.mutable_nodes(1)->mutable_attributes())["value"].mutable_tensor();
}

INSTANTIATE_TEST_SUITE_P(
    SerializeTest, BadGraphTest,
    ::testing::Values(
        BadGraph{"Version", [](auto& g) { g.set_version(2); }, "found version 2"},
        BadGraph{"UnknownOp", [](auto& g) { g.mutable_nodes(2)->set_op("Ad"); },
                 "node 2 (Ad 'add'): there is no such op; did you mean 'Add'?"},
        BadGraph{
            "UnknownAttribute",
            [](auto& g) { (*g.mutable_nodes(2)->mutable_attributes())["axis"].set_integer(1); },
            "node 2 (Add 'add'): Add 'add': there is no attribute 'axis' (it takes: none)"},
        BadGraph{"NoDType",
                 [](auto& g) { g.mutable_nodes(0)->mutable_attributes()->erase("dtype"); },
                 "Placeholder 'x': attribute 'dtype' is missing: expected a dtype"},
        BadGraph{
            "AttributeOfAnotherType",
            [](auto& g) { (*g.mutable_nodes(0)->mutable_attributes())["dtype"].set_text("f32"); },
            "Placeholder 'x': attribute 'dtype': expected a dtype, found \"f32\""},
        BadGraph{"LaterInput", [](auto& g) { g.mutable_nodes(2)->mutable_inputs(0)->set_node(2); },
                 "node 2 (Add 'add'): input 0 is node 2, expected an earlier one"},
        BadGraph{"NoSuchOutput",
                 [](auto& g) { g.mutable_nodes(2)->mutable_inputs(1)->set_output(7); },
                 "input 1 is output 7 of 'c', which has 1"},
        BadGraph{"NoName", [](auto& g) { g.mutable_nodes(2)->clear_name(); }, "expected a name"},
        BadGraph{"NameTwice", [](auto& g) { g.mutable_nodes(2)->set_name("x"); }, "name is taken"},
        BadGraph{"WrongShape",
                 [](auto& g) {
                   auto& shape =
                       *(*g.mutable_nodes(0)->mutable_attributes())["shape"].mutable_shape();
                   shape.set_dims(0, 3);
                 },
                 "node 2 (Add 'add')"},
        BadGraph{"HugeShape",
                 [](auto& g) {
                   auto& shape =
                       *(*g.mutable_nodes(0)->mutable_attributes())["shape"].mutable_shape();
                   shape.set_dims(0, int64_t{1} << 39);
                   shape.add_dims(int64_t{1} << 39);
                 },
                 "node 0 (Placeholder 'x')"},
        BadGraph{"NegativeShape",
                 [](auto& g) {
                   (*g.mutable_nodes(0)->mutable_attributes())["shape"].mutable_shape()->set_dims(
                       0, -7);
                 },
                 "dimension of -7"},
        BadGraph{"TooManyDimensions",
                 [](auto& g) {
                   auto& shape =
                       *(*g.mutable_nodes(0)->mutable_attributes())["shape"].mutable_shape();
                   for (int i = 0; i < 20; ++i) shape.add_dims(1);
                 },
                 "21 dimensions"},
        BadGraph{"ShortTensor", [](auto& g) { constant_of(g).set_data("1234"); },
                 "needs 8 bytes, found 4"},
        // The header asks for 2 TiB; nothing of that size may be allocated before the data is
        // there.
        BadGraph{"HugeTensor",
                 [](auto& g) { constant_of(g).mutable_shape()->set_dims(0, int64_t{1} << 39); },
                 "found 8"},
        BadGraph{"UnknownDType", [](auto& g) { constant_of(g).set_dtype("f33"); },
                 "unknown dtype 'f33'"},
        BadGraph{"BadBool",
                 [](auto& g) {
                   constant_of(g).set_dtype("bool");
                   constant_of(g).set_data("\x01\x02");
                 },
                 "neither false nor true"},
        BadGraph{"MissingAttribute", [](auto& g) { g.mutable_nodes(1)->clear_attributes(); },
                 "node 1 (Constant 'c')"},
        BadGraph{
            "EmptyAttribute",
            [](auto& g) { (*g.mutable_nodes(1)->mutable_attributes())["value"].clear_value(); },
            "'value' has no value"},
        BadGraph{"NoSuchControl", [](auto& g) { g.mutable_nodes(1)->add_control_inputs(3); },
                 "control input 3 is no node"},
        BadGraph{"ControlCycle", [](auto& g) { g.mutable_nodes(1)->add_control_inputs(2); },
                 "wait for each other"},
        BadGraph{"BadDevice", [](auto& g) { g.mutable_nodes(1)->set_device("cpu"); },
                 "device 'cpu'"}),
    [](const auto& info) { return info.param.what; });

TEST(SerializeTest, BytesThatAreNoGraphAreAnError) {
  EXPECT_THROW(parse_graph("\xff\xff not a graph", core_op_table(), "g.pb"), Error);
}

// What the fuzzer does at length: flipped and missing bytes end in an Error or in a graph that
// verifies.
TEST(SerializeTest, SurvivesDamage) {
  Graph graph(core_op_table());
  build(graph);
  const std::string bytes = serialize(graph);
  PhiloxGenerator random(3);
  int accepted = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = bytes;
    for (uint64_t flips = 1 + random.below(4); flips > 0; --flips) {
      damaged[random.below(damaged.size())] = static_cast<char>(random.below(256));
    }
    if (random.below(8) == 0) damaged.resize(random.below(damaged.size()));
    try {
      parse_graph(damaged, graph.ops(), "damaged");
      ++accepted;
    } catch (const Error&) {
      continue;
    }
  }
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, 3000);
}

}  // namespace
}  // namespace trireme

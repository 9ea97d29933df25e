// What ops say of their attributes: every case of an op fits it, and what does not fit is refused.
#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/ops/ops.h"
#include "tests/support/op_cases.h"

namespace trireme::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The message with which the node is refused; "accepted" when it is not.
std::string refusal(const OpCase& op_case, const BuiltCase& built, Attributes attributes) {
  try {
    built.graph->add(op_case.op, built.inputs, std::move(attributes), "node");
    return "accepted";
  } catch (const Error& error) {
    return std::string(name(error.code())) + ": " + error.what();
  }
}

Attributes without(const Attributes& attributes, const std::string& left_out) {
  Attributes others;
  for (const auto& [name, value] : attributes) {
    if (name != left_out) others.set(name, value);
  }
  return others;
}

// Of a type that the attribute has not.
AttributeValue other_type(const AttributeValue& value) {
  if (std::holds_alternative<DType>(value)) return int64_t{1};
  return DType::kFloat32;
}

bool has_default(const OpDef& op, std::string_view attribute) {
  const auto def = std::ranges::find(op.attributes, attribute, &AttributeDef::name);
  return def != op.attributes.end() && def->default_value.has_value();
}

// An attribute that a kernel reads and no schema names would be found at the first run, or never.
TEST(AttributesTest, WrongMissingAndUnknownOnesAreRefused) {
  std::set<std::string> tried;
  for (const OpCase& op_case : all_op_cases()) {
    if (!tried.insert(op_case.op).second) continue;
    const BuiltCase built = build_case(op_case, DType::kFloat32);
    const Attributes& complete = built.outputs[0].node->attributes();
    Attributes more = complete;
    more.set("no_such_attribute", true);
    EXPECT_THAT(refusal(op_case, built, more),
                AllOf(HasSubstr("invalid argument: " + op_case.op + " 'node"),
                      HasSubstr("there is no attribute 'no_such_attribute'")))
        << op_case;
    for (const auto& [name, value] : complete) {
      if (!has_default(built.outputs[0].node->op(), name)) {
        EXPECT_THAT(refusal(op_case, built, without(complete, name)),
                    AllOf(HasSubstr(op_case.op + " 'node"), HasSubstr("'" + name + "' is missing")))
            << op_case;
      }
      Attributes wrong = complete;
      wrong.set(name, other_type(value));
      EXPECT_THAT(refusal(op_case, built, wrong),
                  AllOf(HasSubstr(op_case.op + " 'node"),
                        HasSubstr("attribute '" + name + "': expected "), HasSubstr("found ")))
          << op_case;
    }
  }
  EXPECT_GT(tried.size(), 60u);
}

// Else nothing shows that the attribute is checked.
TEST(AttributesTest, EachHasACase) {
  std::set<std::string> tried;
  for (const OpCase& op_case : all_op_cases()) {
    for (const auto& [name, value] : op_case.attributes) tried.insert(op_case.op + "/" + name);
  }
  std::vector<std::string> missing;
  const auto table = core_op_table();
  for (const std::string& op : table->names()) {
    if (table->find(op).traits.source != Source::kNone) continue;
    for (const AttributeDef& def : table->find(op).attributes) {
      if (!tried.contains(op + "/" + def.name)) missing.push_back(op + "/" + def.name);
    }
  }
  EXPECT_THAT(missing, IsEmpty());
}

struct Refused {
  const char* op;
  Attributes attributes;
  const char* message;
};

// A user of a graph file sees what was meant, not only that something is wrong.
TEST(AttributesTest, TheMessageSaysWhatWasExpectedAndMeant) {
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {2, 3});
  const Value image = ops::placeholder(graph, "image", DType::kFloat32, {1, 8, 8, 1});
  const Attributes pool = {{"window", Ints{2, 2}}, {"strides", Ints{2, 2}}};
  const auto with = [](Attributes attributes, const std::string& name, AttributeValue value) {
    attributes.set(name, std::move(value));
    return attributes;
  };
  const Refused refused[] = {
      {"Sum",
       {{"axis", Ints{0}}, {"keep_dims", false}},
       "Sum 'n': there is no attribute 'axis'; did you mean 'axes'? (it takes: axes, keep_dims)"},
      {"Sum",
       {{"axes", Ints{0, -1}}, {"keep_dims", false}},
       "attribute 'axes': expected a list of integers at least 0, found [0, -1]"},
      {"Cast", {{"dtype", std::string("f32")}}, "attribute 'dtype': expected a dtype, found "},
      {"AvgPool2d", with(pool, "padding", std::string("FULL")),
       "attribute 'padding': expected \"SAME\" or \"VALID\", found \"FULL\""},
      {"AvgPool2d", with(with(pool, "padding", std::string("SAME")), "strides", Ints{1}),
       "attribute 'strides': expected a list of 2 integers at least 1, found [1]"},
      {"FillLike", {}, "attribute 'value' is missing: expected a number"},
  };
  for (const Refused& one : refused) {
    try {
      graph.add(one.op, {std::string_view(one.op) == "AvgPool2d" ? image : x}, one.attributes, "n");
      FAIL() << one.op << " was accepted; expected: " << one.message;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), HasSubstr(one.message));
    }
  }
  EXPECT_EQ(graph.size(), 2);  // what is refused is not half there
}

// Of an op that says so; a graph file need not hold it.
TEST(AttributesTest, AnAbsentOneIsItsDefault) {
  auto table = std::make_shared<OpTable>();
  register_core_ops(*table);
  table->add({.name = "Scaled",
              .min_inputs = 1,
              .max_inputs = 1,
              .attributes = {attribute<double>("factor").in(above(0)).or_else(2.0),
                             attribute<std::string>("label").or_absent()},
              .infer = [](const InferenceContext& c) { return std::vector{c.input(0)}; }});
  Graph graph(table);
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {2});
  const Node& plain = graph.add("Scaled", {x});
  EXPECT_EQ(plain.attribute<double>("factor"), 2);
  EXPECT_FALSE(plain.attributes().has("label"));
  EXPECT_EQ(graph.add("Scaled", {x}, {{"factor", 3.0}}).attribute<double>("factor"), 3);
  EXPECT_THROW(graph.add("Scaled", {x}, {{"factor", 0.0}}), Error);
}

}  // namespace
}  // namespace trireme::testing

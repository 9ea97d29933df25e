#include "core/formats/translation/op_translation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/formats/translation/tensorflow_ops.h"
#include "core/ops/ops.h"

namespace trireme::formats {
namespace {

using testing::HasSubstr;

// An op without a row could be in a model that no format writes, and nobody would have decided so.
TEST(OpTranslationTest, HasARowOfEachOp) {
  const auto table = core_op_table();
  for (const std::string& name : table->names()) {
    const OpDef& op = table->find(name);
    if (op.traits.source != Source::kNone || op.update.has_value()) continue;
    if (op.name == "Assign" || op.name == "AssignAdd" || op.name == "AssignMovingAverage") continue;
    EXPECT_NE(translation_of(name), nullptr) << name << " has no row in op_rows.cc";
  }
}

TEST(OpTranslationTest, HasRowsOfOpsThatThereAre) {
  const auto table = core_op_table();
  std::set<std::string_view> seen;
  for (const OpTranslation& row : op_translations()) {
    EXPECT_NE(table->find_or_null(row.op), nullptr) << row.op;
    EXPECT_TRUE(seen.insert(row.op).second) << "two rows of " << row.op;
    const bool has_cell = row.tensorflow.is_there() || row.onnx.is_there();
    EXPECT_NE(has_cell, !row.without.empty()) << row.op;
  }
}

// The name in a cell is written with the inputs of our op, and read back as it.
TEST(OpTranslationTest, NamesOpsOfTensorflowThatAreKnown) {
  const auto table = core_op_table();
  for (const OpTranslation& row : op_translations()) {
    if (row.tensorflow.name.empty()) continue;
    EXPECT_NE(find_tensorflow_op(row.tensorflow.name), nullptr) << row.tensorflow.name;
    EXPECT_EQ(translation_from_tensorflow(row.tensorflow.name), &row) << row.op;
    EXPECT_TRUE(table->find(row.op).attributes.empty()) << row.op;
  }
}

TEST(OpTranslationTest, NamesAllThatHasNoTranslationAtOnce) {
  Graph graph(core_op_table());
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {-1, 4});
  const Value key = ops::placeholder(graph, "key", DType::kInt64, {2});
  const Value dropped = ops::dropout(x, key, 0.5, 1);
  const Value drawn = ops::random_normal(key, x, 1);
  Untranslated untranslated;
  EXPECT_NO_THROW(untranslated.throw_if_any("SavedModel"));
  untranslated.add(*dropped.node, "why");
  untranslated.add(*drawn.node, "why");
  untranslated.add(*drawn.node, "why");
  try {
    untranslated.throw_if_any("SavedModel");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("2 without translation"));
    EXPECT_THAT(error.what(), HasSubstr("Dropout"));
    EXPECT_THAT(error.what(), HasSubstr("RandomNormal"));
  }
}

}  // namespace
}  // namespace trireme::formats

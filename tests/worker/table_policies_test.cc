// Policies of tables reach every embedding that a job can have, and none is forgotten.
#include "worker/table_policies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/nn/model.h"
#include "core/ops/ops.h"
#include "ps/ops/ps_ops.h"
#include "ps/ops/training_tables.h"
#include "worker/build_model.h"
#include "worker/job_file.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::shared_ptr<const OpTable> ops_with_tables() {
  auto table = std::make_shared<OpTable>();
  register_core_ops(*table);
  ps::register_ps_ops(*table);
  return table;
}

std::map<std::string, ps::TableSpec> tables_of(const std::string& layers,
                                               const std::vector<TensorType>& features) {
  const JobFile file =
      JobFile::parse("data { clicks {} }\nmodel {\n" + layers + "}\n", "job.textproto");
  ps::TrainingTables training;
  nn::Model model({.ops = ops_with_tables(), .embedding_lookup = training.lookup()});
  build_layers(model, file, features);
  auto tables = training.embeddings(nn::Sgd(), 1);
  std::map<std::string, ps::TableSpec> by_name;
  for (ps::TableSpec& table : tables) by_name[table.name] = table;
  return by_name;
}

const std::vector<TensorType> kClicks = {{DType::kFloat32, {-1, 13}}, {DType::kInt64, {-1, 26}}};
const std::vector<TensorType> kKeys = {{DType::kInt64, {-1, 4}}};

std::string error_of(const std::string& layers, bool uses_servers = true) {
  try {
    const JobFile file =
        JobFile::parse("data { clicks {} }\nmodel {\n" + layers + "}\n", "job.textproto");
    check_table_policies(file, file.make_layers(), uses_servers);
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
    return error.what();
  }
  return "";
}

TEST(TablePoliciesTest, ReachTheTablesOfClickModels) {
  for (const char* name : {"", "name: \"clicks\""}) {
    const auto dlrm =
        tables_of(str_cat("layers { ", name,
                          " dlrm { keys: 100 table { admit_after: 3 evict_max_rows: 9 } } }"),
                  kClicks);
    ASSERT_EQ(dlrm.size(), 1u);
    EXPECT_EQ(dlrm.begin()->second.admission.after, 3);
    EXPECT_EQ(dlrm.begin()->second.eviction.max_rows, 9);
    const auto wide_deep =
        tables_of(str_cat("layers { ", name,
                          " wide_deep { keys: 100 table { admit_probability: 0.5 "
                          "evict_max_age: 7 evict_min_frequency: 2 } } }"),
                  kClicks);
    ASSERT_EQ(wide_deep.size(), 2u);
    for (const auto& [table, spec] : wide_deep) {
      EXPECT_EQ(spec.admission.probability, 0.5) << table;
      EXPECT_EQ(spec.eviction.max_age, 7) << table;
      EXPECT_EQ(spec.eviction.min_frequency, 2) << table;
    }
  }
}

// Unnamed layers, and those of a residual layer.
TEST(TablePoliciesTest, FindTheTableWhereverTheLayerStands) {
  const auto one = tables_of(
      "layers { embedding { vocabulary: 9 dimension: 2 table { admit_after: 4 } } }", kKeys);
  EXPECT_EQ(one.at("embedding/embeddings").admission.after, 4);
  const auto nested = tables_of(
      "layers { residual {\n"
      "  layers { embedding { vocabulary: 9 dimension: 2 table { admit_after: 5 } } }\n"
      "  shortcut { embedding { vocabulary: 9 dimension: 2 table { admit_after: 6 } } } } }\n",
      kKeys);
  EXPECT_EQ(nested.at("residual/embedding/embeddings").admission.after, 5);
  EXPECT_EQ(nested.at("residual/shortcut_embedding/embeddings").admission.after, 6);
}

TEST(TablePoliciesTest, AreNumbersThatMeanSomething) {
  const auto policy = [](const std::string& text) {
    return "layers { dlrm { keys: 9 table { " + text + " } } }\n";
  };
  EXPECT_EQ(error_of(policy("admit_probability: 1")), "");
  for (const char* wrong : {"admit_after: -1", "admit_probability: 1.5", "admit_probability: nan",
                            "evict_max_age: -1", "evict_min_frequency: -1", "evict_max_rows: -1"}) {
    EXPECT_THAT(error_of(policy(wrong)), StartsWith("job.textproto:3:")) << wrong;
  }
}

// It would change nothing, without a word.
TEST(TablePoliciesTest, NeedTablesOnServers) {
  EXPECT_THAT(
      error_of("layers { residual { layers { wide_deep { keys: 9 table { admit_after: 2 } } } "
               "} }\n",
               false),
      testing::AllOf(StartsWith("job.textproto:3:"),
                     HasSubstr("model.layers[0].residual.layers[0].wide_deep.table"),
                     HasSubstr("has none there")));
  EXPECT_EQ(error_of("layers { wide_deep { keys: 9 } }\n", false), "");
}

}  // namespace
}  // namespace trireme

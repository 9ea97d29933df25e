#include "core/data/stage_names.h"

#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "tests/core/data/helpers.h"

namespace trireme::data {
namespace {

// The methods of Dataset and the functions that make one, as dataset.h declares them.
std::set<std::string> declared() {
  std::ifstream in(std::string(TRIREME_SOURCE_DIR) + "/core/data/dataset.h");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  // Not those of Iterator and of sources.
  const size_t iterator = text.find("class Iterator {");
  const size_t behind = text.find("};", iterator);
  EXPECT_NE(behind, std::string::npos);
  text.erase(iterator, behind - iterator);
  text.erase(0, text.find("class Dataset {"));
  std::set<std::string> names;
  const std::regex declaration(
      R"(\n *(?:Dataset|Iterator|Element|int64_t|uint64_t|void|const [A-Za-z_:<> ]+&) ([a-z_]+)\()");
  for (std::sregex_iterator it(text.begin(), text.end(), declaration), end; it != end; ++it) {
    names.insert((*it)[1]);
  }
  return names;
}

// The document for those who come from Keras is made of this table: what it promises must be there,
// and nothing that is there may be missing from it.
TEST(StageNamesTest, AreThoseOfDataset) {
  const std::set<std::string> there = declared();
  ASSERT_GT(there.size(), 40u);
  std::set<std::string> named;
  for (const StageName& stage : kStageNames) {
    if (stage.ours.empty()) {
      EXPECT_FALSE(stage.note.empty()) << stage.tf_data << " is missing without a reason";
      EXPECT_FALSE(there.contains(std::string(stage.tf_data))) << stage.tf_data << " is there";
      continue;
    }
    named.emplace(stage.ours);
    EXPECT_TRUE(there.contains(std::string(stage.ours))) << stage.ours;
  }
  named.insert(std::begin(kOwnStages), std::end(kOwnStages));
  for (const std::string& name : there) EXPECT_TRUE(named.contains(name)) << name;
}

TEST(StageNamesTest, AreSortedAndMostlyThere) {
  const auto by_name = [](const StageName& a, const StageName& b) { return a.tf_data < b.tf_data; };
  EXPECT_TRUE(std::ranges::is_sorted(kStageNames, by_name));
  const auto missing = std::ranges::count(kStageNames, std::string_view(), &StageName::ours);
  EXPECT_LE(10 * missing, static_cast<int64_t>(std::size(kStageNames)) * 2);
}

}  // namespace
}  // namespace trireme::data

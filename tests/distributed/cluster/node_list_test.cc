// Slurm's short forms of lists.
#include "distributed/cluster/node_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace trireme::cluster {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> nodes(const std::string& text) { return parse_node_list(text, "NODES"); }
std::vector<int> counts(const std::string& text) { return parse_task_counts(text, "COUNTS"); }

template <typename Parse>
std::string refusal_of(Parse parse, const std::string& text) {
  try {
    parse(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "";
}

TEST(NodeListTest, ExpandsNamesRangesAndPadding) {
  EXPECT_THAT(nodes("n1"), ElementsAre("n1"));
  EXPECT_THAT(nodes("login.cluster-a,n_2"), ElementsAre("login.cluster-a", "n_2"));
  EXPECT_THAT(nodes("n[1-3,7],m04"), ElementsAre("n1", "n2", "n3", "n7", "m04"));
  EXPECT_THAT(nodes("n[09-11]"), ElementsAre("n09", "n10", "n11"));
  EXPECT_THAT(nodes("n[9-11]"), ElementsAre("n9", "n10", "n11"));
  EXPECT_THAT(nodes("n[001,10]"), ElementsAre("n001", "n10"));
  EXPECT_THAT(nodes("n[5-5]x"), ElementsAre("n5x"));
}

TEST(NodeListTest, RunsTheLastBracketFastest) {
  EXPECT_THAT(nodes("rack[01-02]-[1-2]"),
              ElementsAre("rack01-1", "rack01-2", "rack02-1", "rack02-2"));
}

TEST(NodeListTest, SaysWhereAListIsMalformed) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "expected a node's name at character 1, found the end"},
      {"n1,", "expected a node's name at character 4, found the end"},
      {"n1,,n2", "expected a node's name at character 4, found ',n2'"},
      {"-x", "expected a node's name at character 1"},
      {"n[", "expected a number at character 3, found the end"},
      {"n[]", "expected a number at character 3, found ']'"},
      {"n[1-]", "expected a number at character 5"},
      {"n[1-3", "expected ',' or ']' at character 6, found the end"},
      {"n[1-10:2]", "expected ',' or ']' at character 7, found ':2]'"},
      {"n[3-1]", "expected a range that ends at 3 or later"},
      {"n[1234567890]", "expected a number of at most 9 digits at character 3"},
      {"n1 n2", "expected ',' or '[' at character 3"},
      {"n]", "expected ',' or '[' at character 2"},
      {"(null)", "expected a node's name at character 1"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(refusal_of(nodes, text), HasSubstr(message)) << text;
    EXPECT_THAT(refusal_of(nodes, text), HasSubstr("NODES=" + text));
  }
}

// A few bytes must not become gigabytes.
TEST(NodeListTest, BoundsWhatAShortTextExpandsTo) {
  EXPECT_EQ(nodes("n[1-65536]").size(), 65536u);
  for (const char* text :
       {"n[1-65537]", "n[0-999999999]", "n[1-300][1-300]", "n[1-60000],m[1-60000]"}) {
    EXPECT_THAT(refusal_of(nodes, text), HasSubstr("more than 65536 entries")) << text;
  }
  EXPECT_THAT(refusal_of(nodes, std::string(300, 'n')), HasSubstr("at most 255 characters"));
  EXPECT_THAT(refusal_of(nodes, "n[1][1][1][1][1][1][1][1][1]"), HasSubstr("at most 8 brackets"));
}

TEST(TaskCountsTest, ExpandsRepetitions) {
  EXPECT_THAT(counts("4"), ElementsAre(4));
  EXPECT_THAT(counts("2(x3),1"), ElementsAre(2, 2, 2, 1));
}

TEST(TaskCountsTest, SaysWhereAListIsMalformed) {
  for (const char* text : {"", ",", "2(", "2(3)", "2(x", "2(x3", "2(x3)1", "x", "-1", "2,"}) {
    EXPECT_THAT(refusal_of(counts, text), HasSubstr("at character")) << text;
  }
  for (const char* text : {"1(x65537)", "1(x40000),1(x40000)"}) {
    EXPECT_THAT(refusal_of(counts, text), HasSubstr("more than 65536 entries")) << text;
  }
}

}  // namespace
}  // namespace trireme::cluster

#include "launcher/sweep/space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/base/error.h"
#include "tests/support/process.h"

namespace trireme::sweep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Parameter parameter(const std::string& text) { return parse_parameter(text, "--vary "); }

std::string error_of(const std::string& text) {
  try {
    parameter(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "no error";
}

TEST(SpaceTest, ReadsEveryKindOfValues) {
  EXPECT_THAT(parameter("batch_size=[32, 64,128]").choices, ElementsAre("32", "64", "128"));
  EXPECT_THAT(parameter(R"(name=["a,b", c, "q\"]"])").choices, ElementsAre("a,b", "c", "q\"]"));
  EXPECT_THAT(parameter("optimizer=[{sgd {momentum: 0.9}}, ADAM]").choices,
              ElementsAre("{sgd {momentum: 0.9}}", "ADAM"));
  EXPECT_THAT(parameter("metrics=[[ACCURACY, AUC], []]").choices,
              ElementsAre("[ACCURACY, AUC]", "[]"));
  EXPECT_THAT(parameter("a.shuffle=[true,false]").choices, ElementsAre("true", "false"));
  EXPECT_THAT(parameter("units=3..5").grid({}), ElementsAre("3", "4", "5"));
  EXPECT_THAT(parameter("units=-2..0").grid({}), ElementsAre("-2", "-1", "0"));
  EXPECT_THAT(parameter("units = int(16, 256, 100)").grid({}), ElementsAre("16", "116", "216"));
  EXPECT_THAT(parameter("rate=uniform(0,0.5)").grid(3), ElementsAre("0", "0.25", "0.5"));
  EXPECT_THAT(parameter("rate=log(1e-4,1e-1)").grid(4),
              ElementsAre("0.0001", "0.001", "0.01", "0.1"));
  EXPECT_THAT(parameter("units=int_log(1,64)").grid(4), ElementsAre("1", "4", "16", "64"));
}

// The place tells which of several brackets or numbers is meant.
TEST(SpaceTest, SaysAtWhichCharacterItIsWrong) {
  EXPECT_THAT(error_of("rate=log(0,1)"),
              HasSubstr("character 10: a logarithm needs a range above"));
  EXPECT_THAT(error_of("rate=log(1,0.1)"), HasSubstr("character 12: the range is reversed"));
  EXPECT_THAT(error_of("rate=uniform(1,1)"), HasSubstr("character 16: the range is empty"));
  EXPECT_THAT(error_of("rate=uniform(nan,1)"), HasSubstr("character 14: expected a finite number"));
  EXPECT_THAT(error_of("rate=uniform(0,inf)"), HasSubstr("character 16: expected a finite number"));
  EXPECT_THAT(error_of("units=5..3"), HasSubstr("character 10: the range is reversed"));
  EXPECT_THAT(error_of("units=1.5..3"), HasSubstr("expected a whole number, found '1.5'"));
  EXPECT_THAT(error_of("units=int(1,9,0)"), HasSubstr("expected a step of at least 1"));
  EXPECT_THAT(error_of("units=int_log(0,9)"), HasSubstr("a logarithm needs a range of at least 1"));
  EXPECT_THAT(error_of("units=[]"), HasSubstr("character 8: the list is empty"));
  EXPECT_THAT(error_of("units=[1,,2]"), HasSubstr("character 10: a value of the list is empty"));
  EXPECT_THAT(error_of("units=[1,2,1]"), HasSubstr("stands in the list twice"));
  EXPECT_THAT(error_of("units=[1,2"), HasSubstr("expected ']' at the end"));
  EXPECT_THAT(error_of("units=[1,2]3"), HasSubstr("expected the end behind the bracket"));
  EXPECT_THAT(error_of("units=[1,{2]"), HasSubstr("character 12: expected '}', found ']'"));
  EXPECT_THAT(error_of("units=uniforn(1,2)"), HasSubstr("did you mean 'uniform'?"));
  EXPECT_THAT(error_of("units=log(1,2,3)"), HasSubstr("found 3 arguments"));
  EXPECT_THAT(error_of("units"), HasSubstr("expected PATH=VALUES"));
  EXPECT_THAT(error_of("units+=1..2"), HasSubstr("expected PATH=VALUES"));
  EXPECT_THAT(error_of("units="), HasSubstr("expected the values of units"));
}

TEST(SpaceTest, AFileHasALineForEachParameter) {
  const testing::TemporaryDirectory folder;
  const auto read = read_space_file(folder.write("space", "# what\n\n  a=1..2\nb=[x]\n"));
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[1].path, "b");
  const std::string wrong = folder.write("wrong", "a=1..2\nb=log(0,1)\n");
  try {
    read_space_file(wrong);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(wrong + ":2: b=log(0,1): character 7"));
  }
}

std::vector<Parameter> mixed() {
  return {parameter("rate=log(1e-4,1e-1)"), parameter("drop=uniform(0,0.5)"),
          parameter("units=int_log(8,512)"), parameter("batch=[32,64,128]")};
}

// Settings may not depend on what was asked for before, nor on other parameters.
TEST(SpaceTest, ASettingFollowsFromSeedTrialAndNameAlone) {
  Space forwards(mixed(), 7), backwards(mixed(), 7), other(mixed(), 8);
  std::vector<Setting> all;
  for (int64_t i = 0; i < 50; ++i) all.push_back(forwards.draw(i));
  for (int64_t i = 49; i >= 0; --i) EXPECT_EQ(backwards.draw(i), all[static_cast<size_t>(i)]);
  EXPECT_NE(other.draw(0), all[0]);
  auto fewer = mixed();
  fewer.erase(fewer.begin());
  Space less(fewer, 7);
  EXPECT_EQ(less.draw(3), Setting(all[3].begin() + 1, all[3].end()));
  // The same on every machine and in every version: sweeps go on for days.
  Space pinned({parameter("optimizer.learning_rate=log(1e-4,1e-1)")}, 1);
  EXPECT_EQ(pinned.draw(0), Setting{"0.00779232"});
  EXPECT_EQ(pinned.draw(1), Setting{"0.00438819"});
}

TEST(SpaceTest, DrawsLieWithinTheirRangesAndFillThem) {
  Space space(mixed(), 3);
  int low = 0, small = 0;
  std::set<std::string> batches;
  constexpr int kTrials = 2000;
  for (int64_t i = 0; i < kTrials; ++i) {
    const Setting setting = space.draw(i);
    const double rate = std::stod(setting[0]), drop = std::stod(setting[1]);
    const double units = std::stod(setting[2]);
    ASSERT_TRUE(rate >= 1e-4 && rate <= 1e-1) << rate;
    ASSERT_TRUE(drop >= 0 && drop <= 0.5) << drop;
    ASSERT_TRUE(units >= 8 && units <= 512 && units == std::floor(units)) << units;
    low += rate < 1e-3;
    small += units < 64;
    batches.insert(setting[3]);
  }
  // A third of the logarithms, and half of them: within five standard deviations.
  EXPECT_NEAR(low, kTrials / 3.0, 5 * std::sqrt(kTrials * 2 / 9.0));
  EXPECT_NEAR(small, kTrials / 2.0, 5 * std::sqrt(kTrials / 4.0));
  EXPECT_EQ(batches.size(), 3u);
}

// A trial that repeats another one would be time for nothing.
TEST(SpaceTest, SettingsOfAFiniteSpaceDiffer) {
  Space space({parameter("a=1..4"), parameter("b=[x,y,z]")}, 1);
  ASSERT_EQ(space.size(), 12);
  std::set<Setting> all;
  for (int64_t i = 0; i < 12; ++i) all.insert(space.draw(i));
  EXPECT_EQ(all.size(), 12u);
}

TEST(SpaceTest, AGridHasEachSettingOnce) {
  const Space space({parameter("a=1..2"), parameter("b=log(1,100)")}, 1);
  EXPECT_THAT(space.grid(3),
              ElementsAre(Setting{"1", "1"}, Setting{"1", "10"}, Setting{"1", "100"},
                          Setting{"2", "1"}, Setting{"2", "10"}, Setting{"2", "100"}));
  EXPECT_THROW(space.grid({}), Error);
  const Space huge({parameter("a=1..1000"), parameter("b=1..1000")}, 1);
  EXPECT_THROW(huge.grid({}), Error);
}

}  // namespace
}  // namespace trireme::sweep

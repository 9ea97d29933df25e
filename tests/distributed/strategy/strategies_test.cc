// The list of strategies, and what each says of itself to those who start jobs.
#include "distributed/strategy/strategies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/base/error.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

struct Facts {
  const char* name;
  bool workers, devices, group, may_shrink, servers, variables_on_servers;
};

class StrategyFactsTest : public ::testing::TestWithParam<Facts> {};

// Launcher, worker and checkpoints decide by these facts alone.
TEST_P(StrategyFactsTest, AreThoseThatJobsRelyOn) {
  const Facts& facts = GetParam();
  const StrategyDef& def = find_strategy(facts.name);
  EXPECT_EQ(def.spans_workers, facts.workers);
  EXPECT_EQ(def.spans_devices, facts.devices);
  EXPECT_EQ(def.forms_group, facts.group);
  EXPECT_EQ(def.group_may_shrink, facts.may_shrink);
  EXPECT_EQ(def.uses_servers, facts.servers);
  EXPECT_EQ(def.variables_on_servers, facts.variables_on_servers);
  const auto made = def.make({});
  EXPECT_EQ(made->name(), facts.name);
  EXPECT_EQ(&made->def(), &def);
  // Of one device, only workers have anybody to talk to.
  EXPECT_EQ(made->communicates(), facts.group);
  EXPECT_EQ(made->ranks(), 1);
}
INSTANTIATE_TEST_SUITE_P(
    All, StrategyFactsTest,
    ::testing::Values(Facts{"one_device", false, false, false, false, false, false},
                      Facts{"mirrored", false, true, false, false, false, false},
                      Facts{"multi_worker", true, false, true, true, false, false},
                      Facts{"central_storage", false, true, false, false, false, false},
                      Facts{"parameter_server", true, false, false, false, true, true},
                      Facts{"hybrid", true, false, true, false, true, false}),
    [](const auto& info) { return std::string(info.param.name); });

// Only what is a rank of its own has a communicator.
TEST(StrategiesTest, DevicesAreRanksWhereEachHasItsVariables) {
  const StrategyOptions two{.devices = {"/device:CPU:0", "/device:CPU:1"}};
  const auto mirrored = kMirroredStrategy.make(two), central = kCentralStorageStrategy.make(two);
  EXPECT_EQ(mirrored->ranks(), 2);
  EXPECT_TRUE(mirrored->communicates());
  EXPECT_EQ(central->ranks(), 1);
  EXPECT_FALSE(central->communicates());
  EXPECT_EQ(central->shards(), 2);
}

TEST(StrategiesTest, OneDeviceIsAllThatOthersTake) {
  const StrategyOptions two{.devices = {"/device:CPU:0", "/device:CPU:1"}};
  EXPECT_THAT([&] { kOneDeviceStrategy.make(two); },
              ThrowsMessage<Error>(HasSubstr(
                  "expected 1 device, found 2; several are used by mirrored or central_storage")));
  for (const StrategyDef* def : {&kParameterServerStrategy, &kHybridStrategy}) {
    EXPECT_THAT([&] { def->make(two); },
                ThrowsMessage<Error>(HasSubstr("expected 1 device, found 2")));
  }
}

TEST(StrategiesTest, NamesDifferAndAreFoundInJobFilesLetters) {
  std::set<std::string_view> names;
  for (const StrategyDef* def : strategies()) {
    EXPECT_TRUE(names.insert(def->name).second) << def->name;
    EXPECT_EQ(find_strategy_or_null(def->name), def);
  }
  EXPECT_EQ(&find_strategy("MULTI_WORKER"), &kMultiWorkerStrategy);
}

// A typo gets what could have been meant.
TEST(StrategiesTest, AnUnknownNameIsAnErrorThatListsThem) {
  EXPECT_EQ(find_strategy_or_null("multi_workr"), nullptr);
  EXPECT_THAT([] { make_strategy("multi_workr", {}); },
              ThrowsMessage<Error>(HasSubstr(
                  "no strategy \"multi_workr\"; there are one_device, mirrored, multi_worker, "
                  "central_storage, parameter_server, hybrid; did you mean 'multi_worker'?")));
}

TEST(StrategiesTest, AJobThatNamesNoneUsesAllThatIsThere) {
  EXPECT_EQ(&choose_strategy(false, 1, 0), &kOneDeviceStrategy);
  EXPECT_EQ(&choose_strategy(false, 2, 0), &kMirroredStrategy);
  EXPECT_EQ(&choose_strategy(true, 2, 0), &kMultiWorkerStrategy);
  EXPECT_EQ(&choose_strategy(true, 2, 1), &kParameterServerStrategy);
}

// The loss of a worker with parameter servers is that of its own examples; that of others is the
// whole batch's.
TEST(StrategiesTest, SharesAddUpToTheBatch) {
  for (const StrategyDef* def : strategies()) {
    const auto strategy = def->make({.micro_batches = 2});
    double weights = 0;
    int64_t examples = 0;
    for (int worker = 0; worker < 3; ++worker) {
      nn::StepShare share;
      strategy->fill_share(10, worker, 3, share);
      EXPECT_EQ(share.shards.size(), 2u) << def->name;
      EXPECT_EQ(share.global_rows, 10) << def->name;
      for (const nn::BatchShard& shard : share.shards) weights += shard.weight;
      examples += share.examples;
    }
    EXPECT_NEAR(weights, 1, 1e-12) << def->name;
    EXPECT_EQ(examples, def->variables_on_servers ? 10 : 30) << def->name;
  }
}

}  // namespace
}  // namespace trireme

#include "launcher/sweep/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/error.h"

namespace trireme::sweep {
namespace {

using ::testing::ElementsAre;

Plan asha_plan(int64_t trials, int64_t epochs, int64_t reduction = 3) {
  Plan plan;
  plan.search = Search::kAsha;
  plan.trials = trials;
  plan.epochs = epochs;
  plan.reduction = reduction;
  plan.metric = "loss";
  return plan;
}

Event result(int64_t trial, int64_t target, double value, bool finished = false) {
  Event event{.kind = EventKind::kResult, .trial = trial, .target = target};
  event.result = {
      .epochs = target, .steps = 10 * target, .finished = finished, .values = {{"loss", value}}};
  return event;
}

// Runs decisions on one worker until the end; `loss(trial, epochs)`. Returns the epochs trained.
template <typename Loss>
int64_t run_to_end(const Plan& plan, SweepState& state, Loss loss) {
  int64_t epochs = 0;
  for (int i = 0; i < 10'000; ++i) {
    const Decision decision = next(plan, state);
    if (decision.kind == Decision::kEnd) return epochs;
    EXPECT_EQ(decision.kind, Decision::kRun);
    const Trial& trial = state.trial(decision.trial);
    epochs += decision.target - (trial.results.empty() ? 0 : trial.results.back().epochs);
    state.apply({.kind = EventKind::kStart, .trial = decision.trial, .target = decision.target});
    state.apply(result(decision.trial, decision.target, loss(decision.trial, decision.target)));
  }
  ADD_FAILURE() << "no end";
  return epochs;
}

TEST(SweepStateTest, RungsAreTheReductionsPowersUpToTheJobsEpochs) {
  EXPECT_THAT(asha_plan(1, 9).rungs(), ElementsAre(1, 3, 9));
  EXPECT_THAT(asha_plan(1, 10).rungs(), ElementsAre(1, 3, 9, 10));
  EXPECT_THAT(asha_plan(1, 1).rungs(), ElementsAre(1));
  EXPECT_THAT(asha_plan(1, 20, 4).rungs(), ElementsAre(1, 4, 16, 20));
}

// The point of the method: most of the steps go to those that are good.
TEST(SweepStateTest, AshaFindsTheBestInLessThanAThirdOfTheEpochs) {
  const Plan plan = asha_plan(64, 9);
  SweepState state(plan);
  const auto loss = [](int64_t trial, int64_t epochs) {
    return static_cast<double>((trial * 37) % 64) + 100.0 / static_cast<double>(epochs);
  };
  const int64_t epochs = run_to_end(plan, state, loss);
  EXPECT_EQ(state.best(), 0);  // 0 · 37 mod 64 is the least
  EXPECT_LT(epochs, 64 * 9 / 3);
  EXPECT_EQ(state.reached(0).size(), 64u);
  EXPECT_GE(state.reached(1).size(), 21u);
  EXPECT_GE(state.reached(2).size(), 7u);
}

// Whoever reads the journal again must come to the same next step.
TEST(SweepStateTest, DecisionsFollowFromTheEventsAlone) {
  const Plan plan = asha_plan(30, 9);
  SweepState state(plan);
  std::vector<Event> events;
  for (int i = 0; i < 60; ++i) {
    SweepState again(plan);
    for (const Event& event : events) again.apply(event);
    const Decision decision = next(plan, state), same = next(plan, again);
    ASSERT_EQ(decision.kind, same.kind);
    ASSERT_EQ(decision.trial, same.trial);
    ASSERT_EQ(decision.target, same.target);
    if (decision.kind != Decision::kRun) break;
    events.push_back(
        {.kind = EventKind::kStart, .trial = decision.trial, .target = decision.target});
    state.apply(events.back());
    events.push_back(result(decision.trial, decision.target,
                            std::sin(7.0 * static_cast<double>(decision.trial))));
    state.apply(events.back());
  }
  EXPECT_GT(events.size(), 60u);
}

TEST(SweepStateTest, WhatWasInterruptedComesFirst) {
  const Plan plan = asha_plan(9, 9);
  SweepState state(plan);
  state.apply({.kind = EventKind::kStart, .trial = 0, .target = 1});
  state.apply({.kind = EventKind::kStart, .trial = 1, .target = 1});
  EXPECT_EQ(next(plan, state).trial, 2);
  state.apply({.kind = EventKind::kKilled, .trial = 1, .target = 1});
  EXPECT_EQ(next(plan, state).trial, 1);
  EXPECT_EQ(next(plan, state).target, 1);
}

// A trial that stopped early has nothing left to train: it may win without being run again.
TEST(SweepStateTest, ATrialThatEndedEarlyIsPromotedWithoutAProcess) {
  const Plan plan = asha_plan(3, 3);
  SweepState state(plan);
  for (const int64_t trial : {0, 1, 2}) {
    state.apply({.kind = EventKind::kStart, .trial = trial, .target = 1});
    state.apply(result(trial, 1, static_cast<double>(trial), trial == 0));
  }
  const Decision decision = next(plan, state);
  EXPECT_EQ(decision.kind, Decision::kPromote);
  EXPECT_EQ(decision.trial, 0);
  state.apply({.kind = EventKind::kPromote, .trial = 0, .target = 3});
  EXPECT_EQ(next(plan, state).kind, Decision::kEnd);
  EXPECT_EQ(state.best(), 0);
}

// With few trials, or when those that were promoted fail, the best that is left is trained to the
// end all the same: else the sweep would have no whole model.
TEST(SweepStateTest, AFailedTrialIsNotStartedAgainAndTheNextBestGoesOn) {
  const Plan plan = asha_plan(3, 3);
  SweepState state(plan);
  for (const int64_t trial : {0, 1, 2}) {
    state.apply({.kind = EventKind::kStart, .trial = trial, .target = 1});
    state.apply(result(trial, 1, static_cast<double>(trial)));
  }
  EXPECT_EQ(next(plan, state).trial, 0);
  state.apply({.kind = EventKind::kStart, .trial = 0, .target = 3});
  EXPECT_EQ(next(plan, state).kind, Decision::kWait);
  state.apply({.kind = EventKind::kFailed, .trial = 0, .target = 3, .error = "the loss is nan"});
  const Decision decision = next(plan, state);
  EXPECT_EQ(decision.kind, Decision::kRun);
  EXPECT_EQ(decision.trial, 1);
  EXPECT_EQ(decision.target, 3);
  state.apply({.kind = EventKind::kStart, .trial = 1, .target = 3});
  state.apply(result(1, 3, 1));
  EXPECT_EQ(next(plan, state).kind, Decision::kEnd);
  EXPECT_EQ(state.best(), 1);
}

TEST(SweepStateTest, MoreIsBetterWhereItIsMaximized) {
  Plan plan = asha_plan(3, 3);
  plan.maximize = true;
  SweepState state(plan);
  for (const int64_t trial : {0, 1, 2}) {
    state.apply({.kind = EventKind::kStart, .trial = trial, .target = 1});
    state.apply(result(trial, 1, static_cast<double>(trial)));
  }
  EXPECT_EQ(next(plan, state).trial, 2);
  EXPECT_THAT(state.ranking(), ElementsAre(2, 1, 0));
  EXPECT_EQ(is_maximized("val_accuracy"), true);
  EXPECT_EQ(is_maximized("val_loss"), false);
  EXPECT_EQ(is_maximized("mean_squared_error"), false);
  EXPECT_EQ(is_maximized("val_something"), std::nullopt);
}

// A journal that says what cannot be is damaged, or of another sweep.
TEST(SweepStateTest, RefusesEventsThatDoNotFollow) {
  const Plan plan = asha_plan(3, 9);
  SweepState state(plan);
  EXPECT_THROW(state.apply(result(0, 3, 1)), Error);
  EXPECT_THROW(state.apply(result(3, 1, 1)), Error);
  EXPECT_THROW(state.apply(result(0, 2, 1)), Error);
  EXPECT_THROW(state.apply({.kind = EventKind::kPromote, .trial = 0, .target = 1}), Error);
  state.apply({.kind = EventKind::kFailed, .trial = 0, .target = 1});
  EXPECT_THROW(state.apply({.kind = EventKind::kStart, .trial = 0, .target = 1}), Error);
}

}  // namespace
}  // namespace trireme::sweep

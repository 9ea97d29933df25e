// Cuts of a slot that are of one step: when they open, and what is in them.
#include <gmock/gmock.h>

#include "proto/ps_state.pb.h"
#include "tests/ps/server/slot_rig.h"

namespace trireme::ps::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What came of asking for a cut.
class Wanted {
 public:
  Wanted(SlotRig& slot, int64_t step, int worker = 0)
      : state_(std::make_shared<std::promise<Result>>()), future_(state_->get_future()) {
    slot->open_cut(
        [state = state_](auto cut) {
          state->set_value({std::move(cut), {}});
        },
        {.worker = worker, .step = step, .refused = [state = state_](const Error& error) {
           state->set_value({nullptr, error});
         }});
  }
  bool is_there() const { return future_.wait_for(0s) == std::future_status::ready; }
  std::shared_ptr<const Cut> cut() { return take().first; }
  Error error() {
    const auto result = take();
    return result.second.value_or(Error(ErrorCode::kInternal, "no error"));
  }

 private:
  using Result = std::pair<std::shared_ptr<const Cut>, std::optional<Error>>;
  Result take() {
    if (future_.wait_for(20s) != std::future_status::ready) {
      throw Error(ErrorCode::kDeadlineExceeded, "nothing came of a cut");
    }
    return future_.get();
  }
  std::shared_ptr<std::promise<Result>> state_;
  std::future<Result> future_;
};

proto::Setup two_workers(proto::Setup::Consistency consistency) {
  return setup_of({sum_table()}, 2, consistency);
}

// Worker 0 saves after its own step, when the other's push is still under way here.
TEST(SlotCut, WaitsUntilTheStepIsThere) {
  SlotRig slot;
  slot.set_up(two_workers(proto::Setup::SYNC));
  for (int worker : {0, 1}) slot.push(worker, 1, {{1, {1, 1}}});
  slot.push(0, 2, {{1, {10, 10}}});
  Wanted wanted(slot, 2);
  EXPECT_FALSE(wanted.is_there());
  EXPECT_THAT(slot.rows({1}).at(1), ElementsAre(2, 2));
  slot.push(1, 2, {{1, {20, 20}}});
  const auto cut = wanted.cut();
  ASSERT_NE(cut, nullptr);
  EXPECT_EQ(cut->step, 2);
  EXPECT_THAT(slot.rows({1}, cut->id).at(1), ElementsAre(32, 32));
}

// The other worker goes on with the next step while this one saves.
TEST(SlotCut, HasNothingOfTheNextStep) {
  SlotRig slot;
  slot.set_up(two_workers(proto::Setup::SYNC));
  slot.push(0, 1, {{1, {1, 1}}});
  Wanted wanted(slot, 1);
  slot.push(1, 1, {{1, {2, 2}}});
  slot.push(1, 2, {{1, {40, 40}}, {2, {1, 1}}});
  const auto cut = wanted.cut();
  ASSERT_NE(cut, nullptr);
  EXPECT_THAT(slot.rows({1}, cut->id).at(1), ElementsAre(3, 3));
  EXPECT_THAT(slot.rows({2}, cut->id).at(2), ElementsAre(0, 0));
  EXPECT_EQ(cut->newest, 1);
  // It comes again when training goes on from here.
  proto::SlotState state;
  ASSERT_TRUE(state.ParseFromString(cut->state));
  EXPECT_EQ(state.held_size(), 0);
  slot.push(0, 2, {{1, {50, 50}}});
  EXPECT_THAT(slot.rows({1}, cut->id).at(1), ElementsAre(3, 3));
  EXPECT_THAT(slot.rows({1}).at(1), ElementsAre(93, 93));
}

// Every part of the step, not the first only.
TEST(SlotCut, WaitsForAllPartsOfTheStep) {
  SlotRig slot;
  slot.set_up(two_workers(proto::Setup::SYNC));
  for (int worker : {0, 1}) slot.push(worker, 1, {{1, {1, 1}}}, 0, 2);
  slot.push(0, 1, {{2, {1, 1}}}, 1, 2);
  Wanted wanted(slot, 1);
  EXPECT_FALSE(wanted.is_there());
  slot.push(1, 1, {{2, {1, 1}}}, 1, 2);
  const auto cut = wanted.cut();
  ASSERT_NE(cut, nullptr);
  EXPECT_THAT(slot.rows({2}, cut->id).at(2), ElementsAre(2, 2));
}

TEST(SlotCut, SaysWhoIsMissingWhenItsTimeIsOver) {
  SlotRig slot;
  slot.set_up(two_workers(proto::Setup::SYNC));
  for (int worker : {0, 1}) slot.push(worker, 1, {{1, {1, 1}}});
  slot.push(0, 2, {{1, {1, 1}}});
  Wanted wanted(slot, 2);
  slot->tick(Slot::Clock::now());
  EXPECT_FALSE(wanted.is_there());
  slot->tick(Slot::Clock::now() + 1h);
  const Error error = wanted.error();
  EXPECT_EQ(error.code(), ErrorCode::kDeadlineExceeded);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("slot 0"), HasSubstr("snapshot of step 2"),
                                  HasSubstr("10 s"), HasSubstr("step 2 of worker 1")));
  // The slot lives.
  slot.push(1, 2, {{1, {1, 1}}});
  EXPECT_EQ(Wanted(slot, 2).cut()->step, 2);
}

// Two that both take themselves for worker 0: rows of a later step are no checkpoint of this one.
TEST(SlotCut, IsRefusedWhenTheRowsAreFurther) {
  SlotRig slot;
  slot.set_up(two_workers(proto::Setup::SYNC));
  for (int64_t step : {1, 2, 3}) {
    for (int worker : {0, 1}) slot.push(worker, step, {{1, {1, 1}}});
  }
  const Error error = Wanted(slot, 2).error();
  EXPECT_THAT(error.what(), AllOf(HasSubstr("snapshot of step 2"), HasSubstr("step 3")));
}

// With backup workers a step goes on without the slowest, which may be the one that saves.
TEST(SlotCut, BackupWorkersDoNotGoPastAStepThatIsSaved) {
  auto setup = setup_of({sum_table("t", 1)}, 3, proto::Setup::SYNC);
  setup.set_backup_workers(1);
  setup.set_save_every_steps(2);
  setup.set_steps_per_epoch(5);
  SlotRig slot;
  slot.set_up(setup);
  for (int64_t step = 1; step <= 4; ++step) {
    for (int worker : {1, 2}) slot.push(worker, step, {{1, {1}}});
  }
  // Steps 3 and 4 are here and wait: a checkpoint of step 2 is to come.
  EXPECT_EQ(slot->finished_step(), 2);
  slot.push(0, 1, {{1, {100}}});  // too late for it
  EXPECT_EQ(slot.push(0, 2, {{1, {100}}}).code(), AnswerCode::kDropped);
  const auto cut = Wanted(slot, 2).cut();
  ASSERT_NE(cut, nullptr);
  EXPECT_THAT(slot.rows({1}, cut->id).at(1), ElementsAre(4));
  slot->close_cut(cut->id);
  slot.push(0, 3, {{1, {100}}});
  EXPECT_EQ(slot->finished_step(), 4);
  EXPECT_THAT(slot.rows({1}).at(1), ElementsAre(108));
  // The end of an epoch is saved as well.
  slot.push(0, 4, {});
  for (int64_t step = 5; step <= 6; ++step) {
    for (int worker : {0, 1}) slot.push(worker, step, {{1, {1}}});
    EXPECT_EQ(slot->finished_step(), step);
  }
  for (int64_t step = 7; step <= 8; ++step) {
    for (int worker : {1, 2}) slot.push(worker, step, {{1, {1}}});
  }
  EXPECT_EQ(slot->finished_step(), 6);
}

TEST(SlotCut, GoesToTheNextPrimary) {
  SlotRig slot;
  slot.set_up(two_workers(proto::Setup::SYNC));
  Wanted wanted(slot, 1);
  slot->resign();
  EXPECT_EQ(wanted.cut(), nullptr);
  EXPECT_EQ(Wanted(slot, 1).cut(), nullptr) << "asked of one that is no primary";
}

// It gave up, or was started again: it will not close a cut that comes late.
TEST(SlotCut, AWorkerWaitsForOneAtATime) {
  SlotRig slot;
  slot.set_up(two_workers(proto::Setup::SYNC));
  slot.push(0, 1, {{1, {1, 1}}});
  Wanted first(slot, 1);
  Wanted second(slot, 1);
  EXPECT_EQ(first.error().code(), ErrorCode::kCancelled);
  slot.push(1, 1, {{1, {1, 1}}});
  EXPECT_EQ(second.cut()->step, 1);
}

// Whoever saves checkpoints now does not wait for a cut that its predecessor left open.
TEST(SlotCut, AnotherWorkerTakesOverTheCheckpoints) {
  SlotRig slot;
  slot.set_up(two_workers(proto::Setup::SYNC));
  for (int worker : {0, 1}) slot.push(worker, 1, {{1, {1, 1}}});
  const auto left = Wanted(slot, 1, 0).cut();
  ASSERT_NE(left, nullptr);
  const auto cut = Wanted(slot, 1, 1).cut();
  ASSERT_NE(cut, nullptr);
  EXPECT_THROW(slot->use_cut(left->id), Error);
}

// What a server writes for itself does not wait for the workers.
TEST(SlotCut, OneThatWaitsHoldsUpNoOther) {
  SlotRig slot;
  slot.set_up(two_workers(proto::Setup::SYNC));
  slot.push(0, 1, {{1, {1, 1}}});
  Wanted wanted(slot, 1);
  const auto own = slot.open_cut();
  EXPECT_EQ(own->step, 0);
  slot.push(1, 1, {{1, {1, 1}}});
  EXPECT_FALSE(wanted.is_there());  // a table has one at a time
  slot->close_cut(own->id);
  EXPECT_EQ(wanted.cut()->step, 1);
}

// Without steps of all workers there is nothing to wait for; the cut says how far apart they are.
TEST(SlotCut, OfLooseConsistencyOpensAtOnce) {
  SlotRig slot;
  slot.set_up(two_workers(proto::Setup::ASYNC));
  for (int64_t step : {1, 2, 3}) slot.push(0, step, {{1, {1, 1}}});
  slot.push(1, 1, {{1, {10, 10}}});
  const auto cut = Wanted(slot, 3).cut();
  ASSERT_NE(cut, nullptr);
  EXPECT_EQ(cut->step, 1);
  EXPECT_EQ(cut->newest, 3);
  EXPECT_THAT(slot.rows({1}, cut->id).at(1), ElementsAre(13, 13));
}

}  // namespace
}  // namespace trireme::ps::testing

// A slot by itself: what it does is a function of the order in which requests come.
#include "ps/server/slot.h"

#include <gmock/gmock.h>

#include <cmath>
#include <numeric>
#include <random>
#include <thread>

#include "core/ops/ops.h"
#include "core/ops/update.h"
#include "tests/ps/server/slot_rig.h"
#include "tests/support/adan.h"

namespace trireme::ps::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Slot, AppliesAPushAndAnswersAPull) {
  SlotRig slot;
  slot.set_up(setup_of({sum_table()}, 1, proto::Setup::ASYNC));
  EXPECT_EQ(slot.push(0, 1, {{3, {1, 2}}, {1'000'000, {3, 4}}}).code(), AnswerCode::kOk);
  EXPECT_EQ(slot.push(0, 2, {{3, {10, 20}}}).code(), AnswerCode::kOk);
  const Rows rows = slot.rows({3, 4, 1'000'000});
  EXPECT_THAT(rows.at(3), ElementsAre(11, 22));
  EXPECT_THAT(rows.at(4), ElementsAre(0, 0));
  EXPECT_THAT(rows.at(1'000'000), ElementsAre(3, 4));
}

TEST(Slot, CountsAPushThatComesAgainOnce) {
  SlotRig slot;
  slot.set_up(setup_of({sum_table()}, 2, proto::Setup::ASYNC));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(slot.push(0, 2, {{5, {1, 1}}}).code(), AnswerCode::kOk);  // out of order, too
    EXPECT_EQ(slot.push(0, 1, {{5, {1, 1}}}).code(), AnswerCode::kOk);
    EXPECT_EQ(slot.push(1, 1, {{5, {1, 1}}}).code(), AnswerCode::kOk);
  }
  EXPECT_THAT(slot.rows({5}).at(5), ElementsAre(3, 3));
}

TEST(Slot, RefusesWhatAnEarlierIncarnationSendsLate) {
  SlotRig slot;
  slot.set_up(setup_of({sum_table()}, 1, proto::Setup::ASYNC));
  const auto push = [&](uint64_t incarnation, uint64_t sequence) {
    return slot.push(push_message(
        {.incarnation = incarnation, .sequence = sequence, .step = static_cast<int64_t>(sequence)},
        {{.keys = {1}, .rows = {1, 1}}}));
  };
  EXPECT_EQ(push(7, 1).code(), AnswerCode::kOk);
  EXPECT_EQ(push(8, 2).code(), AnswerCode::kOk);
  EXPECT_EQ(push(7, 3).error().code(), ErrorCode::kCancelled);
  EXPECT_EQ(push(7, 1).code(), AnswerCode::kOk);  // known
  EXPECT_THAT(slot.rows({1}).at(1), ElementsAre(2, 2));
}

TEST(Slot, TakesAListOfKeysByItsNumberOnceItHasSeenIt) {
  SlotRig slot;
  slot.set_up(setup_of({sum_table()}, 1, proto::Setup::ASYNC));
  EXPECT_EQ(slot.push(0, 1, {{5, {1, 1}}}, 0, 1, 0, 0, false).code(), AnswerCode::kNeedKeys);
  EXPECT_EQ(slot.push(0, 1, {{5, {1, 1}}}).code(), AnswerCode::kOk);
  EXPECT_EQ(slot.push(0, 2, {{5, {1, 1}}}, 0, 1, 0, 0, false).code(), AnswerCode::kOk);
  const auto pulled = slot.pull(pull_message({}, 0, 2, {5}, false));
  EXPECT_THAT(pulled.rows(2), ElementsAre(2, 2));
}

TEST(Slot, AddsThePushesOfAStepInTheOrderOfWorkers) {
  // In f32 the sum depends on the order: (1e8 + 3) − 1e8 is not 1e8 − 1e8 + 3.
  const float a = 1e8F, b = 3, c = -1e8F;
  SlotRig slot;
  slot.set_up(setup_of({sum_table("t", 1)}, 3, proto::Setup::SYNC));
  EXPECT_EQ(slot.push(2, 1, {{1, {c}}, {4, {1}}}).code(), AnswerCode::kOk);
  EXPECT_EQ(slot.push(0, 1, {{1, {a}}, {2, {5}}}).code(), AnswerCode::kOk);
  EXPECT_THAT(slot.rows({1}).at(1), ElementsAre(0));  // held back
  EXPECT_EQ(slot.push(1, 1, {{1, {b}}, {2, {6}}, {3, {7}}}).code(), AnswerCode::kOk);
  const Rows rows = slot.rows({1, 2, 3, 4});
  EXPECT_THAT(rows.at(1), ElementsAre((a + b) + c));
  EXPECT_THAT(rows.at(2), ElementsAre(11));
  EXPECT_THAT(rows.at(3), ElementsAre(7));
  EXPECT_THAT(rows.at(4), ElementsAre(1));
}

TEST(Slot, AppliesASynchronousStepOnce) {
  TableSpec spec = sum_table("t", 1);
  spec.update.op = "ApplyAdagrad";
  spec.update.attributes = {{"epsilon", 1e-7}, {"weight_decay", 0.0}};
  spec.update.slot_names = {"accumulator"};
  spec.update.slot_initials = {0.1};
  SlotRig slot;
  slot.set_up(setup_of({spec}, 2, proto::Setup::SYNC));
  slot.push(0, 1, {{1, {1}}}, 0, 1, 0, 0.5F);
  EXPECT_EQ(slot.push(1, 1, {{1, {2}}}, 0, 1, 0, 0.5F).code(), AnswerCode::kOk);
  // One update with the sum, not one for each worker.
  EXPECT_NEAR(slot.rows({1}).at(1)[0], -0.5 * 3 / std::sqrt(9.1 + 1e-7), 1e-6);
}

// An update rule that is not Trireme's is found in the op table that the server was given.
TEST(Slot, UpdatesByARuleOfTheProgram) {
  auto ops = std::make_shared<OpTable>();
  register_core_ops(*ops);
  add_update_ops(*ops,
                 std::make_shared<const UpdateRule>(make_update_rule<trireme::testing::Adan>()));
  TableSpec spec = sum_table("t", 1);
  const UpdateOp op = update_op(trireme::testing::Adan{.beta1 = 0.5, .beta3 = 0.25, .epsilon = 1});
  spec.update = {op.name, op.attributes, {"m", "v", "n", "last"}, std::vector<double>(4), nullptr};
  SlotRig slot(int64_t{1} << 40, 2, all_shards(kVirtualShards), ops);
  slot.set_up(setup_of({spec}, 1, proto::Setup::SYNC));
  EXPECT_EQ(slot.push(0, 1, {{1, {2}}}, 0, 1, 0, 0.5F).code(), AnswerCode::kOk);
  // m = 1, n = 1: −0.5 / (√1 + 1) · 1
  EXPECT_THAT(slot.rows({1}).at(1), ElementsAre(-0.25));

  SlotRig without;
  try {
    without.set_up(setup_of({spec}, 1, proto::Setup::SYNC));
    FAIL() << "a rule was taken that the program does not have";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("unknown update op \"ApplyAdan\""));
  }
}

TEST(Slot, LetsASynchronousPullWaitForTheStepBefore) {
  SlotRig slot;
  slot.set_up(setup_of({sum_table()}, 2, proto::Setup::SYNC));
  EXPECT_THAT(slot.ask(0, 1, {1}).rows(2), ElementsAre(0, 0));
  slot.push(0, 1, {{1, {1, 1}}}, 0, 2);
  slot.push(1, 1, {{1, {1, 1}}}, 0, 2);
  const Reply next = slot.ask(0, 2, {1});
  slot.push(0, 1, {{1, {5, 5}}}, 1, 2);
  EXPECT_FALSE(next.is_there());
  slot.push(1, 1, {}, 1, 2);
  EXPECT_THAT(next.rows(2), ElementsAre(7, 7));
  EXPECT_EQ(next.header().step, 1);
}

TEST(Slot, AppliesPartsOfLaterStepsLater) {
  SlotRig slot;
  slot.set_up(setup_of({sum_table()}, 2, proto::Setup::SYNC));
  slot.push(0, 1, {{1, {1, 1}}});
  slot.push(0, 2, {{1, {10, 10}}});
  slot.push(1, 2, {{1, {10, 10}}});
  EXPECT_THAT(slot.rows({1}).at(1), ElementsAre(0, 0));
  slot.push(1, 1, {{1, {1, 1}}});
  EXPECT_THAT(slot.rows({1}).at(1), ElementsAre(22, 22));
  EXPECT_EQ(slot->finished_step(), 2);
}

TEST(Slot, DropsThePushesOfBackupWorkersAndTellsThem) {
  SlotRig slot;
  auto setup = setup_of({sum_table()}, 3, proto::Setup::SYNC);
  setup.set_backup_workers(1);
  slot.set_up(setup);
  EXPECT_EQ(slot.push(0, 1, {{1, {1, 1}}}).code(), AnswerCode::kOk);
  EXPECT_EQ(slot.push(2, 1, {{1, {1, 1}}}).code(), AnswerCode::kOk);
  EXPECT_EQ(slot.push(1, 1, {{1, {1, 1}}}).code(), AnswerCode::kDropped);
  EXPECT_EQ(slot.push(1, 1, {{1, {1, 1}}}).code(), AnswerCode::kDropped);  // asked again
  EXPECT_THAT(slot.rows({1}).at(1), ElementsAre(2, 2));
  EXPECT_EQ(slot.push(1, 2, {{1, {1, 1}}}).code(), AnswerCode::kOk);
  EXPECT_EQ(slot.push(0, 2, {{1, {1, 1}}}).code(), AnswerCode::kOk);
  EXPECT_THAT(slot.rows({1}).at(1), ElementsAre(4, 4));
}

TEST(Slot, KeepsAFastWorkerWithinTheStaleness) {
  SlotRig slot;
  auto setup = setup_of({sum_table()}, 2, proto::Setup::BOUNDED);
  setup.set_staleness(2);
  slot.set_up(setup);
  for (int step = 1; step <= 3; ++step) {
    EXPECT_TRUE(slot.ask(0, step, {1}).code() == AnswerCode::kOk) << step;
    slot.push(0, step, {{1, {1, 1}}});
  }
  // Worker 1 has done no step: 0 ≥ 4 − 1 − 2 does not hold.
  const Reply fourth = slot.ask(0, 4, {1});
  EXPECT_FALSE(fourth.is_there());
  EXPECT_THAT(slot.ask(1, 1, {1}).rows(2), ElementsAre(3, 3));  // applied as they came
  slot.push(1, 1, {{1, {1, 1}}});
  EXPECT_THAT(fourth.rows(2), ElementsAre(4, 4));
}

TEST(Slot, NamesTheWorkersThatAPullWaitedFor) {
  for (const auto mode : {proto::Setup::SYNC, proto::Setup::BOUNDED}) {
    SlotRig slot;
    slot.set_up(setup_of({sum_table()}, 3, mode));
    slot.ask(1, 1, {1});
    slot.push(1, 1, {{1, {1, 1}}});
    const Reply late = slot.ask(1, 2, {1});
    slot->tick(Slot::Clock::now() + 5s);
    EXPECT_FALSE(late.is_there());
    slot->tick(Slot::Clock::now() + 11s);
    EXPECT_EQ(late.error().code(), ErrorCode::kDeadlineExceeded);
    EXPECT_THAT(late.error().what(), AllOf(HasSubstr("worker 1 for step 2"), HasSubstr("10 s")));
    EXPECT_THAT(
        late.error().what(),
        HasSubstr(mode == proto::Setup::SYNC ? "the pushes of step 1 of workers 0, 2"
                                             : "step 1 of worker 0 (step 0), worker 2 (step 0)"));
  }
}

TEST(Slot, BeginsAtTheStepOfAJobThatWasResumed) {
  SlotRig slot;
  slot.set_up(setup_of({sum_table()}, 2, proto::Setup::SYNC));
  EXPECT_THAT(slot.ask(0, 501, {1}).rows(2), ElementsAre(0, 0));
  slot.push(0, 501, {{1, {1, 1}}});
  const Reply next = slot.ask(0, 502, {1});
  EXPECT_FALSE(next.is_there());
  slot.push(1, 501, {{1, {1, 1}}});
  EXPECT_THAT(next.rows(2), ElementsAre(2, 2));
  // One that is started again goes on from here.
  std::promise<uint64_t> last;
  slot->last_push(1, [&](bool, const Slot::LastPush& has) { last.set_value(has.sequence); });
  EXPECT_EQ(last.get_future().get(), 501);
}

TEST(Slot, WaitsForNoPushThatWasLostWithAnEarlierServer) {
  SlotRig slot;
  slot.set_up(setup_of({sum_table()}, 2, proto::Setup::SYNC));
  for (int step = 1; step <= 3; ++step) {
    for (int worker : {0, 1}) slot.push(worker, step, {{1, {1, 1}}});
  }
  // The job is at step 9: worker 0's push of it was acknowledged by the server that died, worker
  // 1's was not.
  const Reply next = slot.ask(0, 10, {1}, 0, 9);
  EXPECT_FALSE(next.is_there());
  EXPECT_EQ(
      slot
          .push(push_message(
              {.worker = 1, .incarnation = 7, .sequence = 9, .step = 9, .acknowledged_step = 8},
              {{.keys = {1}, .rows = {5, 5}}}))
          .code(),
      AnswerCode::kOk);
  EXPECT_THAT(next.rows(2), ElementsAre(11, 11));
  EXPECT_EQ(slot->finished_step(), 9);
}

TEST(Slot, MixesSynchronousAndAsynchronousTables) {
  SlotRig slot;
  const TableSpec dense{.name = "dense", .dim = 2, .rows = 4, .elements = 8};
  auto setup = setup_of({sum_table(), dense}, 2, proto::Setup::SYNC);
  setup.set_sparse(proto::Setup::ASYNC);
  slot.set_up(setup);
  const auto push = [&](int worker, int64_t step) {
    return slot.push(push_message(
        {.worker = worker, .incarnation = 7, .sequence = static_cast<uint64_t>(step), .step = step},
        {{.table = 0, .keys = {9}, .rows = {1, 1}}, {.table = 1, .keys = {2}, .rows = {1, 1}}}));
  };
  EXPECT_EQ(push(0, 1).code(), AnswerCode::kOk);
  EXPECT_THAT(slot.rows({9}).at(9), ElementsAre(1, 1));
  const auto dense_row = [&] { return slot.pull(pull_message({}, 1, 2, {2})).rows(2); };
  EXPECT_THAT(dense_row(), ElementsAre(0, 0));
  EXPECT_EQ(push(1, 1).code(), AnswerCode::kOk);
  EXPECT_THAT(slot.rows({9}).at(9), ElementsAre(2, 2));
  EXPECT_THAT(dense_row(), ElementsAre(2, 2));
}

TEST(Slot, ReadsASnapshotWhilePushesGoOn) {
  SlotRig slot;
  slot.set_up(setup_of({sum_table()}, 1, proto::Setup::ASYNC));
  slot.push(0, 1, {{1, {1, 1}}, {2, {2, 2}}});
  const auto cut = slot.open_cut();
  slot.push(0, 2, {{1, {10, 10}}, {3, {3, 3}}});
  EXPECT_THAT(slot.rows({1}, cut->id).at(1), ElementsAre(1, 1));
  EXPECT_THAT(slot.rows({3}, cut->id).at(3), ElementsAre(0, 0));
  EXPECT_THAT(slot.rows({1}).at(1), ElementsAre(11, 11));
  slot->close_cut(cut->id);
  EXPECT_EQ(slot.ask(0, 0, {1}, cut->id).error().code(), ErrorCode::kNotFound);
}

TEST(Slot, OpensASecondSnapshotWhenTheFirstIsClosed) {
  SlotRig slot;
  slot.set_up(setup_of({sum_table()}, 1, proto::Setup::ASYNC));
  slot.push(0, 1, {{1, {1, 1}}});
  const auto first = slot.open_cut();
  std::promise<std::shared_ptr<const Cut>> opened;
  slot->open_cut([&](std::shared_ptr<const Cut> cut) { opened.set_value(std::move(cut)); });
  slot.push(0, 2, {{1, {1, 1}}});
  auto future = opened.get_future();
  EXPECT_EQ(future.wait_for(0s), std::future_status::timeout);
  slot->close_cut(first->id);
  ASSERT_EQ(future.wait_for(20s), std::future_status::ready);
  EXPECT_THAT(slot.rows({1}, future.get()->id).at(1), ElementsAre(2, 2));
}

// It was started again: nobody else would close what it opened before its death.
TEST(Slot, AWorkerThatOpensAnotherSnapshotHasForgottenTheFirst) {
  SlotRig slot;
  slot.set_up(setup_of({sum_table()}, 1, proto::Setup::ASYNC));
  slot.push(0, 1, {{1, {1, 1}}});
  for (int again = 0; again < 3; ++again) {
    std::promise<std::shared_ptr<const Cut>> opened;
    auto future = opened.get_future();
    slot->open_cut([&](std::shared_ptr<const Cut> cut) { opened.set_value(std::move(cut)); },
                   {.worker = 0});
    ASSERT_EQ(future.wait_for(20s), std::future_status::ready) << again;
    EXPECT_THAT(slot.rows({1}, future.get()->id).at(1), ElementsAre(1, 1));
  }
}

TEST(Slot, RefusesAPushThatWouldExceedItsMemory) {
  constexpr int64_t kLimit = int64_t{4} << 20;
  SlotRig slot(kLimit);
  slot.set_up(setup_of({sum_table("big", 64)}, 1, proto::Setup::ASYNC));
  const std::vector<float> row(64, 1);
  int64_t step = 0;
  Reply last;
  for (int64_t key = 0; key < 100'000; key += 100) {
    Rows rows;
    for (int64_t k = key; k < key + 100; ++k) rows[k] = row;
    last = slot.push(0, ++step, rows);
    if (last.code() != AnswerCode::kOk) break;
  }
  EXPECT_EQ(last.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_THAT(last.error().what(), AllOf(HasSubstr("table \"big\""), HasSubstr("4194304"),
                                         HasSubstr("raise the memory limit")));
  EXPECT_LE(slot.budget().used(), kLimit);
  EXPECT_GT(slot.statistics().tables[0].rows, 1'000);
  // It lives: rows that are there are updated and read, and the refused step may come again.
  EXPECT_EQ(slot.push(0, step, {{0, row}}).code(), AnswerCode::kOk);
  EXPECT_EQ(slot.rows({0}).at(0)[0], 2);
}

TEST(Slot, LeavesItsTablesAloneWhenARequestIsBad) {
  SlotRig slot;
  slot.set_up(setup_of({sum_table()}, 2, proto::Setup::ASYNC));
  slot.push(0, 1, {{1, {1, 1}}});
  const RequestHeader header{.incarnation = 7, .sequence = 2, .step = 2};
  const auto keys = in_wire_order(slot->setup()->shards, 0, {1, 2});
  const auto refused = [&](const Message& message, const std::string& text) {
    const Error error = slot.push(message).error();
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr(text));
  };
  refused(push_message(header, {{.keys = {keys[1], keys[0]}, .rows = {1, 1, 1, 1}}}), "in order");
  refused(push_message(header, {{.dim = 3, .keys = {1}, .rows = {1, 1, 1}}}), "dimension 2");
  refused(push_message(header, {{.table = 9, .keys = {1}, .rows = {1, 1}}}), "table 9");
  refused(push_message(header, {{.keys = {-4}, .rows = {1, 1}}}), "-4");
  MessageBytes cut;
  cut.add(push_message(header, {{.keys = {1}, .rows = {1, 1}}}).bytes);
  refused(cut.cut(cut.size() - 8).message(), "cut short");
  RequestHeader other = header;
  other.worker = 5;
  refused(push_message(other, {{.keys = {1}, .rows = {1, 1}}}), "worker 5");
  other.worker = -1'000'000;
  refused(push_message(other, {{.keys = {1}, .rows = {1, 1}}}), "worker from 0 on");
  other = header;
  other.parts = 2;
  refused(push_message(other, {{.keys = {1}, .rows = {1, 1}}}), "in 1 parts before");
  other = header;
  other.step = int64_t{1} << 60;
  refused(push_message(other, {{.keys = {1}, .rows = {1, 1}}}), "expected a step");
  EXPECT_THAT(slot.rows({1}).at(1), ElementsAre(1, 1));
  EXPECT_EQ(slot.statistics().tables[0].rows, 1);
  EXPECT_EQ(slot.push(push_message(header, {{.keys = {1}, .rows = {1, 1}}})).code(),
            AnswerCode::kOk);
}

// A worker that waits for the others sends nothing else.
TEST(Slot, HearsWithASetUpForWhichPushesItNeedNotWait) {
  SlotRig slot;
  slot.set_up(setup_of({sum_table()}, 2, proto::Setup::SYNC));
  slot.push(0, 1, {{1, {1, 1}}});
  slot.push(1, 1, {{1, {1, 1}}});
  const Reply pulled = slot.ask(0, 9, {1}, 0, 8);
  EXPECT_FALSE(pulled.is_there());
  slot->hear({.worker = 1, .acknowledged_step = 8});
  EXPECT_THAT(pulled.rows(2), ElementsAre(2, 2));
}

// Sequences follow from steps: those behind the checkpoint come again, with other gradients.
TEST(Slot, CountsPushesThatARestoredCheckpointDoesNotHave) {
  SlotRig slot;
  slot.set_up(setup_of({sum_table()}, 1, proto::Setup::SYNC));
  for (int64_t step = 1; step <= 3; ++step) slot.push(0, step, {{1, {1, 1}}});
  std::promise<bool> cleared;
  slot->clear(1, false, [&](bool ok) { cleared.set_value(ok); });
  ASSERT_TRUE(cleared.get_future().get());
  EXPECT_EQ(slot.push(0, 1, {{1, {1, 1}}}).code(), AnswerCode::kOk);
  EXPECT_THAT(slot.rows({1}).at(1), ElementsAre(0, 0)) << "step 1 is in the checkpoint";
  slot.push(0, 2, {{1, {5, 5}}});
  slot.push(0, 3, {{1, {6, 6}}});
  EXPECT_THAT(slot.rows({1}).at(1), ElementsAre(11, 11));
  EXPECT_EQ(slot->finished_step(), 3);
}

// Nothing forbids to name one list many times; its rows would be made for each.
TEST(Slot, RefusesAPullWhoseAnswerIsTooLong) {
  SlotRig slot;
  slot.set_up(setup_of({sum_table("t", 1 << 20)}, 1, proto::Setup::ASYNC));
  std::vector<int64_t> keys(300);
  std::iota(keys.begin(), keys.end(), 0);
  EXPECT_THAT(slot.ask(0, 0, keys).error().what(), HasSubstr("pull fewer rows"));
}

TEST(Slot, RefusesAJobThatDiffersFromTheFirst) {
  SlotRig slot;
  slot.set_up(setup_of({sum_table()}, 2, proto::Setup::ASYNC));
  slot.set_up(setup_of({sum_table()}, 2, proto::Setup::ASYNC));
  EXPECT_THROW(slot.set_up(setup_of({sum_table("sums", 3)}, 2, proto::Setup::ASYNC)), Error);
  TableSpec bad = sum_table("bad");
  bad.update.op = "ApplyMagic";
  SlotRig fresh;
  EXPECT_THROW(fresh.set_up(setup_of({bad}, 1, proto::Setup::ASYNC)), Error);
}

TEST(Slot, EvictsOldRowsByItself) {
  SlotRig slot;
  TableSpec spec = sum_table();
  spec.eviction.max_age = 10;
  slot.set_up(setup_of({spec}, 1, proto::Setup::ASYNC));
  slot.push(0, 1, {{1, {1, 1}}});
  slot.push(0, 50, {{2, {1, 1}}});
  slot->tick(Slot::Clock::now());
  EXPECT_EQ(slot.statistics().tables[0].rows, 1);
  EXPECT_THAT(slot.rows({1}).at(1), ElementsAre(0, 0));
}

// Many workers at once, each push twice: the sums are exact, whatever the order.
TEST(Slot, LosesNothingUnderLoadFromManyThreads) {
  constexpr int kWorkers = 4, kSteps = 200, kKeys = 500;
  SlotRig slot;
  slot.set_up(setup_of({sum_table("t", 1)}, kWorkers, proto::Setup::ASYNC));
  std::vector<std::thread> threads;
  for (int worker = 0; worker < kWorkers; ++worker) {
    threads.emplace_back([&, worker] {
      std::mt19937 random(static_cast<unsigned>(worker));
      for (int step = 1; step <= kSteps; ++step) {
        Rows rows;
        for (int i = 0; i < 20; ++i) rows[static_cast<int64_t>(random() % kKeys)] = {1};
        const Reply first = slot.push(worker, step, rows);
        const Reply again = slot.push(worker, step, rows);
        EXPECT_EQ(first.code(), AnswerCode::kOk);
        EXPECT_EQ(again.code(), AnswerCode::kOk);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::map<int64_t, float> expected;
  for (int worker = 0; worker < kWorkers; ++worker) {
    std::mt19937 random(static_cast<unsigned>(worker));
    for (int step = 1; step <= kSteps; ++step) {
      std::set<int64_t> keys;
      for (int i = 0; i < 20; ++i) keys.insert(static_cast<int64_t>(random() % kKeys));
      for (const int64_t key : keys) expected[key] += 1;
    }
  }
  std::vector<int64_t> keys(kKeys);
  for (int i = 0; i < kKeys; ++i) keys[static_cast<size_t>(i)] = i;
  for (const auto& [key, row] : slot.rows(keys)) {
    EXPECT_EQ(row[0], expected.contains(key) ? expected[key] : 0) << key;
  }
}

// What a step waits for is as safe as its rows.
TEST(SlotTest, ASnapshotHasWhatTheGateHolds) {
  const auto setup = setup_of({sum_table()}, 2, proto::Setup::SYNC);
  SlotRig before;
  before.set_up(setup);
  EXPECT_EQ(before.push(0, 1, {{1, {1, 2}}, {7, {3, 4}}}).code(), AnswerCode::kOk);
  const auto cut = before.open_cut();
  SlotRig after;
  after->restore_state(cut->state, true);
  after->promote(2);
  EXPECT_EQ(after.push(0, 1, {{1, {1, 2}}, {7, {3, 4}}}).code(), AnswerCode::kOk);  // again
  EXPECT_EQ(after.push(1, 1, {{1, {10, 20}}}).code(), AnswerCode::kOk);
  EXPECT_EQ(after.rows({1, 7}), (Rows{{1, {11, 22}}, {7, {3, 4}}}));
  before->close_cut(cut->id);
}

}  // namespace
}  // namespace trireme::ps::testing

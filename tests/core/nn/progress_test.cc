#include "core/nn/progress.h"

#include <gtest/gtest.h>

#include <sstream>

namespace trireme::nn {
namespace {

using namespace std::chrono_literals;

// A clock that the test moves.
struct Fixture {
  explicit Fixture(bool terminal)
      : progress({.out = &out, .terminal = terminal, .clock = [this] { return now; }}) {}
  std::string take() {
    std::string text = out.str();
    out.str("");
    return text;
  }
  std::chrono::steady_clock::time_point now{};
  std::ostringstream out;
  Progress progress;
};

TEST(ProgressTest, DrawsTheBarOfKerasOnATerminal) {
  Fixture f(true);
  f.progress.begin_epoch(0, 3, 469);
  EXPECT_EQ(f.take(), "Epoch 1/3\n");
  f.now += 1s;
  const LogValue logs[] = {{"loss", 2.302}, {"accuracy", 0.1123}};
  f.progress.update(47, logs);
  EXPECT_EQ(
      f.take(),
      "\r 47/469 [==>...........................] - ETA: 9s - loss: 2.3020 - accuracy: 0.1123");
  f.now += 3s;
  const LogValue all[] = {{"loss", 0.2412}, {"accuracy", 0.9264}, {"val_loss", 0.00012}};
  f.progress.end_epoch(469, all);
  EXPECT_EQ(f.take(),
            "\r469/469 [==============================] - 4s 9ms/step - loss: 0.2412 - accuracy: "
            "0.9264 - "
            "val_loss: 1.2000e-04\n");
}

TEST(ProgressTest, RedrawsAtMostTenTimesASecond) {
  Fixture f(true);
  f.progress.begin_epoch(0, 1, 1000);
  int drawn = 0;
  for (int i = 1; i <= 500; ++i) {
    f.now += 1ms;
    f.take();
    f.progress.update(i, {});
    drawn += !f.take().empty();
  }
  EXPECT_EQ(drawn, 5);
}

TEST(ProgressTest, AShorterLineCoversTheLongerOne) {
  Fixture f(true);
  f.progress.begin_epoch(0, 1, 10);
  f.now += 100s;
  f.progress.update(1, {});
  const size_t width = f.out.str().size() - std::string("Epoch 1/1\n").size();
  f.take();
  f.now += 1s;
  f.progress.update(9, {});
  EXPECT_EQ(f.take().size(), width);
}

TEST(ProgressTest, WritesAFewPlainLinesWhereThereIsNoTerminal) {
  Fixture f(false);
  f.progress.begin_epoch(1, 2, 8);
  for (int i = 1; i <= 8; ++i) {
    f.now += 500ms;
    const LogValue logs[] = {{"loss", 1.0 / i}};
    f.progress.update(i, logs);
  }
  const LogValue logs[] = {{"loss", 0.125}};
  f.progress.end_epoch(8, logs);
  EXPECT_EQ(f.take(),
            "Epoch 2/2\n"
            "2/8 - 1s 500ms/step - loss: 0.5000\n"
            "4/8 - 2s 500ms/step - loss: 0.2500\n"
            "6/8 - 3s 500ms/step - loss: 0.1667\n"
            "8/8 - 4s 500ms/step - loss: 0.1250\n");
}

// The time of a step counts the steps that this run took, not those before a resume.
TEST(ProgressTest, AResumedEpochCountsItsOwnTime) {
  Fixture f(false);
  f.progress.begin_epoch(0, 1, 100, 90);
  f.now += 10s;
  f.progress.end_epoch(100, {});
  EXPECT_EQ(f.take(), "Epoch 1/1\n100/100 - 10s 1s/step\n");
}

// Whoever waits for data sees it; where it is nothing to speak of the line stays short.
TEST(ProgressTest, TellsHowLongAStepWaitedForData) {
  Fixture f(false);
  f.progress.begin_epoch(0, 1, 100);
  f.now += 10s;
  f.progress.set_data_wait(0.3);
  f.progress.end_epoch(100, {});
  EXPECT_EQ(f.take(), "Epoch 1/1\n100/100 - 10s 100ms/step, data 3ms/step\n");
  f.progress.begin_epoch(0, 1, 100);
  f.now += 10s;
  f.progress.set_data_wait(0.09);
  f.progress.end_epoch(100, {});
  EXPECT_EQ(f.take(), "Epoch 1/1\n100/100 - 10s 100ms/step\n");
}

TEST(ProgressTest, AnUnknownLengthHasNoBar) {
  Fixture f(true);
  f.progress.begin_epoch(0, 1, -1);
  f.now += 2h;
  f.progress.update(7200, {});
  EXPECT_EQ(f.take(), "Epoch 1/1\n\r7200 - 2:00:00 1s/step");
}

}  // namespace
}  // namespace trireme::nn

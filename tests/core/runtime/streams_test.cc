// Streams, events and errors: communication runs beside compute, in the order that the data flow
// asks for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "core/base/error.h"
#include "core/device/kernel.h"
#include "core/device/task_stream.h"
#include "core/ops/ops.h"
#include "core/runtime/built_in_kernels.h"
#include "core/runtime/session.h"
#include "tests/support/evaluate.h"

namespace trireme {
namespace {

// Two ops that can only finish when they run at the same time: Meet waits until the other has
// started.
struct Meeting {
  std::atomic<int> arrived{0};
  std::atomic<int> communications{0};

  void meet(int side) {
    arrived |= side;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (arrived != 3) {
      if (std::chrono::steady_clock::now() > deadline) {
        throw Error(ErrorCode::kDeadlineExceeded, "the other stream never came");
      }
      std::this_thread::yield();
    }
  }
};

std::vector<TensorType> same_type(const InferenceContext& c) { return {c.input(0)}; }

std::shared_ptr<const OpTable> ops_with_meeting() {
  auto table = std::make_shared<OpTable>();
  register_core_ops(*table);
  table->add({.name = "MeetCommunication",
              .min_inputs = 1,
              .max_inputs = 1,
              .infer = same_type,
              .traits = {.is_stateful = true, .is_communication = true}});
  table->add({.name = "MeetCompute",
              .min_inputs = 1,
              .max_inputs = 1,
              .infer = same_type,
              .traits = {.is_stateful = true}});
  table->add({.name = "Fail",
              .min_inputs = 1,
              .max_inputs = 1,
              .infer = same_type,
              .traits = {.is_stateful = true, .is_communication = true}});
  return table;
}

std::shared_ptr<const KernelTable> kernels_with_meeting(const std::shared_ptr<Meeting>& meeting) {
  auto table = std::make_shared<KernelTable>(*built_in_kernels());
  auto meet = [meeting](int side) {
    return [meeting, side](const KernelSpec& spec) -> PreparedKernel {
      const size_t bytes = spec.inputs[0].bytes();
      return {.run = [meeting, side, bytes](const KernelArgs& args) {
        meeting->meet(side);
        if (side == 1) ++meeting->communications;
        std::memcpy(args.outputs[0], args.inputs[0], bytes);
      }};
    };
  };
  table->add("MeetCommunication", "cpu", DType::kFloat32, meet(1));
  table->add("MeetCompute", "cpu", DType::kFloat32, meet(2));
  table->add("Fail", "cpu", DType::kFloat32, [](const KernelSpec&) -> PreparedKernel {
    return {
        .run = [](const KernelArgs&) { throw Error(ErrorCode::kUnavailable, "rank 2 is lost"); }};
  });
  return table;
}

TEST(StreamsTest, CommunicationOverlapsWithCompute) {
  auto meeting = std::make_shared<Meeting>();
  Graph graph(ops_with_meeting());
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {1000});
  const Value sent = graph.add("MeetCommunication", {ops::square(x)}).output();
  const Value computed = graph.add("MeetCompute", {ops::negate(x)}).output();
  const Value both = sent + computed;
  Session session(graph, {.kernels = kernels_with_meeting(meeting)});
  auto function = session.function({x}, {both});
  const Tensor feed = testing::random_tensor(DType::kFloat32, {1000}, -2, 2, 1);
  std::vector<Tensor> results;
  for (int i = 0; i < 50; ++i) {
    meeting->arrived = 0;
    function->run(std::vector{feed}, results);
    for (int64_t k = 0; k < 1000; k += 99) {
      ASSERT_NEAR(results[0].as_double(k),
                  feed.as_double(k) * feed.as_double(k) - feed.as_double(k), 1e-5);
    }
  }
  EXPECT_EQ(meeting->communications, 50);
  EXPECT_GE(function->statistics().event_waits, 2);
}

TEST(StreamsTest, TheFirstErrorOfAStreamReachesTheCallerAndTheNextRunWorks) {
  auto meeting = std::make_shared<Meeting>();
  Graph graph(ops_with_meeting());
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {10});
  const Value lost = graph.add("Fail", {x}).output() + x;
  Session session(graph, {.kernels = kernels_with_meeting(meeting)});
  const Tensor feed = Tensor::zeros(DType::kFloat32, {10});
  try {
    session.run({{x, feed}}, {lost});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "rank 2 is lost");
    EXPECT_EQ(error.exit_code(), 75);
  }
  EXPECT_EQ(session.run({{x, feed}}, {ops::exp(x)})[0].as_double(0), 1);
}

// The bytes that the communication stream still reads must not be given to a value of the compute
// stream.
TEST(StreamsTest, MemoryInUseByTheOtherStreamIsNotReused) {
  auto meeting = std::make_shared<Meeting>();
  Graph graph(ops_with_meeting());
  const Value x = ops::placeholder(graph, "x", DType::kFloat32, {4096});
  const Value squared = ops::square(x);
  const Value sent = graph.add("MeetCommunication", {squared}).output();
  // While the message waits, compute makes many values of the same size.
  Value y = x;
  for (int i = 0; i < 8; ++i) y = ops::negate(ops::exp(ops::negate(ops::tanh(y))));
  const Value met = graph.add("MeetCompute", {y}).output();
  Session session(graph, {.kernels = kernels_with_meeting(meeting)});
  const Tensor feed = testing::random_tensor(DType::kFloat32, {4096}, -2, 2, 1);
  const auto results = session.run({{x, feed}}, {sent, met});
  for (int64_t k = 0; k < 4096; ++k) {
    ASSERT_FLOAT_EQ(results[0].as_double(k),
                    static_cast<float>(feed.as_double(k)) * static_cast<float>(feed.as_double(k)));
  }
}

TEST(TaskStreamTest, RunsInOrderAndKeepsTheFirstErrorOnly) {
  std::vector<int> order;
  TaskStream stream("test");
  HostEvent event;
  const KernelArgs none{};
  auto push = [&order](int i) {
    return PreparedKernel{.run = [&order, i](const KernelArgs&) {
      order.push_back(i);
      if (i % 2 == 1) throw Error(ErrorCode::kFailed, str_cat("kernel ", i));
    }};
  };
  const std::vector<PreparedKernel> kernels = {push(0), push(1), push(2), push(3)};
  for (const auto& kernel : kernels) stream.launch(kernel, none);
  stream.record(event);
  // It completes though the stream failed, with the stream's error: nobody hangs, nobody goes on.
  EXPECT_THROW(event.wait_on_host(), Error);
  try {
    stream.synchronize();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "kernel 1");
  }
  EXPECT_EQ(order, (std::vector{0, 1}));  // what followed the error was skipped
  stream.launch(kernels[2], none);
  stream.synchronize();
  EXPECT_EQ(order.back(), 2);
}

TEST(TaskStreamTest, WhoWaitsForAFailedStreamFailsToo) {
  TaskStream first("first"), second("second");
  HostEvent event;
  const KernelArgs none{};
  int runs = 0;
  const PreparedKernel fails{
      .run = [](const KernelArgs&) { throw Error(ErrorCode::kFailed, "x"); }};
  const PreparedKernel counts{.run = [&runs](const KernelArgs&) { ++runs; }};
  first.launch(fails, none);
  first.record(event);
  second.wait(event);
  second.launch(counts, none);
  EXPECT_THROW(second.synchronize(), Error);
  EXPECT_THROW(first.synchronize(), Error);
  EXPECT_EQ(runs, 0);
  // Recorded again, the event is that of a stream without error.
  first.record(event);
  second.wait(event);
  second.launch(counts, none);
  second.synchronize();
  EXPECT_EQ(runs, 1);
}

TEST(TaskStreamTest, MoreTasksThanTheQueueHoldsAllRun) {
  std::atomic<int> count{0};
  const PreparedKernel kernel{.run = [&count](const KernelArgs&) { ++count; }};
  const KernelArgs none{};
  {
    TaskStream stream("test");
    for (int i = 0; i < 2000; ++i) stream.launch(kernel, none);
  }
  EXPECT_EQ(count, 2000);
}

}  // namespace
}  // namespace trireme

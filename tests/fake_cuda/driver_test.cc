// What the fake driver promises of memory, streams and events: that it finds what a real one would
// leave undefined.
#include <future>
#include <thread>

#include "tests/fake_cuda/fixture.h"

namespace trireme::fake_cuda {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class FakeDriverTest : public FakeCudaTest {
 protected:
  // Whether one stream sees what another has made, under each of many orders.
  int wrong_of(int seeds, bool with_event) {
    const CUstream makes = make_stream(), uses = make_stream();
    const CUdeviceptr made = allocate(64), used = allocate(64);
    const CUevent event = make_event();
    int wrong = 0;
    for (int seed = 0; seed < seeds; ++seed) {
      fake_->seed(static_cast<uint64_t>(seed));
      const float value = static_cast<float>(seed);
      ok(launch("test_fill", 1, 64, makes, made, int64_t{64}, value));
      if (with_event) {
        ok(d().cuEventRecord(event, makes));
        ok(d().cuStreamWaitEvent(uses, event, 0));
      }
      ok(launch("test_add_one", 1, 64, uses, made, used, int64_t{64}));
      if (download(used, 64, uses)[0] != value + 1) ++wrong;
      ok(d().cuStreamSynchronize(makes));
    }
    ok(d().cuEventDestroy(event));
    return wrong;
  }
};

TEST_F(FakeDriverTest, CopiesAndComputes) {
  const CUstream stream = make_stream();
  const CUdeviceptr from = upload({1, 2, 3}, stream), to = allocate(3);
  ok(launch("test_add_one", 2, 32, stream, from, to, int64_t{3}));
  EXPECT_THAT(download(to, 3, stream), ElementsAre(2, 3, 4));
  const Statistics statistics = fake_->statistics();
  EXPECT_EQ(statistics.launches.at("test_add_one"), 1);
  EXPECT_EQ(statistics.bytes.at(OperationKind::kHostToDevice), 12);
  EXPECT_EQ(statistics.allocations, 2);
  EXPECT_THAT(fake_->take_complaints(), IsEmpty());
}

TEST_F(FakeDriverTest, FindsAMissingEventWait) {
  EXPECT_EQ(wrong_of(20, true), 0);
  EXPECT_GT(wrong_of(20, false), 5);
}

// The other way round: what is read late must not be overwritten by work that nobody ordered.
TEST_F(FakeDriverTest, FindsAnOverwriteThatNobodyOrdered) {
  const CUstream reads = make_stream(), writes = make_stream();
  const CUdeviceptr shared = allocate(8), result = allocate(8);
  int wrong = 0;
  for (int i = 0; i < 20; ++i) {
    ok(launch("test_fill", 1, 32, reads, shared, int64_t{8}, 1.0f));
    ok(launch("test_add_one", 1, 32, reads, shared, result, int64_t{8}));
    ok(launch("test_fill", 1, 32, writes, shared, int64_t{8}, 5.0f));
    if (download(result, 8, reads)[0] != 2) ++wrong;
    ok(d().cuStreamSynchronize(writes));
  }
  EXPECT_GT(wrong, 0);
}

TEST_F(FakeDriverTest, RunsNothingBeforeSomebodyWaits) {
  const CUstream stream = make_stream();
  ok(launch("test_fill", 1, 32, stream, allocate(8), int64_t{8}, 1.0f));
  EXPECT_THAT(fake_->statistics().launches, IsEmpty());
  ok(d().cuStreamSynchronize(stream));
  EXPECT_EQ(fake_->statistics().launches.at("test_fill"), 1);
}

TEST_F(FakeDriverTest, ReadsPinnedMemoryLateAndPageableMemoryAtOnce) {
  const CUstream stream = make_stream();
  void* pinned = nullptr;
  ok(d().cuMemHostAlloc(&pinned, 4, 0));
  auto& early = *static_cast<float*>(pinned);
  float pageable = 1;
  early = 1;
  const CUdeviceptr to = allocate(2);
  ok(d().cuMemcpyHtoDAsync(to, pinned, 4, stream));
  ok(d().cuMemcpyHtoDAsync(to + 4, &pageable, 4, stream));
  early = pageable = 2;
  EXPECT_THAT(download(to, 2, stream), ElementsAre(2, 1));
  ok(d().cuMemFreeHost(pinned));
}

TEST_F(FakeDriverTest, FreshMemoryIsNotANumber) {
  const CUstream stream = make_stream();
  EXPECT_THAT(download(allocate(5000), 5000, stream), Each(testing::IsNan()));
}

TEST_F(FakeDriverTest, FindsAWriteOutOfBounds) {
  const CUstream stream = make_stream();
  const CUdeviceptr to = allocate(10);
  ok(launch("test_fill", 1, 32, stream, to, int64_t{11}, 1.0f));
  EXPECT_EQ(d().cuStreamSynchronize(stream), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_THAT(fake_->take_complaints(),
              Contains(HasSubstr("0 bytes past the end of 40 bytes on card 0")));
  // A card that has failed stays so.
  EXPECT_EQ(d().cuMemcpyDtoDAsync(to, to, 0, stream), CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_F(FakeDriverTest, FindsAWriteFarOutOfBoundsAndSaysWho) {
  const CUstream stream = make_stream();
  ok(launch("test_fill", 1, 1, stream, allocate(64), int64_t{100000}, 1.0f));
  const CUresult result = d().cuStreamSynchronize(stream);
  EXPECT_EQ(result, CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_THAT(text(result), HasSubstr("kernel 'test_fill', thread ("));
  EXPECT_THAT(text(result), HasSubstr("0 bytes past the end of 256 bytes on card 0"));
}

TEST_F(FakeDriverTest, FindsUseOfFreedMemory) {
  const CUstream stream = make_stream();
  CUdeviceptr freed = 0;
  ok(d().cuMemAlloc(&freed, 64));
  ok(d().cuMemFree(freed));
  EXPECT_EQ(launch("test_fill", 1, 32, stream, freed, int64_t{1}, 1.0f), CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(fake_->take_complaints(), Contains(HasSubstr("64 bytes on card 0 that have been")));
}

TEST_F(FakeDriverTest, HasNoMoreMemoryThanItSays) {
  CUdeviceptr address = 0;
  EXPECT_EQ(d().cuMemAlloc(&address, 300 << 20), CUDA_ERROR_OUT_OF_MEMORY);
  size_t free = 0, total = 0;
  allocate<char>(56 << 20);
  ok(d().cuMemGetInfo(&free, &total));
  EXPECT_EQ(total, 256u << 20);
  EXPECT_EQ(free, 200u << 20);
}

TEST_F(FakeDriverTest, RefusesHostMemoryInAKernel) {
  float on_host = 0;
  float* address = &on_host;
  EXPECT_EQ(launch("test_fill", 1, 32, make_stream(), address, int64_t{1}, 1.0f),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_THAT(fake_->take_complaints(), Contains(HasSubstr("which is not device memory")));
}

TEST_F(FakeDriverTest, RefusesAnotherCardsStreamAndMemory) {
  const CUdeviceptr of_first = allocate(8);
  const CUstream stream_of_first = make_stream();
  ok(d().cuCtxSetCurrent(contexts_[1]));
  EXPECT_EQ(launch("test_fill", 1, 32, stream_of_first, of_first, int64_t{8}, 1.0f),
            CUDA_ERROR_INVALID_HANDLE);
  const CUstream stream = make_stream();
  EXPECT_EQ(launch("test_fill", 1, 32, stream, of_first, int64_t{8}, 1.0f),
            CUDA_ERROR_INVALID_VALUE);
  // A copy between cards needs no peer access.
  const CUdeviceptr of_second = allocate(8);
  ok(launch("test_fill", 1, 32, stream, of_second, int64_t{8}, 3.0f));
  ok(d().cuMemcpyPeerAsync(of_first, contexts_[0], of_second, contexts_[1], 32, stream));
  ok(d().cuStreamSynchronize(stream));
  ok(d().cuCtxSetCurrent(contexts_[0]));
  EXPECT_THAT(download(of_first, 8, stream_of_first), Each(3));
  EXPECT_THAT(fake_->take_complaints(), SizeIs(2));
}

TEST_F(FakeDriverTest, RefusesAThreadWithoutContextAndTheDefaultStream) {
  std::thread([] {
    CUdeviceptr address = 0;
    EXPECT_EQ(d().cuMemAlloc(&address, 4), CUDA_ERROR_INVALID_CONTEXT);
  }).join();
  EXPECT_EQ(d().cuStreamSynchronize(nullptr), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(FakeDriverTest, PollingAnEventGetsThere) {
  const CUstream stream = make_stream();
  const CUevent event = make_event();
  ok(launch("test_fill", 1, 32, stream, allocate(8), int64_t{8}, 1.0f));
  ok(d().cuEventRecord(event, stream));
  int polls = 0;
  while (d().cuEventQuery(event) == CUDA_ERROR_NOT_READY) ASSERT_LT(++polls, 10);
  EXPECT_EQ(fake_->statistics().launches.at("test_fill"), 1);
  ok(d().cuEventDestroy(event));
}

// As collectives do that go through the host: each waits for the other, and nobody for a stream.
TEST_F(FakeDriverTest, FunctionsForTheHostMeetAlthoughNobodyWaits) {
  struct Meeting {
    std::promise<void> first, second, both;
  } meeting;
  const CUstream first = make_stream(), second = make_stream();
  ok(d().cuLaunchHostFunc(
      first,
      [](void* m) {
        auto& meeting = *static_cast<Meeting*>(m);
        meeting.first.set_value();
        meeting.second.get_future().wait();
        meeting.both.set_value();
      },
      &meeting));
  ok(d().cuLaunchHostFunc(
      second,
      [](void* m) {
        auto& meeting = *static_cast<Meeting*>(m);
        meeting.first.get_future().wait();
        meeting.second.set_value();
      },
      &meeting));
  EXPECT_EQ(meeting.both.get_future().wait_for(std::chrono::seconds(30)),
            std::future_status::ready);
  ok(d().cuStreamSynchronize(first));
  ok(d().cuStreamSynchronize(second));
}

TEST_F(FakeDriverTest, LogsWhatWaitedForWhat) {
  const CUstream compute = make_stream(), copies = make_stream();
  const CUdeviceptr a = allocate(8), b = allocate(8), c = allocate(8);
  const CUevent event = make_event();
  fake_->start_log();
  ok(launch("test_fill", 1, 32, compute, a, int64_t{8}, 1.0f));
  ok(d().cuMemsetD8Async(b, 0, 32, copies));
  ok(d().cuEventRecord(event, copies));
  ok(d().cuStreamWaitEvent(compute, event, 0));
  ok(launch("test_add_one", 1, 32, compute, b, c, int64_t{8}));
  ok(d().cuStreamSynchronize(compute));
  const std::vector<LoggedOperation> log = fake_->stop_log();
  const auto id_of = [&](const std::string& name) {
    for (const LoggedOperation& operation : log)
      if (operation.name == name) return operation.id;
    return uint64_t{0};
  };
  const uint64_t fill = id_of("test_fill"), set = id_of("memset"), add = id_of("test_add_one");
  EXPECT_TRUE(happens_before(log, set, add));
  EXPECT_TRUE(happens_before(log, fill, add));
  EXPECT_FALSE(happens_before(log, fill, set));
  EXPECT_FALSE(happens_before(log, set, fill));
  ok(d().cuEventDestroy(event));
}

using FakeDriverDeathTest = FakeDriverTest;

TEST_F(FakeDriverDeathTest, HostCodeThatTouchesDeviceMemoryDies) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const CUdeviceptr address = allocate(8);
  EXPECT_DEATH(*reinterpret_cast<volatile float*>(address) = 1,
               "host code touched device memory|SEGV");
}

}  // namespace
}  // namespace trireme::fake_cuda

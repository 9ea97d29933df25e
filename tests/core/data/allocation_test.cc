// A training step may allocate nothing, and the next batch is part of it. This program counts
// operator new.
#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/core/data/helpers.h"

namespace {
std::atomic<int64_t> allocations = 0, frees = 0;
}

// NOLINTBEGIN: every replaceable form that the standard library may call ends in these.
[[gnu::noinline]] void* operator new(size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  frees += memory != nullptr ? 1 : 0;
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
  frees += memory != nullptr ? 1 : 0;
  std::free(memory);
}
// NOLINTEND

namespace trireme::data {
namespace {

Dataset pixels(int64_t n) {
  return from_columns(
      {{"image", Tensor::zeros(DType::kUInt8, {n, 8, 8, 1}), DType::kFloat32, 1 / 255.f},
       {"label", Tensor::zeros(DType::kUInt8, {n}), DType::kInt64}});
}

// Tensors take their memory from allocate_host(), which makes a shared_ptr and so is counted too.
int64_t allocations_of(const Dataset& data, int warm_up, int steps) {
  Iterator iterator = data.iterator();
  Element batch;
  for (int i = 0; i < warm_up; ++i) EXPECT_TRUE(iterator.next(batch));
  const int64_t before = allocations;
  for (int i = 0; i < steps; ++i) EXPECT_TRUE(iterator.next(batch));
  return allocations - before;
}

TEST(AllocationTest, CountsAllocations) {
  const int64_t before = allocations;
  const Tensor tensor(DType::kFloat32, {4});
  EXPECT_GT(allocations, before);
}

TEST(AllocationTest, ShuffledBatchesAllocateNothing) {
  EXPECT_EQ(allocations_of(pixels(100).shuffle(1).repeat().batch(16), 1, 100), 0);
}

// The last batch of each epoch is smaller and must live in the memory of the others.
TEST(AllocationTest, RemaindersAllocateNothing) {
  EXPECT_EQ(allocations_of(pixels(100).shuffle(1).batch(16).repeat(), 1, 100), 0);
}

TEST(AllocationTest, ShardsAllocateNothing) {
  EXPECT_EQ(allocations_of(pixels(100).shuffle(1).repeat().shard(3, 1).batch(16), 1, 100), 0);
}

// With prefetch, tensors circulate between the consumer and the queue.
TEST(AllocationTest, PrefetchAllocatesNothing) {
  EXPECT_EQ(allocations_of(pixels(100).shuffle(1).batch(16, true).repeat().prefetch(3), 16, 100),
            0);
}

TEST(AllocationTest, MapsInPlaceAllocateNothing) {
  const auto flip = [](Element& element, const MapContext&) {
    for (float& x : element[0].flat<float>()) x = 1 - x;
  };
  EXPECT_EQ(
      allocations_of(pixels(100).shuffle(1).map(flip, {.threads = 0}).repeat().batch(16), 2, 100),
      0);
}

TEST(AllocationTest, ACacheThatIsFullAllocatesNothing) {
  EXPECT_EQ(allocations_of(pixels(64).cache().shuffle(1).repeat().batch(16), 5, 100), 0);
}

bool is_kept(const Element& element) { return element[1].item<int64_t>() == 0; }

TEST(AllocationTest, StreamsAllocateNothing) {
  EXPECT_EQ(allocations_of(pixels(4000).filter(is_kept).batch(16), 20, 100), 0);
  EXPECT_EQ(allocations_of(pixels(4000).filter(is_kept).shuffle(1, 10).padded_batch(5), 40, 100),
            0);
}

// What is held is bounded by what is read ahead, however long the stream is: in a million elements
// not one more is held than after some.
TEST(AllocationTest, MemoryIsBoundedByWhatIsReadAhead) {
  const auto touch = [](Element& element, const MapContext&) { element[0].flat<float>()[0] = 1; };
  Iterator iterator = from_columns({{"x", Tensor::zeros(DType::kFloat32, {1000, 4})},
                                    {"label", Tensor::zeros(DType::kInt64, {1000})}})
                          .shuffle(1)
                          .repeat()
                          .filter(is_kept)
                          .shuffle(2, 64)
                          .group_by_window({.key = [](const Element&) { return 0; },
                                            .window_size = [](int64_t) { return 32; }})
                          .unbatch()
                          .batch(100)
                          .map(touch, {.threads = 2})
                          .prefetch(4)
                          .iterator();
  Element batch;
  int64_t most = 0;
  for (int64_t read = 0; read < 1'000'000;) {
    ASSERT_TRUE(iterator.next(batch));
    read += batch[0].shape()[0];
    const int64_t held = allocations - frees;
    if (read <= 100'000) {
      most = std::max(most, held);
    } else {
      // What a thread has in its hands while it is looked at.
      ASSERT_LE(held, most + 100) << "after " << read << " elements";
    }
  }
}

}  // namespace
}  // namespace trireme::data

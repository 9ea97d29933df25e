// A training step may allocate nothing, and the next batch is part of it. This program counts
// operator new.
#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/core/data/helpers.h"

namespace {
std::atomic<int64_t> allocations = 0;
}

// NOLINTBEGIN: every replaceable form that the standard library may call ends in these.
[[gnu::noinline]] void* operator new(size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
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

}  // namespace
}  // namespace trireme::data

// A loop over values allocates nothing after its first rounds. This program counts operator new.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "core/eager/ops.h"
#include "core/eager/tape.h"
#include "tests/support/evaluate.h"

namespace {

std::atomic<int64_t> allocations = 0;

void* allocate(size_t bytes, size_t alignment) {
  ++allocations;
  void* memory =
      alignment <= alignof(std::max_align_t)
          ? std::malloc(bytes == 0 ? 1 : bytes)
          : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// NOLINTBEGIN: every replaceable form that the standard library may call ends in these.
[[gnu::noinline]] void* operator new(size_t bytes) { return allocate(bytes, 0); }
[[gnu::noinline]] void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return allocate(bytes, 0);
}
[[gnu::noinline]] void* operator new(size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}
// NOLINTEND

namespace trireme::eager {
namespace {

TEST(EagerAllocationTest, ALoopWithATapeAllocatesNothing) {
  const Value x(testing::random_tensor(DType::kFloat32, {8, 4}, -1, 1, 1));
  const Value y(testing::random_tensor(DType::kFloat32, {8, 2}, -1, 1, 2));
  Value w(testing::random_tensor(DType::kFloat32, {4, 2}, -1, 1, 3));
  Value b(testing::random_tensor(DType::kFloat32, {2}, -1, 1, 4));
  double first = 0, last = 0;
  int64_t before = 0;
  for (int i = 0; i < 100; ++i) {
    if (i == 10) before = allocations;
    Tape tape;
    tape.watch(w);
    tape.watch(b);
    const Value loss = mean(square(add(add(x, 0.0 * x), x)[0][0] + sum(w) + sum(b) - sum(y) * 0.1));
    const Value sources[] = {w, b};
    Value gradients[2];
    tape.gradient(loss, sources, gradients);
    const double rate = 0.01 / (1 + i);  // another number in each round
    w = w - rate * gradients[0];
    b = b - rate * gradients[1];
    last = loss.item();
    if (i == 0) first = last;
  }
  EXPECT_EQ(allocations - before, 0);
  EXPECT_GT(before, 0);
  EXPECT_LT(last, first);
}

}  // namespace
}  // namespace trireme::eager

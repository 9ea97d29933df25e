#include "core/tensor/buffer.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace trireme {
namespace {

TEST(BufferTest, IsAlignedWhateverItsSize) {
  for (const size_t bytes : {0, 1, 63, 64, 65, 4096, 627'200, 4 << 20, 9 << 20}) {
    const auto buffer = allocate_host(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % kAlignment, 0U) << bytes;
    EXPECT_EQ(buffer->bytes(), bytes);
    std::memset(buffer->data(), 1, bytes);
  }
}

// A training makes and frees the validation's last batch in each epoch, among smaller things that
// stay: its memory must not grow by a batch an epoch.
TEST(BufferTest, MemoryThatWasFreedIsUsedAgain) {
  std::vector<std::unique_ptr<char[]>> small;
  const auto come_and_go = [&](int times) {
    for (int i = 0; i < times; ++i) {
      const auto buffer = allocate_host(627'200);
      std::memset(buffer->data(), 1, buffer->bytes());
      small.push_back(std::make_unique<char[]>(100));
    }
  };
  come_and_go(20);
  const size_t before = mallinfo2().arena + mallinfo2().hblkhd;
  come_and_go(300);
  EXPECT_LT(mallinfo2().arena + mallinfo2().hblkhd, before + (16 << 20));
}

}  // namespace
}  // namespace trireme

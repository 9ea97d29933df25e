#include "core/io/crc32c.h"

#include <gtest/gtest.h>

#include <string>

#include "core/base/philox.h"

namespace trireme::io {
namespace {

// RFC 3720, B.4, and the check value of the catalogue of CRCs.
TEST(Crc32c, KnownAnswers) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string ascending;
  for (char c = 0; c < 32; ++c) ascending += c;
  EXPECT_EQ(crc32c(ascending), 0x46dd794eu);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(Crc32c, MaskIsInverted) {
  for (uint32_t crc : {0u, 1u, 0xffffffffu, 0xe3069283u}) {
    EXPECT_NE(mask_crc(crc), crc);
    EXPECT_EQ(unmask_crc(mask_crc(crc)), crc);
  }
  EXPECT_EQ(mask_crc(0), 0xa282ead8u);
}

// The two implementations agree at every length and alignment, and in pieces.
TEST(Crc32c, PortableAndHardwareAgree) {
  PhiloxGenerator random(7);
  std::string bytes;
  for (int i = 0; i < 300; ++i) bytes += static_cast<char>(random.next());
  for (size_t begin = 0; begin < 9; ++begin) {
    for (size_t size = 0; begin + size <= bytes.size(); ++size) {
      const char* data = bytes.data() + begin;
      const uint32_t whole = crc32c_extend(0, data, size);
      ASSERT_EQ(crc32c_extend_portable(0, data, size), whole);
      ASSERT_EQ(crc32c_extend(crc32c_extend(0, data, size / 3), data + size / 3, size - size / 3),
                whole);
    }
  }
}

// Long enough for the stripes that the hardware version takes in parallel, and sizes around their
// ends.
TEST(Crc32c, LongInputsAgree) {
  PhiloxGenerator random(8);
  std::string bytes;
  for (int i = 0; i < 50'000; ++i) bytes += static_cast<char>(random.next());
  for (size_t size = 12'280; size < bytes.size(); size += size % 24'576 < 24 ? 1 : 4'093) {
    ASSERT_EQ(crc32c_extend(5, bytes.data() + 1, size),
              crc32c_extend_portable(5, bytes.data() + 1, size))
        << size;
  }
}

}  // namespace
}  // namespace trireme::io

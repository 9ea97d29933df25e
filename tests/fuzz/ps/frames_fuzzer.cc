// A stream of frames, cut anywhere: any bytes are messages of at most the limit, or an Error; and
// however they are cut, they are the same messages.
#include <cstdlib>
#include <string>
#include <vector>

#include "ps/protocol/frame.h"
#include "tests/fuzz/data/fuzz.h"
#include "tests/fuzz/ps/ps.h"

namespace {

constexpr size_t kMost = 64;

std::vector<std::string> read(std::span<const std::byte> bytes, size_t at_a_time) {
  using namespace trireme::ps;
  static const auto buffers = std::make_shared<BufferPool>(kKeptBytes);
  std::vector<std::string> came;
  FrameReader reader(
      buffers, kMost,
      [&](const FrameHeader& header, const Message& message) {
        if (message.bytes.size() != header.bytes || header.bytes > kMost) std::abort();
        came.emplace_back(reinterpret_cast<const char*>(message.bytes.data()),
                          message.bytes.size());
      },
      [&](const FrameHeader& header) {
        if (header.bytes <= kMost) std::abort();
        came.push_back("too long");
      });
  try {
    for (; !bytes.empty(); bytes = bytes.subspan(std::min(at_a_time, bytes.size()))) {
      reader.feed(bytes.first(std::min(at_a_time, bytes.size())));
    }
  } catch (const trireme::Error& error) {
    if (error.code() != trireme::ErrorCode::kDataLoss) std::abort();
    came.push_back("garbage");
  }
  return came;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::span bytes(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  if (read(bytes, bytes.size() + 1) != read(bytes, 1 + data[0] % 50)) std::abort();
  return 0;
}

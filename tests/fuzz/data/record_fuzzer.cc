// Frames of records, packed or not; and what they hold as messages.
#include <cstring>
#include <vector>

#include "core/data/tfrecord.h"
#include "core/io/crc32c.h"
#include "tests/fuzz/data/fuzz.h"

namespace {

// Checksums that fit, which no mutation finds: so that what is behind them is reached.
std::vector<uint8_t> with_checksums(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  const auto put = [&](size_t at, size_t begin, size_t count) {
    const uint32_t crc = trireme::io::mask_crc(
        trireme::io::crc32c(trireme::fuzz::text(bytes.data() + begin, count)));
    std::memcpy(bytes.data() + at, &crc, 4);
  };
  for (size_t at = 0; size - at >= 16;) {
    uint64_t length;
    std::memcpy(&length, &bytes[at], 8);
    put(at + 8, at, 8);
    if (length > size - at - 16) break;
    put(at + 12 + static_cast<size_t>(length), at + 12, static_cast<size_t>(length));
    at += 16 + static_cast<size_t>(length);
  }
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme::data;
  const std::vector<uint8_t> fitting = with_checksums(data, size);
  for (const auto& bytes : {std::span(data, size), std::span(fitting.data(), size)})
    for (const Packing packing : {Packing::kDetect, Packing::kNone, Packing::kZlib}) {
      trireme::fuzz::only_user_errors([&] {
        RecordReader reader(bytes, "fuzz", {.packing = packing, .max_record_bytes = 1 << 20});
        uint64_t sum = 0;
        for (std::string_view record; reader.next(record);) sum += record.size();
        // A plain file holds what it is.
        if (reader.packing() == Packing::kNone && sum > size) std::abort();
      });
    }
  return 0;
}

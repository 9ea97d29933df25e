// Pictures in PNG and JPEG, within limits, resized.
#include <zlib.h>

#include <vector>

#include "core/data/image_decoder.h"
#include "tests/fuzz/data/fuzz.h"

namespace {

// The checksums of a PNG's chunks made to fit, which no mutation finds.
std::vector<uint8_t> with_checksums(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  if (size < 8 || bytes[0] != 0x89) return bytes;
  for (size_t at = 8; size - at >= 12;) {
    const size_t length = size_t{bytes[at]} << 24 | size_t{bytes[at + 1]} << 16 |
                          size_t{bytes[at + 2]} << 8 | bytes[at + 3];
    if (length > size - at - 12) break;
    const uLong crc = crc32(0, &bytes[at + 4], static_cast<uInt>(length + 4));
    for (int i = 0; i < 4; ++i) {
      bytes[at + 8 + length + static_cast<size_t>(i)] = static_cast<uint8_t>(crc >> (24 - 8 * i));
    }
    at += 12 + length;
  }
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme::data;
  const std::vector<uint8_t> bytes = with_checksums(data, size);
  for (const int64_t channels : {0, 1, 3, 4}) {
    trireme::fuzz::only_user_errors([&] {
      Image image;
      decode_image(bytes, channels, image, {.max_pixels = 1 << 16});
      if (image.height * image.width > 1 << 16) std::abort();
      if (image.pixels.size() != static_cast<size_t>(image.height * image.width * image.channels)) {
        std::abort();
      }
      std::vector<float> resized(static_cast<size_t>(5 * 7 * image.channels));
      resize_image(image, {.height = 5, .width = 7, .crop_to_aspect_ratio = (size & 1) != 0},
                   resized);
      for (const float value : resized) {
        if (!(value >= 0 && value <= 255)) std::abort();
      }
    });
  }
  return 0;
}

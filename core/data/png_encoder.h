// Pictures as PNG, for people to look at.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace trireme::data {

// A file of 8 bits a channel. `pixels`: rows from the top, of pixels with 1 channel (gray), 3 (RGB)
// or 4 (RGBA). REQUIRES: width, height > 0, pixels.size() == width * height * channels.
std::string encode_png(std::span<const uint8_t> pixels, int64_t width, int64_t height,
                       int channels);

}  // namespace trireme::data

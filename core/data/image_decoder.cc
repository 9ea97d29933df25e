#include "core/data/image_decoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/error.h"
#include "core/data/picture_formats.h"

namespace trireme::data {
namespace {

bool begins_with(std::span<const uint8_t> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

}  // namespace

void decode_image(std::span<const uint8_t> bytes, int64_t channels, Image& out,
                  const ImageLimits& limits) {
  TRIREME_CHECK(channels == 0 || channels == 1 || channels == 3 || channels == 4);
  if (begins_with(bytes, "\xff\xd8\xff")) return decode_jpeg(bytes, channels, out, limits);
  if (begins_with(bytes, "\x89PNG\r\n\x1a\n")) return decode_png(bytes, channels, out, limits);
  const std::string_view found =
      bytes.empty()                ? "no bytes"
      : begins_with(bytes, "GIF8") ? "a GIF"
      : begins_with(bytes, "BM")   ? "a BMP"
      : begins_with(bytes, "RIFF") ? "a WebP"
      : begins_with(bytes, "II*") || begins_with(bytes, std::string_view("MM\0*", 4))
          ? "a TIFF"
          : "other bytes";
  throw data_loss("expected a picture in PNG or JPEG, found ", found);
}

void check_picture_size(uint64_t height, uint64_t width, const ImageLimits& limits) {
  constexpr uint64_t kMaxSide = 1 << 20;
  const bool fits = height >= 1 && width >= 1 && height <= kMaxSide && width <= kMaxSide &&
                    height * width <= static_cast<uint64_t>(limits.max_pixels);
  if (fits) return;
  throw data_loss("expected a picture of 1 to ", limits.max_pixels,
                  " pixels (max_pixels), its header says ", height, "×", width);
}

namespace {

// Where an axis is read for each place of the result: two neighbours and the share of the second.
struct Taps {
  std::vector<int64_t> first, second;
  std::vector<float> share;

  Taps(int64_t in, int64_t offset, int64_t out, Interpolation interpolation) {
    const float ratio = static_cast<float>(in) / static_cast<float>(out);
    for (int64_t i = 0; i < out; ++i) {
      const float centre = (static_cast<float>(i) + 0.5f) * ratio;
      if (interpolation == Interpolation::kNearest) {
        const auto at = std::min(static_cast<int64_t>(std::floor(centre)), in - 1);
        first.push_back(offset + at);
        second.push_back(offset + at);
        share.push_back(0);
        continue;
      }
      const float place = centre - 0.5f;
      const float floor = std::floor(place);
      const auto at = static_cast<int64_t>(floor);
      first.push_back(offset + std::clamp<int64_t>(at, 0, in - 1));
      second.push_back(offset + std::clamp<int64_t>(at + 1, 0, in - 1));
      share.push_back(place - floor);
    }
  }
};

// Two rows of the picture, blended. A loop of its own, because it is vectorized.
void blend_rows(const uint8_t* upper, const uint8_t* lower, float down, size_t count, float* out) {
  for (size_t i = 0; i < count; ++i) {
    const float a = upper[i], b = lower[i];
    out[i] = a + (b - a) * down;
  }
}

// One row of the result from a blended row.
template <int kChannels>
void blend_columns(const float* row, const Taps& columns, float scale, float* out) {
  const size_t width = columns.share.size();
  for (size_t x = 0; x < width; ++x, out += kChannels) {
    const float* const left = row + columns.first[x] * kChannels;
    const float* const right = row + columns.second[x] * kChannels;
    const float share = columns.share[x];
    for (int c = 0; c < kChannels; ++c) out[c] = (left[c] + (right[c] - left[c]) * share) * scale;
  }
}

}  // namespace

void resize_image(const Image& image, const ResizeOptions& options, std::span<float> out) {
  TRIREME_CHECK(static_cast<int64_t>(out.size()) ==
                options.height * options.width * image.channels);
  int64_t height = image.height, width = image.width;
  if (options.height == height && options.width == width) {
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<float>(image.pixels[i]) * options.scale;
    }
    return;
  }
  if (options.crop_to_aspect_ratio) {
    const auto ratio = [](int64_t a, int64_t b, int64_t c) {
      return static_cast<int64_t>(static_cast<double>(a) * static_cast<double>(b) /
                                  static_cast<double>(c));
    };
    const int64_t cropped_height = ratio(width, options.height, options.width);
    const int64_t cropped_width = ratio(height, options.width, options.height);
    height = std::max<int64_t>(1, std::min(height, cropped_height));
    width = std::max<int64_t>(1, std::min(width, cropped_width));
  }
  const Taps rows(height, (image.height - height) / 2, options.height, options.interpolation);
  const Taps columns(width, (image.width - width) / 2, options.width, options.interpolation);
  const auto row_bytes = static_cast<size_t>(image.width * image.channels);
  const auto row_floats = static_cast<size_t>(options.width * image.channels);
  const auto blend = image.channels == 1   ? blend_columns<1>
                     : image.channels == 2 ? blend_columns<2>
                     : image.channels == 3 ? blend_columns<3>
                                           : blend_columns<4>;
  thread_local std::vector<float> row;
  row.resize(row_bytes);
  for (size_t y = 0; y < rows.share.size(); ++y) {
    blend_rows(image.pixels.data() + static_cast<size_t>(rows.first[y]) * row_bytes,
               image.pixels.data() + static_cast<size_t>(rows.second[y]) * row_bytes, rows.share[y],
               row_bytes, row.data());
    blend(row.data(), columns, options.scale, out.data() + y * row_floats);
  }
}

}  // namespace trireme::data

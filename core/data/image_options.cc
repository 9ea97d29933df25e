#include "core/data/image_options.h"

#include "core/base/error.h"

namespace trireme::data {
namespace {

constexpr EnumName<ColorMode> kColorModes[] = {
    {ColorMode::kGrayscale, "GRAYSCALE"}, {ColorMode::kRgb, "RGB"}, {ColorMode::kRgba, "RGBA"}};
constexpr EnumName<Interpolation> kInterpolations[] = {{Interpolation::kBilinear, "BILINEAR"},
                                                       {Interpolation::kNearest, "NEAREST"}};
constexpr int64_t kMaxSide = 1 << 15;

}  // namespace

void ImageOptions::describe(OptionVisitor& visitor) {
  visitor.field({.name = "image_size",
                 .help = "height and width that pictures are resized to",
                 .range = from_to(1, kMaxSide)},
                image_size);
  visitor.field({.name = "color_mode", .help = "one, three or four channels"}, color_mode,
                kColorModes);
  visitor.field({.name = "interpolation", .help = "of resizing; nothing is smoothed before"},
                interpolation, kInterpolations);
  visitor.field({.name = "crop_to_aspect_ratio",
                 .help = "cuts off what is too wide or too high, else pictures are stretched"},
                crop_to_aspect_ratio);
  visitor.field({.name = "scale",
                 .help = "of the bytes of pixels: 1/255 brings them to 0 to 1; 1 as Keras gives "
                         "them"},
                scale);
  visitor.field({.name = "max_pixels",
                 .help = "larger pictures are refused",
                 .range = from_to(1, int64_t{1} << 30)},
                max_pixels);
}

void ImageOptions::check() const {
  if (image_size.size() == 2) return;
  throw invalid_argument("image_size: expected height and width, found ", image_size.size(),
                         " number(s)");
}

int64_t ImageOptions::channels() const {
  return color_mode == ColorMode::kGrayscale ? 1 : color_mode == ColorMode::kRgb ? 3 : 4;
}

void ImageOptions::read(std::span<const uint8_t> bytes, std::span<float> out) const {
  thread_local Image image;
  decode_image(bytes, channels(), image, {.max_pixels = max_pixels});
  resize_image(image,
               {.height = image_size[0],
                .width = image_size[1],
                .interpolation = interpolation,
                .crop_to_aspect_ratio = crop_to_aspect_ratio,
                .scale = static_cast<float>(scale)},
               out);
  // One very large picture must not hold its memory for ever.
  constexpr size_t kKept = size_t{16} << 20;
  if (image.pixels.capacity() > kKept) image.pixels = {};
}

}  // namespace trireme::data

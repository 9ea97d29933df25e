#include "core/data/png_encoder.h"

#include <png.h>

#include <array>
#include <csetjmp>
#include <cstring>
#include <vector>

#include "core/base/error.h"

namespace trireme::data {
namespace {

// libpng reports errors by a jump: it is C, and must not be left by an exception.
struct PngOutput {
  std::string bytes;
  char message[200] = "";
};

void give_up(png_structp png, png_const_charp message) {
  auto* const output = static_cast<PngOutput*>(png_get_error_ptr(png));
  std::strncpy(output->message, message, sizeof output->message - 1);
  std::longjmp(png_jmpbuf(png), 1);
}
void ignore_warning(png_structp, png_const_charp) {}
void write_bytes(png_structp png, png_bytep data, size_t size) {
  static_cast<PngOutput*>(png_get_io_ptr(png))->bytes.append(reinterpret_cast<char*>(data), size);
}
void flush_nothing(png_structp) {}

// All that libpng may jump out of: it has nothing that would have to be destroyed.
bool write_picture(png_structp png, png_infop info, png_bytep* rows, int64_t width, int64_t height,
                   int color) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), 8,
               color, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  png_write_image(png, rows);
  png_write_end(png, info);
  return true;
}

}  // namespace

std::string encode_png(std::span<const uint8_t> pixels, int64_t width, int64_t height,
                       int channels) {
  TRIREME_CHECK(width > 0 && height > 0 &&
                static_cast<int64_t>(pixels.size()) == width * height * channels);
  constexpr std::array<int, 5> kColors = {-1, PNG_COLOR_TYPE_GRAY, -1, PNG_COLOR_TYPE_RGB,
                                          PNG_COLOR_TYPE_RGB_ALPHA};
  const int color = channels >= 0 && channels < 5 ? kColors[static_cast<size_t>(channels)] : -1;
  TRIREME_CHECK(color >= 0, "a picture of ", channels, " channels");
  PngOutput output;
  std::vector<png_bytep> rows;
  for (int64_t y = 0; y < height; ++y) {
    rows.push_back(const_cast<png_bytep>(pixels.data() + y * width * channels));
  }
  png_structp png =
      png_create_write_struct(PNG_LIBPNG_VER_STRING, &output, give_up, ignore_warning);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  TRIREME_CHECK(info != nullptr, "libpng did not start");
  png_set_write_fn(png, &output, write_bytes, flush_nothing);
  const bool fine = write_picture(png, info, rows.data(), width, height, color);
  png_destroy_write_struct(&png, &info);
  if (!fine) throw failed("a picture of ", width, "×", height, ": ", output.message);
  return std::move(output.bytes);
}

}  // namespace trireme::data

// PNG by libpng.
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/data/picture_formats.h"

namespace trireme::data {
namespace {

// libpng reports errors by a jump: it is C, and must not be left by an exception.
struct PngState {
  std::span<const uint8_t> bytes;
  size_t at = 0;
  char message[200] = "";
};

void give_up(png_structp png, png_const_charp message) {
  auto* const state = static_cast<PngState*>(png_get_error_ptr(png));
  std::strncpy(state->message, message, sizeof state->message - 1);
  std::longjmp(png_jmpbuf(png), 1);
}
void ignore_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep out, size_t size) {
  auto* const state = static_cast<PngState*>(png_get_io_ptr(png));
  if (size > state->bytes.size() - state->at) png_error(png, "the file ends early");
  std::memcpy(out, state->bytes.data() + state->at, size);
  state->at += size;
}

class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) {
    state.bytes = bytes;
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, give_up, ignore_warning);
    info = png != nullptr ? png_create_info_struct(png) : nullptr;
    TRIREME_CHECK(info != nullptr, "libpng did not start");
    png_set_read_fn(png, &state, read_bytes);
  }
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  PngState state;
  png_structp png = nullptr;
  png_infop info = nullptr;
};

// The two below are all that libpng may jump out of: they have nothing that would have to be
// destroyed. False: state.message says why.
bool read_header(Reader& r, int64_t max_pixels) {
  if (setjmp(png_jmpbuf(r.png)) != 0) return false;
  // Its own limits are checked before it allocates rows; the product is checked by the caller.
  const auto side = static_cast<png_uint_32>(std::min<int64_t>(max_pixels, PNG_UINT_31_MAX));
  png_set_user_limits(r.png, side, side);
  png_set_chunk_cache_max(r.png, 16);
  png_set_chunk_malloc_max(r.png, 1 << 20);
  // Texts and colour profiles, which may unpack to anything, are passed over.
  png_set_keep_unknown_chunks(r.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_read_info(r.png, r.info);
  return true;
}

// `channels`: that are wanted.
bool read_pixels(Reader& r, int64_t channels, uint8_t** rows) {
  if (setjmp(png_jmpbuf(r.png)) != 0) return false;
  const int color = png_get_color_type(r.png, r.info);
  const int depth = png_get_bit_depth(r.png, r.info);
  const bool has_opacity =
      (color & PNG_COLOR_MASK_ALPHA) != 0 || png_get_valid(r.png, r.info, PNG_INFO_tRNS) != 0;
  const bool has_colors = (color & PNG_COLOR_MASK_COLOR) != 0;
  if (depth == 16) png_set_strip_16(r.png);
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(r.png);
  if (!has_colors && depth < 8) png_set_expand_gray_1_2_4_to_8(r.png);
  if (channels == 4) {
    if (png_get_valid(r.png, r.info, PNG_INFO_tRNS) != 0) png_set_tRNS_to_alpha(r.png);
    if (!has_opacity) png_set_add_alpha(r.png, 255, PNG_FILLER_AFTER);
  } else if (has_opacity) {
    png_set_strip_alpha(r.png);
  }
  if (has_colors && channels == 1) {
    png_set_rgb_to_gray_fixed(r.png, PNG_ERROR_ACTION_NONE, 29900, 58700);
  }
  if (!has_colors && channels >= 3) png_set_gray_to_rgb(r.png);
  png_set_interlace_handling(r.png);
  png_read_update_info(r.png, r.info);
  if (png_get_channels(r.png, r.info) != channels || png_get_bit_depth(r.png, r.info) != 8) {
    png_error(r.png, "its kind of pixels is not known");
  }
  png_read_image(r.png, rows);
  png_read_end(r.png, nullptr);
  return true;
}

}  // namespace

void decode_png(std::span<const uint8_t> bytes, int64_t channels, Image& out,
                const ImageLimits& limits) {
  Reader r(bytes);
  const auto require = [&](bool done) {
    if (!done) throw data_loss("the PNG is damaged: ", r.state.message);
  };
  // The header's place is fixed; read here, so that its size is refused in our words.
  if (bytes.size() >= 24 && std::memcmp(&bytes[12], "IHDR", 4) == 0) {
    const auto number = [&](size_t at) {
      return uint64_t{bytes[at]} << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3];
    };
    check_picture_size(number(20), number(16), limits);
  }
  require(read_header(r, limits.max_pixels));
  const auto height = static_cast<int64_t>(png_get_image_height(r.png, r.info));
  const auto width = static_cast<int64_t>(png_get_image_width(r.png, r.info));
  check_picture_size(static_cast<uint64_t>(height), static_cast<uint64_t>(width), limits);
  if (channels == 0) {
    const int color = png_get_color_type(r.png, r.info);
    const bool has_opacity = (color & PNG_COLOR_MASK_ALPHA) != 0;
    channels = (color & PNG_COLOR_MASK_COLOR) == 0 ? 1 : has_opacity ? 4 : 3;
  }
  out.height = height;
  out.width = width;
  out.channels = channels;
  const auto row_bytes = static_cast<size_t>(width * channels);
  out.pixels.resize(row_bytes * static_cast<size_t>(height));
  std::vector<uint8_t*> rows(static_cast<size_t>(height));
  for (size_t y = 0; y < rows.size(); ++y) rows[y] = out.pixels.data() + y * row_bytes;
  require(read_pixels(r, channels, rows.data()));
}

}  // namespace trireme::data

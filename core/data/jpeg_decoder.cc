// JPEG by libjpeg-turbo.
#include <csetjmp>
#include <cstdio>
// After <cstdio>, which it needs and does not include.
#include <jerror.h>
#include <jpeglib.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "core/base/error.h"
#include "core/data/picture_formats.h"

namespace trireme::data {
namespace {

// A progressive picture may have any number of passes over all of its pixels; writers make ten.
constexpr int kMaxScans = 100;

// libjpeg reports errors through these, and must not be left by an exception: it is C.
struct ErrorState {
  jpeg_error_mgr manager;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void give_up(j_common_ptr info) {
  auto* const state = reinterpret_cast<ErrorState*>(info->err);
  info->err->format_message(info, state->message);
  std::longjmp(state->jump, 1);
}

// Warnings that mean lost pixels end the decoding; those of odd but harmless headers do not.
void take_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_TOO_MUCH_DATA:
      return;
    default:
      give_up(info);
  }
}

void watch_scans(j_common_ptr info) {
  if (!info->is_decompressor) return;
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMaxScans) return;
  auto* const state = reinterpret_cast<ErrorState*>(info->err);
  std::snprintf(state->message, sizeof state->message, "it has more than %d scans", kMaxScans);
  std::longjmp(state->jump, 1);
}

class Decompressor {
 public:
  Decompressor() {
    info.err = jpeg_std_error(&errors.manager);
    errors.manager.error_exit = give_up;
    errors.manager.emit_message = take_message;
    progress.progress_monitor = watch_scans;
  }
  ~Decompressor() { jpeg_destroy_decompress(&info); }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  jpeg_decompress_struct info{};
  jpeg_progress_mgr progress{};
  ErrorState errors{};
};

// The three below are all that libjpeg may jump out of: they have nothing that would have to be
// destroyed. False: errors.message says why.
bool read_header(Decompressor& d, std::span<const uint8_t> bytes) {
  if (setjmp(d.errors.jump) != 0) return false;
  jpeg_create_decompress(&d.info);
  d.info.progress = &d.progress;
  jpeg_mem_src(&d.info, bytes.data(), bytes.size());
  jpeg_read_header(&d.info, TRUE);
  return true;
}

bool start(Decompressor& d) {
  if (setjmp(d.errors.jump) != 0) return false;
  jpeg_start_decompress(&d.info);
  return true;
}

bool read_rows(Decompressor& d, uint8_t* pixels, size_t row_bytes) {
  if (setjmp(d.errors.jump) != 0) return false;
  constexpr JDIMENSION kRows = 16;
  JSAMPROW rows[kRows];
  while (d.info.output_scanline < d.info.output_height) {
    const JDIMENSION at = d.info.output_scanline;
    for (JDIMENSION i = 0; i < kRows; ++i) {
      rows[i] = pixels + row_bytes * std::min(at + i, d.info.output_height - 1);
    }
    jpeg_read_scanlines(&d.info, rows, std::min(kRows, d.info.output_height - at));
  }
  jpeg_finish_decompress(&d.info);
  return true;
}

}  // namespace

void decode_jpeg(std::span<const uint8_t> bytes, int64_t channels, Image& out,
                 const ImageLimits& limits) {
  Decompressor d;
  const auto require = [&](bool done) {
    if (!done) throw data_loss("the JPEG is damaged: ", d.errors.message);
  };
  require(read_header(d, bytes));
  check_picture_size(d.info.image_height, d.info.image_width, limits);
  if (channels == 4) throw data_loss("expected a picture with opacity, found a JPEG");
  if (d.info.jpeg_color_space == JCS_CMYK || d.info.jpeg_color_space == JCS_YCCK) {
    throw data_loss("expected a JPEG in grey or colours, found one for printing (CMYK)");
  }
  if (channels == 0) channels = d.info.num_components == 1 ? 1 : 3;
  d.info.out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  require(start(d));
  TRIREME_CHECK(d.info.output_components == channels);
  out.height = d.info.output_height;
  out.width = d.info.output_width;
  out.channels = channels;
  const auto row_bytes = static_cast<size_t>(out.width * channels);
  out.pixels.resize(row_bytes * static_cast<size_t>(out.height));
  require(read_rows(d, out.pixels.data(), row_bytes));
}

}  // namespace trireme::data

// Pictures that tests make: PNG of every kind, byte by byte, and JPEG.
#pragma once

#include <cstdio>
// After <cstdio>, which it needs and does not include.
#include <jpeglib.h>
#include <zlib.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/core/data/files.h"

namespace trireme::data {

inline Bytes big_endian(uint32_t value) {
  return {static_cast<uint8_t>(value >> 24), static_cast<uint8_t>(value >> 16),
          static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
}

inline Bytes png_chunk(const std::string& type, const Bytes& data) {
  const Bytes checked = bytes_of(type) + data;
  return big_endian(static_cast<uint32_t>(data.size())) + checked +
         big_endian(
             static_cast<uint32_t>(crc32(0, checked.data(), static_cast<uInt>(checked.size()))));
}

inline Bytes png_begin(uint32_t width, uint32_t height, uint8_t depth, uint8_t color) {
  const Bytes magic = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  return magic +
         png_chunk("IHDR", big_endian(width) + big_endian(height) + Bytes{depth, color, 0, 0, 0});
}

inline Bytes png_end(const Bytes& rows) {
  Bytes packed(compressBound(rows.size()));
  uLongf size = packed.size();
  EXPECT_EQ(compress2(packed.data(), &size, rows.data(), rows.size(), 9), Z_OK);
  packed.resize(size);
  return png_chunk("IDAT", packed) + png_chunk("IEND", {});
}

// `rows`: each begins with a byte 0, for no filter. `chunks`: in front of the pixels.
inline Bytes png(uint32_t width, uint32_t height, uint8_t depth, uint8_t color, const Bytes& rows,
                 const Bytes& chunks = {}) {
  return png_begin(width, height, depth, color) + chunks + png_end(rows);
}

// `pixels`: [height, width, channels] of 1, 3 or 4 (CMYK) channels.
inline Bytes jpeg(int width, int height, int channels, Bytes pixels, int quality = 100,
                  bool progressive = false) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* data = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &data, &size);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  info.input_components = channels;
  info.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, quality, TRUE);
  if (progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  for (int y = 0; y < height; ++y) {
    JSAMPROW row = pixels.data() + static_cast<size_t>(y * width * channels);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  Bytes made(data, data + size);
  jpeg_destroy_compress(&info);
  std::free(data);
  return made;
}

}  // namespace trireme::data

#include "benchmarks/made_jpeg.h"

#include <cstdio>
// After <cstdio>, which it needs and does not include.
#include <jpeglib.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/base/philox.h"

namespace trireme {

std::vector<uint8_t> made_jpeg(int width, int height) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* data = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &data, &size);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 90, TRUE);
  jpeg_start_compress(&info, TRUE);
  PhiloxGenerator random(1, 1);
  std::vector<uint8_t> row(static_cast<size_t>(width) * 3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < 3 * width; ++x) {
      const double value = 127 + 60 * std::sin(x / 40.) + 40 * std::cos(y / 13.) +
                           static_cast<double>(random.normal()) * 8;
      row[static_cast<size_t>(x)] = static_cast<uint8_t>(std::clamp(value, 0., 255.));
    }
    JSAMPROW rows = row.data();
    jpeg_write_scanlines(&info, &rows, 1);
  }
  jpeg_finish_compress(&info);
  std::vector<uint8_t> made(data, data + size);
  jpeg_destroy_compress(&info);
  std::free(data);
  return made;
}

}  // namespace trireme

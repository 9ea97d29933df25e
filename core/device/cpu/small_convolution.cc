#include "core/device/cpu/small_convolution.h"

#include <algorithm>

#include "core/base/parallel.h"
#include "core/device/cpu/avx512.h"
#include "core/device/cpu/batch_parts.h"
#include "core/device/cpu/tiles.h"

namespace trireme::small_convolution {
namespace {

using batch_parts::for_each_block;
using batch_parts::for_each_part;
using batch_parts::round_up;
using tiles::kLanes;

// Up to here the kernels below beat oneDNN on the shapes that were measured.
constexpr int64_t kMaxChannels = 16;

bool suits(const Conv2dGeometry& g) {
  return has_avx512() && g.groups == 1 && g.h.dilation == 1 && g.w.dilation == 1 &&
         g.in_channels <= kMaxChannels;
}

// The kernel's scratch memory, in f32 numbers, handed out while it is prepared.
class Scratch {
 public:
  int64_t take(int64_t count) {
    const int64_t at = used_;
    used_ += round_up(count, kLanes);
    return at;
  }
  size_t bytes() const { return static_cast<size_t>(used_) * sizeof(float); }

 private:
  int64_t used_ = 0;
};

// Images as the tiles read them: with the padding in place, so that no tile has an edge.
class PaddedImages {
 public:
  PaddedImages(const Conv2dGeometry& g, int64_t parts, Scratch& scratch)
      : g_(g),
        height_((g.h.output - 1) * g.h.stride + g.h.window),
        width_((g.w.output - 1) * g.w.stride + g.w.window),
        copies_(g.h.before + g.h.after + g.w.before + g.w.after > 0) {
    if (copies_) {
      at_ = scratch.take(parts * copy_size());
    } else {
      width_ = g.w.input;
    }
  }

  int64_t pitch() const { return width_ * g_.in_channels; }

  // Zeroes the padding; call once a part and run.
  void clear(float* scratch, int64_t part) const {
    if (copies_) std::fill_n(scratch + at_ + part * copy_size(), copy_size(), 0.0f);
  }

  // The image of example n, readable until the next call for this part.
  const float* image(const float* images, int64_t n, float* scratch, int64_t part) const {
    const int64_t row = g_.w.input * g_.in_channels;
    const float* const from = images + n * g_.h.input * row;
    if (!copies_) return from;
    float* const copy = scratch + at_ + part * copy_size();
    const int64_t rows = std::min(g_.h.input, height_ - g_.h.before);
    const int64_t length = std::min(row, pitch() - g_.w.before * g_.in_channels);
    for (int64_t y = 0; y < rows; ++y) {
      float* const to = copy + (y + g_.h.before) * pitch() + g_.w.before * g_.in_channels;
      std::copy_n(from + y * row, length, to);
    }
    return copy;
  }

 private:
  int64_t copy_size() const { return round_up(height_ * width_ * g_.in_channels, kLanes); }

  Conv2dGeometry g_;
  int64_t height_, width_;
  bool copies_;
  int64_t at_ = 0;
};

// Copies `rows` rows of `columns` numbers, `from_step` apart, to packed rows.
void pack(const float* from, int64_t rows, int64_t columns, int64_t from_step, float* to,
          int64_t to_step) {
  for (int64_t r = 0; r < rows; ++r) {
    std::copy_n(from + r * from_step, columns, to + r * to_step);
    std::fill_n(to + r * to_step + columns, to_step - columns, 0.0f);
  }
}

}  // namespace

bool suits_forward(const Conv2dGeometry& g, std::string_view activation) {
  return suits(g) && (activation == "none" || activation == "relu");
}

bool suits_backward_input(const Conv2dGeometry& g) {
  return suits(g) && g.w.window * g.in_channels <= tiles::kMaxDotVectors * kLanes;
}

bool suits_backward_filter(const Conv2dGeometry& g) { return suits(g); }

PreparedKernel forward(const Conv2dGeometry& g, bool bias, bool relu) {
  const int64_t parts = batch_parts::parts_of(g.batch);
  const int64_t k = g.w.window * g.in_channels;
  constexpr int64_t kPanel = tiles::kMaxDotVectors * kLanes;  // out channels at a time
  const int64_t packed_columns = round_up(g.out_channels, kLanes);
  Scratch scratch;
  const PaddedImages images(g, parts, scratch);
  const int64_t filter_at = scratch.take(g.h.window * k * packed_columns);
  const int64_t bias_at = scratch.take(packed_columns);
  auto run = [=](const KernelArgs& args) {
    float* const memory = static_cast<float*>(args.scratch);
    float* const packed_bias = memory + bias_at;
    if (bias) pack(args.in<float>(2), 1, g.out_channels, 0, packed_bias, packed_columns);
    for (int64_t c = 0; c < g.out_channels; c += kPanel) {
      const int64_t columns = std::min(kPanel, g.out_channels - c);
      pack(args.in<float>(1) + c, g.h.window * k, columns, g.out_channels,
           memory + filter_at + c * g.h.window * k, round_up(columns, kLanes));
    }
    const auto example = [&](const float* image, float* y) {
      tiles::DotTile tile{.a_step = g.w.stride * g.in_channels,
                          .a_segment = images.pitch(),
                          .segments = g.h.window,
                          .k = k,
                          .relu = relu,
                          .y_step = g.out_channels};
      for (int64_t c = 0; c < g.out_channels; c += kPanel) {
        tile.columns = std::min(kPanel, g.out_channels - c);
        const int64_t vectors = round_up(tile.columns, kLanes) / kLanes;
        tile.b = memory + filter_at + c * g.h.window * k;
        tile.b_segment = k * vectors * kLanes;
        tile.bias = bias ? packed_bias + c : nullptr;
        for (int64_t oy = 0; oy < g.h.output; ++oy) {
          const float* const row = image + oy * g.h.stride * images.pitch();
          float* const out = y + oy * g.w.output * g.out_channels + c;
          const bool narrow = tiles::is_narrow(tile);
          const int64_t most = narrow ? tiles::kMaxNarrowRows : tiles::max_dot_rows(vectors);
          for_each_block(g.w.output, most, [&](int64_t ox, int64_t count) {
            tile.a = row + ox * tile.a_step;
            tile.y = out + ox * g.out_channels;
            if (narrow) {
              tiles::narrow_dot_tile(count, tile);
            } else {
              tiles::dot_tile(count, vectors, tile);
            }
          });
        }
      }
    };
    for_each_part(parts, g.batch, [&](int64_t part, int64_t begin, int64_t end) {
      images.clear(memory, part);
      for (int64_t n = begin; n < end; ++n) {
        example(images.image(args.in<float>(0), n, memory, part),
                args.out<float>() + n * g.h.output * g.w.output * g.out_channels);
      }
    });
  };
  return {run, scratch.bytes()};
}

PreparedKernel backward_input(const Conv2dGeometry& g) {
  const int64_t parts = batch_parts::parts_of(g.batch);
  const int64_t columns = g.w.window * g.in_channels;
  const int64_t vectors = round_up(columns, kLanes) / kLanes;
  const int64_t packed_row = vectors * kLanes;
  Scratch scratch;
  const int64_t filter_at = scratch.take(g.h.window * g.out_channels * packed_row);
  const int64_t line_at = scratch.take(parts * g.w.output * packed_row);
  auto run = [=](const KernelArgs& args) {
    float* const memory = static_cast<float*>(args.scratch);
    float* const filter = memory + filter_at;  // [fy][out channel][fx, in channel]
    std::fill_n(filter, g.h.window * g.out_channels * packed_row, 0.0f);
    for (int64_t fy = 0; fy < g.h.window; ++fy) {
      for (int64_t j = 0; j < columns; ++j) {
        for (int64_t o = 0; o < g.out_channels; ++o) {
          filter[(fy * g.out_channels + o) * packed_row + j] =
              args.in<float>(0)[(fy * columns + j) * g.out_channels + o];
        }
      }
    }
    const int64_t dy_pitch = g.w.output * g.out_channels;
    const auto example = [&](const float* dy, float* line, float* dx) {
      for (int64_t iy = 0; iy < g.h.input; ++iy) {
        // The filter rows fy, fy + stride, … that meet this line, and the output line under the
        // first of them.
        const int64_t y = iy + g.h.before;
        int64_t fy = y % g.h.stride;
        fy += round_up(std::max<int64_t>(y - fy - (g.h.output - 1) * g.h.stride, 0), g.h.stride);
        const int64_t last = std::min(g.h.window - 1, y);
        tiles::DotTile tile{.a_step = g.out_channels,
                            .a_segment = -dy_pitch,
                            .segments = fy > last ? 0 : (last - fy) / g.h.stride + 1,
                            .k = g.out_channels,
                            .b = filter + fy * g.out_channels * packed_row,
                            .b_segment = g.h.stride * g.out_channels * packed_row,
                            .bias = nullptr,
                            .relu = false,
                            .y_step = packed_row,
                            .columns = packed_row};
        const float* const first = dy + (y - fy) / g.h.stride * dy_pitch;
        for_each_block(g.w.output, tiles::max_dot_rows(vectors), [&](int64_t ox, int64_t count) {
          tile.a = first + ox * g.out_channels;
          tile.y = line + ox * packed_row;
          tiles::dot_tile(count, vectors, tile);
        });
        // What each output pixel (a row of `line`) sends to this line of the image.
        tiles::overlap_add({.line = line,
                            .line_step = packed_row,
                            .outputs = g.w.output,
                            .window = g.w.window,
                            .stride = g.w.stride,
                            .before = g.w.before,
                            .channels = g.in_channels,
                            .to = dx + iy * g.w.input * g.in_channels,
                            .inputs = g.w.input});
      }
    };
    for_each_part(parts, g.batch, [&](int64_t part, int64_t begin, int64_t end) {
      float* const line = memory + line_at + part * g.w.output * packed_row;
      for (int64_t n = begin; n < end; ++n) {
        example(args.in<float>(1) + n * g.h.output * dy_pitch, line,
                args.out<float>() + n * g.h.input * g.w.input * g.in_channels);
      }
    });
  };
  return {run, scratch.bytes()};
}

PreparedKernel backward_filter(const Conv2dGeometry& g) {
  const int64_t parts = batch_parts::parts_of(g.batch);
  const int64_t k = g.w.window * g.in_channels;
  constexpr int64_t kPanel = tiles::kMaxOuterVectors * kLanes;
  const int64_t sums_size = g.h.window * k * round_up(g.out_channels, kLanes);
  Scratch scratch;
  const PaddedImages images(g, parts, scratch);
  const int64_t sums_at = scratch.take(parts * sums_size);
  const int64_t g_line = g.w.output * g.out_channels;
  // As many lines at a time as leave the gradient in the first-level cache while all taps read it.
  const int64_t lines_at_once = std::max<int64_t>(1, 4096 / g_line);
  auto run = [=](const KernelArgs& args) {
    float* const memory = static_cast<float*>(args.scratch);
    const auto panel = [&](const float* image, const float* dy, int64_t c, float* sums) {
      const int64_t columns = std::min(kPanel, g.out_channels - c);
      const int64_t vectors = round_up(columns, kLanes) / kLanes;
      const bool whole = k <= tiles::max_outer_columns(g.h.window, vectors);
      const int64_t filter_rows = whole ? g.h.window : 1;
      tiles::OuterTile tile{.x_line = g.h.stride * images.pitch(),
                            .x_step = g.w.stride * g.in_channels,
                            .x_filter_row = images.pitch(),
                            .g_line = g_line,
                            .g_step = g.out_channels,
                            .g_columns = columns,
                            .pixels = g.w.output,
                            .sums_filter_row = k * vectors * kLanes};
      for (int64_t oy = 0; oy < g.h.output; oy += lines_at_once) {
        tile.lines = std::min(lines_at_once, g.h.output - oy);
        tile.g = dy + oy * g_line + c;
        for (int64_t fy = 0; fy < g.h.window; fy += filter_rows) {
          const float* const x = image + (oy * g.h.stride + fy) * images.pitch();
          for_each_block(k, tiles::max_outer_columns(filter_rows, vectors),
                         [&](int64_t j, int64_t count) {
                           tile.x = x + j;
                           tile.sums = sums + (fy * k + j) * vectors * kLanes;
                           tiles::outer_tile(filter_rows, count, vectors, tile);
                         });
        }
      }
    };
    for_each_part(parts, g.batch, [&](int64_t part, int64_t begin, int64_t end) {
      float* const sums = memory + sums_at + part * sums_size;
      std::fill_n(sums, sums_size, 0.0f);
      images.clear(memory, part);
      for (int64_t n = begin; n < end; ++n) {
        const float* const image = images.image(args.in<float>(0), n, memory, part);
        for (int64_t c = 0; c < g.out_channels; c += kPanel) {
          panel(image, args.in<float>(1) + n * g.h.output * g_line, c, sums + c * g.h.window * k);
        }
      }
    });
    float* const total = memory + sums_at;
    for (int64_t part = 1; part < parts; ++part) {
      for (int64_t i = 0; i < sums_size; ++i) total[i] += total[part * sums_size + i];
    }
    for (int64_t c = 0; c < g.out_channels; c += kPanel) {
      const int64_t columns = std::min(kPanel, g.out_channels - c);
      for (int64_t row = 0; row < g.h.window * k; ++row) {
        std::copy_n(total + c * g.h.window * k + row * round_up(columns, kLanes), columns,
                    args.out<float>() + row * g.out_channels + c);
      }
    }
  };
  return {run, scratch.bytes()};
}

}  // namespace trireme::small_convolution

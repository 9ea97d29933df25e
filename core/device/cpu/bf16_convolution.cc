#include "core/device/cpu/bf16_convolution.h"

#include <algorithm>

#include "core/base/parallel.h"
#include "core/device/cpu/avx512.h"
#include "core/device/cpu/batch_parts.h"
#include "core/device/cpu/bf16_tiles.h"
#include "core/device/small_floats.h"
#include "core/tensor/buffer.h"

namespace trireme::bf16_convolution {
namespace {

using batch_parts::for_each_block;
using batch_parts::for_each_part;
using batch_parts::round_up;
using bf16_tiles::kLanes;

constexpr int64_t kPanel = bf16_tiles::kMaxVectors * kLanes;  // output channels that a tile does

bool suits(const Conv2dGeometry& g) {
  return has_avx512_bf16() && g.groups == 1 && g.h.dilation == 1 && g.w.dilation == 1;
}

// The kernel's scratch memory, handed out while it is prepared.
class Scratch {
 public:
  template <typename T>
  int64_t take(int64_t count) {
    const int64_t at = used_;
    used_ += round_up(count * static_cast<int64_t>(sizeof(T)), kAlignment);
    return at;
  }
  size_t bytes() const { return static_cast<size_t>(used_); }

 private:
  int64_t used_ = 0;
};

template <typename T>
T* at(const KernelArgs& args, int64_t offset) {
  return reinterpret_cast<T*>(static_cast<char*>(args.scratch) + offset);
}

// Images as the tiles read them: with the padding in place, and a number behind the end where pairs
// reach over it. Where they are so as they lie, they are not copied.
class PaddedImages {
 public:
  // `in_pairs`: neighbouring numbers of a filter row are read in pairs.
  PaddedImages(const Conv2dGeometry& g, bool in_pairs, int64_t parts, Scratch& scratch)
      : g_(g),
        height_((g.h.output - 1) * g.h.stride + g.h.window),
        width_((g.w.output - 1) * g.w.stride + g.w.window),
        copies_(g.h.before + g.h.after + g.w.before + g.w.after > 0 ||
                (in_pairs && g.w.window * g.in_channels % 2 != 0)) {
    if (copies_) {
      size_ = round_up(height_ * width_ * g.in_channels + 1, kLanes);
      at_ = scratch.take<BFloat16>(parts * size_);
    } else {
      width_ = g.w.input;
    }
  }

  int64_t pitch() const { return width_ * g_.in_channels; }
  int64_t height() const { return height_; }

  // Zeroes the padding; call once a part and run.
  void clear(const KernelArgs& args, int64_t part) const {
    if (copies_) std::fill_n(copy(args, part), size_, BFloat16());
  }

  // The image of example n, readable until the next call for this part.
  const BFloat16* image(const KernelArgs& args, const BFloat16* images, int64_t n,
                        int64_t part) const {
    const int64_t row = g_.w.input * g_.in_channels;
    const BFloat16* const from = images + n * g_.h.input * row;
    if (!copies_) return from;
    BFloat16* const to = copy(args, part);
    const int64_t rows = std::min(g_.h.input, height_ - g_.h.before);
    const int64_t length = std::min(g_.w.input, width_ - g_.w.before) * g_.in_channels;
    for (int64_t y = 0; y < rows; ++y) {
      std::copy_n(from + y * row, length,
                  to + (y + g_.h.before) * pitch() + g_.w.before * g_.in_channels);
    }
    return to;
  }

 private:
  BFloat16* copy(const KernelArgs& args, int64_t part) const {
    return at<BFloat16>(args, at_) + part * size_;
  }

  Conv2dGeometry g_;
  int64_t height_, width_;
  bool copies_;
  int64_t size_ = 0, at_ = 0;
};

// How the output channels are packed: panel after panel, each [filter row][pair][vectors · 32]. The
// last pair of a row that is odd has a zero for what the tiles read beyond it.
struct PackedFilter {
  int64_t rows, length, pairs, columns;  // filter rows; numbers and pairs in one; output channels

  explicit PackedFilter(const Conv2dGeometry& g)
      : rows(g.h.window),
        length(g.w.window * g.in_channels),
        pairs((length + 1) / 2),
        columns(g.out_channels) {}

  int64_t size() const { return rows * pairs * 2 * round_up(columns, kLanes); }
  int64_t panel_at(int64_t column) const { return rows * pairs * 2 * column; }
  static int64_t vectors(int64_t columns) { return (columns + kLanes - 1) / kLanes; }

  // `of(row, number in the row, channel out)` is a number of the filter.
  template <typename Of>
  void pack(Of of, BFloat16* to) const {
    for (int64_t c = 0; c < columns; c += kPanel) {
      const int64_t count = std::min(kPanel, columns - c), wide = vectors(count) * kLanes;
      BFloat16* panel = to + panel_at(c);
      for (int64_t fy = 0; fy < rows; ++fy) {
        for (int64_t j = 0; j < 2 * pairs; j += 2, panel += 2 * wide) {
          for (int64_t k = 0; k < 2; ++k) {
            for (int64_t o = 0; o < wide; ++o) {
              const bool there = o < count && j + k < length;
              panel[2 * o + k] = there ? of(fy, j + k, c + o) : BFloat16();
            }
          }
        }
      }
    }
  }
};

// The convolution itself, of a filter that `of(args, …)` reads number by number.
template <typename Of>
PreparedKernel convolve(const Conv2dGeometry& g, size_t image_input, bool bias, bool relu, Of of) {
  const int64_t parts = std::min<int64_t>(compute_threads(), g.batch);
  Scratch scratch;
  const PaddedImages images(g, true, parts, scratch);
  const PackedFilter filter(g);
  const int64_t filter_at = scratch.take<BFloat16>(filter.size());
  const int64_t bias_at = scratch.take<float>(round_up(g.out_channels, kLanes));
  auto run = [=](const KernelArgs& args) {
    BFloat16* const packed = at<BFloat16>(args, filter_at);
    float* const wide_bias = at<float>(args, bias_at);
    if (bias) {
      widen(args.in<BFloat16>(2), wide_bias, g.out_channels);
      std::fill(wide_bias + g.out_channels, wide_bias + round_up(g.out_channels, kLanes), 0.0f);
    }
    filter.pack([&](int64_t fy, int64_t j, int64_t o) { return of(args, fy, j, o); }, packed);
    const auto example = [&](const BFloat16* image, BFloat16* y) {
      for (int64_t c = 0; c < g.out_channels; c += kPanel) {
        const int64_t columns = std::min(kPanel, g.out_channels - c);
        const int64_t vectors = PackedFilter::vectors(columns);
        bf16_tiles::Tile tile{.a = nullptr,
                              .a_row = g.w.stride * g.in_channels,
                              .a_pair = 2,
                              .a_segment = images.pitch(),
                              .segments = g.h.window,
                              .pairs = filter.pairs,
                              .b = packed + filter.panel_at(c),
                              .b_segment = filter.pairs * vectors * 2 * kLanes,
                              .bias = bias ? wide_bias + c : nullptr,
                              .y_row = g.out_channels,
                              .columns = columns,
                              .relu = relu};
        for (int64_t oy = 0; oy < g.h.output; ++oy) {
          const BFloat16* const row = image + oy * g.h.stride * images.pitch();
          BFloat16* const out = y + oy * g.w.output * g.out_channels + c;
          for_each_block(g.w.output, bf16_tiles::max_rows(vectors), [&](int64_t ox, int64_t count) {
            tile.a = row + ox * tile.a_row;
            tile.y = out + ox * g.out_channels;
            bf16_tiles::run(count, vectors, tile);
          });
        }
      }
    };
    const auto* const from = static_cast<const BFloat16*>(args.inputs[image_input]);
    for_each_part(parts, g.batch, [&](int64_t part, int64_t begin, int64_t end) {
      images.clear(args, part);
      for (int64_t n = begin; n < end; ++n) {
        example(images.image(args, from, n, part),
                args.out<BFloat16>() + n * g.h.output * g.w.output * g.out_channels);
      }
    });
  };
  return {run, scratch.bytes()};
}

// The axis of the convolution of y's gradient that gives the image's.
WindowAxis turned(const WindowAxis& axis) {
  WindowAxis result{.input = axis.output, .window = axis.window, .stride = 1, .dilation = 1};
  result.output = axis.input;
  result.before = axis.window - 1 - axis.before;
  result.after =
      std::max<int64_t>(result.output + axis.window - 1 - result.input - result.before, 0);
  return result;
}

}  // namespace

bool suits_forward(const Conv2dGeometry& g, std::string_view activation) {
  return suits(g) && (activation == "none" || activation == "relu");
}

bool suits_backward_input(const Conv2dGeometry& g) {
  return suits(g) && g.h.stride == 1 && g.w.stride == 1;
}

bool suits_backward_filter(const Conv2dGeometry& g) { return suits(g); }

PreparedKernel forward(const Conv2dGeometry& g, bool bias, bool relu) {
  return convolve(g, 0, bias, relu,
                  [length = g.w.window * g.in_channels, out = g.out_channels](
                      const KernelArgs& args, int64_t fy, int64_t j, int64_t o) {
                    return args.in<BFloat16>(1)[(fy * length + j) * out + o];
                  });
}

PreparedKernel backward_input(const Conv2dGeometry& g) {
  const Conv2dGeometry turned_g{.batch = g.batch,
                                .in_channels = g.out_channels,
                                .out_channels = g.in_channels,
                                .groups = 1,
                                .h = turned(g.h),
                                .w = turned(g.w)};
  return convolve(turned_g, 1, false, false,
                  [g](const KernelArgs& args, int64_t fy, int64_t j, int64_t o) {
                    const int64_t fx = j / g.out_channels, i = j % g.out_channels;
                    const int64_t y = g.h.window - 1 - fy, x = g.w.window - 1 - fx;
                    return args.in<BFloat16>(
                        0)[((y * g.w.window + x) * g.in_channels + o) * g.out_channels + i];
                  });
}

PreparedKernel backward_filter(const Conv2dGeometry& g, bool wide) {
  const int64_t parts = std::min<int64_t>(compute_threads(), g.batch);
  Scratch scratch;
  const PaddedImages images(g, false, parts, scratch);
  const int64_t k = g.w.window * g.in_channels;  // numbers of a filter row, a channel out
  const int64_t pairs = (g.w.output + 1) / 2;    // of pixels in a line of y
  // A number of the image and the one that the next output pixel meets in its place.
  const int64_t next = g.w.stride * g.in_channels;
  const int64_t line = images.pitch(), image_size = images.height() * line;
  const int64_t pairs_size = 2 * round_up(image_size + next, kLanes);
  const int64_t pairs_at = scratch.take<BFloat16>(parts * pairs_size);
  const int64_t packed_columns = round_up(g.out_channels, kLanes);
  const int64_t right_size =
      g.h.output * pairs * 2 * round_up(std::min(g.out_channels, kPanel), kLanes);
  const int64_t right_at = scratch.take<BFloat16>(parts * right_size);
  const int64_t sums_size = g.h.window * k * packed_columns;
  const int64_t sums_at = scratch.take<float>(parts * sums_size);
  const int64_t dy_line = g.w.output * g.out_channels;
  auto run = [=](const KernelArgs& args) {
    // Adds what one example gives to `columns` channels out from c on.
    const auto panel = [&](const BFloat16* left, const BFloat16* dy, int64_t c, BFloat16* right,
                           float* sums) {
      const int64_t columns = std::min(kPanel, g.out_channels - c);
      const int64_t vectors = PackedFilter::vectors(columns), right_line = pairs * vectors * 32;
      for (int64_t oy = 0; oy < g.h.output; ++oy) {
        bf16_tiles::pack_right(dy + oy * dy_line + c, g.out_channels, false, g.w.output, columns,
                               vectors, right + oy * right_line);
      }
      bf16_tiles::Tile tile{.a = nullptr,
                            .a_row = 2,
                            .a_pair = 2 * 2 * next,
                            .a_segment = 2 * g.h.stride * line,
                            .segments = g.h.output,
                            .pairs = pairs,
                            .b = right,
                            .b_segment = right_line,
                            .sums_row = vectors * kLanes};
      for (int64_t fy = 0; fy < g.h.window; ++fy) {
        for_each_block(k, bf16_tiles::max_rows(vectors), [&](int64_t j, int64_t count) {
          tile.a = left + 2 * (fy * line + j);
          tile.sums = sums + (fy * k + j) * tile.sums_row;
          tile.start = tile.sums;
          bf16_tiles::run(count, vectors, tile);
        });
      }
    };
    for_each_part(parts, g.batch, [&](int64_t part, int64_t begin, int64_t end) {
      float* const sums = at<float>(args, sums_at) + part * sums_size;
      BFloat16* const left = at<BFloat16>(args, pairs_at) + part * pairs_size;
      BFloat16* const right = at<BFloat16>(args, right_at) + part * right_size;
      std::fill_n(sums, sums_size, 0.0f);
      std::fill_n(left, pairs_size, BFloat16());
      images.clear(args, part);
      for (int64_t n = begin; n < end; ++n) {
        const BFloat16* const image = images.image(args, args.in<BFloat16>(0), n, part);
        bf16_tiles::interleave(image, image + next, image_size - next, left);
        bf16_tiles::interleave(image + image_size - next, nullptr, next,
                               left + 2 * (image_size - next));
        for (int64_t c = 0; c < g.out_channels; c += kPanel) {
          panel(left, args.in<BFloat16>(1) + n * g.h.output * dy_line, c, right,
                sums + c * g.h.window * k);
        }
      }
    });
    float* const total = at<float>(args, sums_at);
    for (int64_t part = 1; part < parts; ++part) {
      for (int64_t i = 0; i < sums_size; ++i) total[i] += total[part * sums_size + i];
    }
    for (int64_t c = 0; c < g.out_channels; c += kPanel) {
      const int64_t columns = std::min(kPanel, g.out_channels - c);
      for (int64_t row = 0; row < g.h.window * k; ++row) {
        const float* const from = total + c * g.h.window * k + row * round_up(columns, kLanes);
        const int64_t to = row * g.out_channels + c;
        wide ? void(std::copy_n(from, columns, args.out<float>() + to))
             : narrow(from, args.out<BFloat16>() + to, columns);
      }
    }
  };
  return {run, scratch.bytes()};
}

}  // namespace trireme::bf16_convolution

#include "core/device/cpu/bf16_matmul.h"

#include <algorithm>

#include "core/base/parallel.h"
#include "core/device/cpu/avx512.h"
#include "core/device/cpu/bf16_tiles.h"
#include "core/device/small_floats.h"
#include "core/tensor/buffer.h"

namespace trireme::bf16_matmul {
namespace {

using bf16_tiles::kLanes;

constexpr int64_t kPanel = bf16_tiles::kMaxVectors * kLanes;  // columns that a tile does
// A panel of the right factor, kDepth rows of kPanel columns, lies in the first-level cache.
constexpr int64_t kDepth = 192, kColumns = 4 * kPanel;
constexpr int64_t kRows = 256;  // of y whose sums wait for the next block of the right factor

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
int64_t divide_up(int64_t n, int64_t by) { return (n + by - 1) / by; }

// How y is cut into items of work, and where each part of the scratch memory is.
struct Layout {
  int64_t columns;  // of an item, a multiple of kPanel
  int64_t column_items, row_items, parts;
  bool packs_left;
  int64_t left_bytes, right_bytes, sums_bytes, bias_bytes;

  explicit Layout(const Product& p) {
    row_items = divide_up(p.m, kRows);
    columns = std::min(kColumns, round_up(p.n, kPanel));
    // Enough items to keep all threads busy, where there are so many panels.
    while (columns > kPanel && divide_up(p.n, columns) * row_items < 2 * p.threads) {
      columns = round_up(columns / 2, kPanel);
    }
    column_items = divide_up(p.n, columns);
    parts = std::min(p.threads, column_items * row_items);
    if (p.m * p.n * p.k < 1 << 18) parts = 1;  // not worth a second thread
    packs_left = p.transpose_a || p.k % 2 != 0;
    left_bytes = packs_left ? round_up(p.m, kLanes) * round_up(p.k, 2) * 2 : 0;
    left_bytes = round_up(left_bytes, 64);
    right_bytes = std::min(round_up(p.k, 2), kDepth) * kPanel * 2;
    sums_bytes = p.k > kDepth ? std::min(p.m, kRows) * columns * 4 : 0;
    bias_bytes = round_up(p.n, kPanel) * 4;
  }
  int64_t part_bytes() const { return right_bytes + sums_bytes; }
};

// The left factor as tiles read it: row i of an item that begins at a multiple of kRows.
struct Left {
  const BFloat16* at;
  int64_t row, pair, panel;  // panel: from one block of kPanelRows rows to the next

  const BFloat16* of(int64_t i, int64_t q) const {
    return at + i / bf16_tiles::kPanelRows * panel + i % bf16_tiles::kPanelRows * row +
           q / 2 * pair;
  }
};

Left left_of(const Product& p, const Layout& layout, const BFloat16* a, BFloat16* packed) {
  constexpr int64_t kPanelRows = bf16_tiles::kPanelRows;
  if (!layout.packs_left) return {a, p.k, 2, kPanelRows * p.k};
  const int64_t even_k = round_up(p.k, 2);
  if (!p.transpose_a) {
    parallel_for(p.m, std::max<int64_t>(1, 32768 / p.k), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        std::copy_n(a + i * p.k, p.k, packed + i * even_k);
        packed[i * even_k + p.k] = BFloat16();
      }
    });
    return {packed, even_k, 2, kPanelRows * even_k};
  }
  const int64_t panels = divide_up(p.m, kPanelRows);
  parallel_for(panels, std::max<int64_t>(1, 2048 / p.k), [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kPanelRows;
    bf16_tiles::pack_left(a + first, p.m, p.k, std::min(end * kPanelRows, p.m) - first,
                          packed + first * even_k);
  });
  return {packed, 2, 2 * kPanelRows, kPanelRows * even_k};
}

// Splits [0, rows) into tiles of at most `most` rows that lie within one panel of the left factor
// where that is packed.
template <typename Body>
void for_each_tile(int64_t rows, int64_t within, int64_t most, Body body) {
  for (int64_t i = 0; i < rows; i += within) {
    const int64_t count = std::min(within, rows - i), tiles = divide_up(count, most);
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t begin = count * t / tiles;
      body(i + begin, count * (t + 1) / tiles - begin);
    }
  }
}

// The part of the right factor from which a panel is packed: `rows` rows of `bytes` bytes, `step`
// apart. Asked for piece by piece while the panel before it is multiplied, because its rows are too
// short for the processor to see them coming.
class Source {
 public:
  Source(const Product& p, const BFloat16* b, int64_t q, int64_t depth, int64_t column,
         int64_t width) {
    const int64_t row_step = p.transpose_b ? p.k : p.n;
    at_ = reinterpret_cast<const char*>(b + (p.transpose_b ? column * p.k + q : q * p.n + column));
    step_ = 2 * row_step;
    rows_ = p.transpose_b ? width : depth;
    lines_ = divide_up(2 * (p.transpose_b ? depth : width), kLine);
  }
  Source() = default;

  // Asks for the next of `pieces` equal pieces.
  void prefetch(int64_t pieces) {
    const int64_t end = std::min(rows_, next_ + divide_up(rows_, pieces));
    for (; next_ < end; ++next_) {
      for (int64_t line = 0; line < lines_; ++line) {
        __builtin_prefetch(at_ + next_ * step_ + line * kLine, 0, 2);
      }
    }
  }

 private:
  static constexpr int64_t kLine = 64;
  const char* at_ = nullptr;
  int64_t step_ = 0, rows_ = 0, lines_ = 0, next_ = 0;
};

// One item of work: rows [row, row + rows) and columns [column, column + columns) of y.
struct Item {
  int64_t row, rows, column, columns;
};

void run_item(const Product& p, const Operands& o, const Left& left, const float* bias,
              const Item& item, BFloat16* packed, float* sums) {
  const int64_t within = p.transpose_a ? bf16_tiles::kPanelRows : item.rows;
  const int64_t sums_row = round_up(item.columns, kPanel);
  for (int64_t q = 0; q < p.k; q += kDepth) {
    const int64_t depth = std::min(kDepth, p.k - q);
    for (int64_t c = 0; c < item.columns; c += kPanel) {
      const int64_t width = std::min(kPanel, item.columns - c), at = item.column + c;
      const int64_t vectors = divide_up(width, kLanes);
      p.transpose_b
          ? bf16_tiles::pack_right(o.b + at * p.k + q, p.k, true, depth, width, vectors, packed)
          : bf16_tiles::pack_right(o.b + q * p.n + at, p.n, false, depth, width, vectors, packed);
      Source next;
      if (c + kPanel < item.columns) {
        next = Source(p, o.b, q, depth, at + kPanel, std::min(kPanel, item.columns - c - kPanel));
      } else if (q + kDepth < p.k) {
        next = Source(p, o.b, q + kDepth, std::min(kDepth, p.k - q - kDepth), item.column,
                      std::min(kPanel, item.columns));
      }
      bf16_tiles::Tile tile{.a = nullptr,
                            .a_row = left.row,
                            .a_pair = left.pair,
                            .a_segment = 0,
                            .segments = 1,
                            .pairs = divide_up(depth, 2),
                            .b = packed,
                            .b_segment = 0,
                            .bias = bias == nullptr ? nullptr : bias + at,
                            .sums_row = sums_row,
                            .y_row = p.n,
                            .columns = width,
                            .relu = p.relu,
                            .rate = o.rate};
      const int64_t most = bf16_tiles::max_rows(vectors);
      for_each_tile(item.rows, within, most, [&](int64_t i, int64_t count) {
        tile.a = left.of(item.row + i, q);
        float* const sum = sums + i * sums_row + c;
        tile.start = q == 0 ? nullptr : sum;
        tile.sums = q + kDepth >= p.k ? nullptr : sum;
        const int64_t to = (item.row + i) * p.n + at;
        tile.y = o.y == nullptr ? nullptr : o.y + to;
        tile.wide_y = o.wide_y == nullptr ? nullptr : o.wide_y + to;
        tile.updated_y = o.updated_y == nullptr ? nullptr : o.updated_y + to;
        next.prefetch(item.rows / most + 1);
        bf16_tiles::run(count, vectors, tile);
      });
    }
  }
}

}  // namespace

bool Product::suits() const { return has_avx512_bf16(); }

size_t Product::scratch_bytes() const {
  const Layout layout(*this);
  return static_cast<size_t>(layout.left_bytes + layout.bias_bytes +
                             layout.parts * layout.part_bytes());
}

void run(const Product& p, const Operands& o) {
  const Layout layout(p);
  char* scratch = static_cast<char*>(o.scratch);
  BFloat16* const packed_left = reinterpret_cast<BFloat16*>(scratch);
  scratch += layout.left_bytes;
  float* const wide_bias = reinterpret_cast<float*>(scratch);
  scratch += layout.bias_bytes;
  if (o.bias != nullptr) {
    widen(o.bias, wide_bias, p.n);
    std::fill(wide_bias + p.n, wide_bias + round_up(p.n, kPanel), 0.0f);
  }
  const Left left = left_of(p, layout, o.a, packed_left);
  const int64_t items = layout.column_items * layout.row_items;
  parallel_for(layout.parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      char* const own = scratch + part * layout.part_bytes();
      for (int64_t i = items * part / layout.parts; i < items * (part + 1) / layout.parts; ++i) {
        const int64_t column = i / layout.row_items * layout.columns;
        const int64_t row = i % layout.row_items * kRows;
        const Item item{row, std::min(kRows, p.m - row), column,
                        std::min(layout.columns, p.n - column)};
        run_item(p, o, left, o.bias == nullptr ? nullptr : wide_bias, item,
                 reinterpret_cast<BFloat16*>(own),
                 reinterpret_cast<float*>(own + layout.right_bytes));
      }
    }
  });
}

}  // namespace trireme::bf16_matmul

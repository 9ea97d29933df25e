#include "core/data/digits.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <memory>
#include <numbers>
#include <vector>

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/base/philox.h"

namespace trireme::data {
namespace {

struct Point {
  float x, y;
};

// A stroke of the pen: straight between points, in a square of [-1, 1] with y downwards.
using Stroke = std::vector<Point>;
using Glyph = std::vector<Stroke>;

// Points of an arc of an ellipse. Angles in degrees, clockwise on the screen, 0 to the right.
Stroke arc(float x, float y, float rx, float ry, float from, float to) {
  constexpr float kRadians = std::numbers::pi_v<float> / 180;
  const int pieces = std::max(3, static_cast<int>(std::abs(to - from) / 24));
  Stroke points;
  for (int i = 0; i <= pieces; ++i) {
    const float angle =
        (from + (to - from) * static_cast<float>(i) / static_cast<float>(pieces)) * kRadians;
    points.push_back({x + rx * std::cos(angle), y + ry * std::sin(angle)});
  }
  return points;
}

Stroke join(Stroke first, const Stroke& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

// The ways of writing each digit.
std::array<std::vector<Glyph>, 10> make_glyphs() {
  return {{
      // 0: round, narrow, and left open at the top
      {{arc(0, 0, 0.62f, 0.95f, -90, 270)},
       {arc(0, 0, 0.42f, 0.95f, -90, 270)},
       {arc(0, 0, 0.58f, 0.9f, -60, 275)}},
      // 1: a bar, with a flag, with a flag and a foot
      {{{{0, -0.95f}, {0, 0.95f}}},
       {{{-0.38f, -0.5f}, {0.08f, -0.95f}, {0.08f, 0.95f}}},
       {{{-0.35f, -0.55f}, {0.02f, -0.95f}, {0.02f, 0.92f}}, {{-0.42f, 0.92f}, {0.45f, 0.92f}}}},
      // 2: with a sharp corner, with a loop, and flat like a Z
      {{join(arc(0, -0.45f, 0.55f, 0.5f, -170, 35), {{-0.6f, 0.92f}, {0.65f, 0.92f}})},
       {join(join(arc(0, -0.5f, 0.52f, 0.45f, -160, 60), arc(-0.35f, 0.7f, 0.24f, 0.2f, 20, 330)),
             {{0.1f, 0.78f}, {0.65f, 0.9f}})},
       {{{-0.55f, -0.85f}, {0.4f, -0.85f}, {0.5f, -0.55f}, {-0.55f, 0.9f}, {0.6f, 0.88f}}}},
      // 3: two bows, and with a flat top
      {{join(arc(-0.05f, -0.48f, 0.5f, 0.45f, -150, 80),
             arc(-0.05f, 0.45f, 0.58f, 0.5f, -80, 150))},
       {join({{-0.5f, -0.9f}, {0.5f, -0.9f}, {-0.05f, -0.15f}},
             arc(-0.08f, 0.38f, 0.6f, 0.54f, -75, 150))}},
      // 4: open, closed, and with a long stem
      {{{{-0.4f, -0.9f}, {-0.55f, 0.1f}, {0.6f, 0.1f}}, {{0.3f, -0.75f}, {0.25f, 0.95f}}},
       {{{0.3f, 0.95f}, {0.3f, -0.95f}, {-0.65f, 0.35f}, {0.65f, 0.35f}}},
       {{{-0.5f, -0.8f}, {-0.45f, -0.05f}, {0.45f, -0.1f}}, {{0.45f, -0.9f}, {0.4f, 0.95f}}}},
      // 5: in one stroke, and with a separate top
      {{join({{0.55f, -0.9f}, {-0.4f, -0.9f}, {-0.48f, -0.1f}},
             arc(-0.05f, 0.35f, 0.6f, 0.55f, -120, 150))},
       {join({{-0.38f, -0.85f}, {-0.42f, -0.2f}}, arc(-0.1f, 0.38f, 0.56f, 0.52f, -115, 140)),
        {{-0.38f, -0.88f}, {0.6f, -0.82f}}}},
      // 6: curved, and with a straight back
      {{join(arc(0.35f, 0.3f, 0.9f, 1.2f, -95, -175), arc(0, 0.42f, 0.52f, 0.5f, 175, -185))},
       {join({{0.3f, -0.95f}, {-0.35f, 0.1f}}, arc(0, 0.42f, 0.48f, 0.5f, -160, 190))}},
      // 7: plain, crossed, and with a serif
      {{{{-0.6f, -0.88f}, {0.6f, -0.88f}, {-0.15f, 0.95f}}},
       {{{-0.6f, -0.85f}, {0.58f, -0.88f}, {-0.1f, 0.95f}}, {{-0.35f, 0.02f}, {0.5f, -0.02f}}},
       {{{-0.58f, -0.6f}, {-0.58f, -0.88f}, {0.55f, -0.85f}, {0.1f, 0.0f}, {0.0f, 0.95f}}}},
      // 8: two rings, and one crossing stroke
      {{arc(0, -0.48f, 0.44f, 0.42f, -90, 270), arc(0, 0.45f, 0.54f, 0.48f, -90, 270)},
       {join(join(arc(0, -0.5f, 0.48f, 0.42f, -20, -200), arc(0, 0.48f, 0.5f, 0.45f, -30, 210)),
             {{0.45f, -0.55f}})}},
      // 9: with a straight stem, and curved
      {{join(arc(0, -0.42f, 0.5f, 0.5f, 0, -360), {{0.48f, 0.95f}})},
       {join(arc(0, -0.42f, 0.52f, 0.5f, 10, -350), arc(-0.35f, -0.1f, 0.9f, 1.05f, 5, 95))}},
  }};
}

constexpr int kSide = static_cast<int>(kDigitSide);

// Squared distances of every pixel to the nearest stroke, up to `reach`; only pixels near a segment
// are visited.
class Canvas {
 public:
  explicit Canvas(float reach) : reach_(reach) { squared_.fill(reach * reach); }

  void segment(Point a, Point b) {
    const float dx = b.x - a.x, dy = b.y - a.y;
    const float length = dx * dx + dy * dy;
    const float inverse = length > 1e-6f ? 1 / length : 0;
    const int x0 = clamp(std::min(a.x, b.x) - reach_), x1 = clamp(std::max(a.x, b.x) + reach_ + 1);
    const int y0 = clamp(std::min(a.y, b.y) - reach_), y1 = clamp(std::max(a.y, b.y) + reach_ + 1);
    for (int y = y0; y < y1; ++y) {
      const float py = static_cast<float>(y) - a.y;
      float* row = &squared_[static_cast<size_t>(y * kSide)];
      for (int x = x0; x < x1; ++x) {
        const float px = static_cast<float>(x) - a.x;
        const float t = std::min(std::max((px * dx + py * dy) * inverse, 0.f), 1.f);
        const float ex = px - t * dx, ey = py - t * dy;
        row[x] = std::min(row[x], ex * ex + ey * ey);
      }
    }
  }

  // How much of the pixel a pen of this radius covers, at `index`: antialiased over one pixel.
  float cover(size_t index, float radius) const {
    return std::clamp(radius + 0.5f - std::sqrt(squared_[index]), 0.f, 1.f);
  }

 private:
  static int clamp(float v) { return std::clamp(static_cast<int>(std::floor(v)), 0, kSide); }

  float reach_;
  std::array<float, kSide * kSide> squared_;
};

// Of all that is random in a picture; the numbers were tuned so that a linear model stays below 95
// %.
struct Pose {
  explicit Pose(PhiloxGenerator& random) {
    const float angle = random.uniform(-0.25f, 0.25f);
    const float shear = random.uniform(-0.3f, 0.3f);
    const float height = random.uniform(7.8f, 10.2f);
    const float width = height * random.uniform(0.78f, 1.1f);
    const float c = std::cos(angle), s = std::sin(angle);
    xx = c * width;
    xy = (-c * shear * 0.8f - s) * height;
    yx = s * width;
    yy = (c - s * shear * 0.8f) * height;
    x = 13.5f + random.uniform(-1.8f, 1.8f);
    y = 13.5f + random.uniform(-1.8f, 1.8f);
    // A bend of the whole digit: one slow wave in each direction.
    bend_x = random.uniform(-0.15f, 0.15f);
    bend_y = random.uniform(-0.12f, 0.12f);
    phase = random.uniform(0.f, 6.28f);
  }
  Point place(Point p) const {
    const float u = p.x + bend_x * std::sin(2.2f * p.y + phase);
    const float v = p.y + bend_y * std::sin(2.2f * p.x + phase);
    return {x + xx * u + xy * v, y + yx * u + yy * v};
  }
  float xx, xy, yx, yy, x, y, bend_x, bend_y, phase;
};

}  // namespace

uint8_t draw_digit(uint64_t seed, Split split, int64_t index, std::span<uint8_t> pixels) {
  static const std::array<std::vector<Glyph>, 10> glyphs = make_glyphs();
  TRIREME_CHECK(pixels.size() == kSide * kSide && index >= 0);
  const uint64_t picture = static_cast<uint64_t>(index) * 2 + (split == Split::kTest ? 1 : 0);
  PhiloxGenerator random(seed ^ hash_name("digits"), picture);
  const auto digit = static_cast<uint8_t>(random.below(10));
  const std::vector<Glyph>& styles = glyphs[digit];
  const Glyph& glyph = styles[random.below(styles.size())];
  const Pose pose(random);
  const float radius = random.uniform(0.7f, 1.7f);

  Canvas canvas(radius + 0.5f);
  for (const Stroke& stroke : glyph) {
    Point previous{};
    for (size_t i = 0; i < stroke.size(); ++i) {
      const Point wobbled{stroke[i].x + random.uniform(-0.05f, 0.05f),
                          stroke[i].y + random.uniform(-0.05f, 0.05f)};
      const Point point = pose.place(wobbled);
      if (i > 0) canvas.segment(previous, point);
      previous = point;
    }
  }
  // Specks: short scratches that belong to no digit.
  for (uint64_t i = random.below(3); i > 0; --i) {
    const Point from{random.uniform(0, kSide), random.uniform(0, kSide)};
    canvas.segment(from,
                   {from.x + random.uniform(-2.5f, 2.5f), from.y + random.uniform(-2.5f, 2.5f)});
  }

  const float ink = random.uniform(150, 255);
  const float noise = random.uniform(5, 45);
  for (size_t i = 0; i < pixels.size(); ++i) {
    // The sum of four bytes of one number is close enough to a bell.
    const uint32_t bits = random.next();
    const float bell =
        static_cast<float>((bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24)) /
            255 -
        2;
    const float value = ink * canvas.cover(i, radius) + noise * bell;
    pixels[i] = static_cast<uint8_t>(std::clamp(value, 0.f, 255.f));
  }
  return digit;
}

namespace {

int64_t pictures(Split split, int64_t count) {
  const int64_t all = split == Split::kTrain ? kDigitTrainSize : kDigitTestSize;
  return count < 0 ? all : std::min(count, all);
}

// Elements as those of LabeledImages::dataset().
class DigitSource final : public IndexedExamples {
 public:
  DigitSource(Split split, uint64_t seed, int64_t count)
      : split_(split), seed_(seed), drawn_(static_cast<size_t>(pictures(split, count))) {}
  ~DigitSource() override {
    for (const auto& picture : drawn_) delete picture.load(std::memory_order_relaxed);
  }

  ElementSpec spec() const override {
    return {{"image", DType::kFloat32, {kDigitSide, kDigitSide, 1}}, {"label", DType::kInt64, {}}};
  }
  int64_t size() const override { return static_cast<int64_t>(drawn_.size()); }

  void read(int64_t index, std::span<const RowView> out) const override {
    const Picture& picture = at(index);
    const auto pixels = out[0].as<float>();
    for (size_t i = 0; i < pixels.size(); ++i) {
      pixels[i] = static_cast<float>(picture.pixels[i]) * (1 / 255.f);
    }
    out[1].as<int64_t>()[0] = picture.digit;
  }

 private:
  struct Picture {
    std::array<uint8_t, kSide * kSide> pixels;
    uint8_t digit;
  };

  const Picture& at(int64_t index) const {
    std::atomic<Picture*>& place = drawn_[static_cast<size_t>(index)];
    if (const Picture* picture = place.load(std::memory_order_acquire)) return *picture;
    auto drawn = std::make_unique<Picture>();
    drawn->digit = draw_digit(seed_, split_, index, drawn->pixels);
    Picture* before = nullptr;  // another thread may have drawn the same meanwhile
    if (place.compare_exchange_strong(before, drawn.get(), std::memory_order_acq_rel)) {
      return *drawn.release();
    }
    return *before;
  }

  const Split split_;
  const uint64_t seed_;
  mutable std::vector<std::atomic<Picture*>> drawn_;  // null: not yet
};

}  // namespace

Dataset digits_as_they_are_read(Split split, uint64_t seed, int64_t count) {
  return from_examples(std::make_shared<DigitSource>(split, seed, count));
}

LabeledImages digits(Split split, uint64_t seed, int64_t count) {
  const int64_t n = pictures(split, count);
  LabeledImages data{Tensor(DType::kUInt8, {n, kDigitSide, kDigitSide, 1}),
                     Tensor(DType::kUInt8, {n})};
  const auto pixels = data.images.flat<uint8_t>();
  const auto labels = data.labels.flat<uint8_t>();
  constexpr size_t kPixels = kSide * kSide;
  parallel_for(n, 256, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      labels[static_cast<size_t>(i)] =
          draw_digit(seed, split, i, pixels.subspan(static_cast<size_t>(i) * kPixels, kPixels));
    }
  });
  return data;
}

}  // namespace trireme::data

#include "core/data/synthetic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/base/philox.h"
#include "core/io/atomic_file.h"

namespace trireme::data {
namespace {

constexpr std::array<std::string_view, 24> kGood = {
    "wonderful", "brilliant", "moving",    "superb",    "delightful", "gripping",
    "masterful", "charming",  "funny",     "beautiful", "remarkable", "stunning",
    "clever",    "touching",  "excellent", "fresh",     "inspired",   "elegant",
    "thrilling", "honest",    "tender",    "witty",     "vivid",      "memorable"};
constexpr std::array<std::string_view, 24> kBad = {
    "awful",   "boring",    "dull",  "clumsy",   "tedious",     "lifeless", "terrible", "shallow",
    "painful", "pointless", "weak",  "annoying", "forgettable", "sloppy",   "stale",    "wooden",
    "messy",   "lazy",      "bland", "silly",    "predictable", "loud",     "hollow",   "dreadful"};
constexpr std::array<std::string_view, 40> kNeutral = {
    "the",      "a",      "film",    "movie",   "plot",      "actor",  "scene", "director",
    "story",    "camera", "music",   "ending",  "script",    "and",    "of",    "with",
    "in",       "was",    "it",      "this",    "that",      "for",    "but",   "cast",
    "dialogue", "sequel", "minutes", "night",   "character", "first",  "last",  "whole",
    "theatre",  "screen", "about",   "because", "while",     "rather", "quite", "some"};

}  // namespace

LabeledText synthetic_reviews(int64_t count, uint64_t seed) {
  if (count < 1)
    throw invalid_argument("synthetic reviews: expected a count of at least 1, found ", count);
  LabeledText reviews;
  std::string text;
  for (int64_t i = 0; i < count; ++i) {
    PhiloxGenerator random(seed, hash_name("reviews") ^ static_cast<uint64_t>(i));
    const bool good = random.below(2) == 1;
    const uint64_t words = 20 + random.below(61);
    text.clear();
    for (uint64_t w = 0; w < words; ++w) {
      if (!text.empty()) text += ' ';
      const float kind = random.uniform();
      if (kind < 0.12f) {
        text += good ? kGood[random.below(kGood.size())] : kBad[random.below(kBad.size())];
      } else if (kind < 0.16f) {
        text += good ? kBad[random.below(kBad.size())] : kGood[random.below(kGood.size())];
      } else if (kind < 0.22f) {
        // Names and rare words: they fill the vocabulary and say nothing.
        text += str_cat("name", random.below(2000));
      } else {
        text += kNeutral[random.below(kNeutral.size())];
      }
    }
    const bool flipped = random.uniform() < 0.03f;
    reviews.add(good != flipped ? 1 : 0, text);
  }
  return reviews;
}

std::string synthetic_housing_csv(int64_t rows, uint64_t seed) {
  if (rows < 1) throw invalid_argument("synthetic housing: expected at least 1 row, found ", rows);
  std::string csv = "crim,zn,indus,chas,nox,rm,age,dis,rad,tax,ptratio,b,lstat,medv\n";
  for (int64_t i = 0; i < rows; ++i) {
    PhiloxGenerator random(seed, hash_name("housing") ^ static_cast<uint64_t>(i));
    // One hidden number, how far out of town the house is, ties the columns together as in real
    // tables.
    const float far = random.uniform();
    const float crim = std::exp(random.normal() * 1.2f + 0.5f - 3.5f * far);
    const float zn = random.uniform() < 0.3f + 0.5f * far ? random.uniform(0, 100) * far : 0;
    const float indus = std::clamp(20 - 16 * far + 3 * random.normal(), 0.5f, 28.f);
    const float chas = random.uniform() < 0.07f ? 1.f : 0.f;
    const float nox = std::clamp(0.75f - 0.33f * far + 0.05f * random.normal(), 0.38f, 0.88f);
    const float rm = std::clamp(6.1f + 0.5f * far + 0.65f * random.normal(), 3.5f, 8.9f);
    const float age = std::clamp(95 - 60 * far + 18 * random.normal(), 2.f, 100.f);
    const float dis = 1.2f + 7 * far * far + 0.8f * random.uniform();
    const float rad =
        std::floor(random.uniform() < 0.7f - 0.6f * far ? 24.f : random.uniform(1, 9));
    const float tax = std::clamp(230 + 17 * rad + 40 * random.normal(), 180.f, 720.f);
    const float ptratio = std::clamp(20.5f - 3 * far + 1.6f * random.normal(), 12.f, 22.f);
    const float b = std::clamp(396.9f - std::abs(random.normal()) * 40 * (1.3f - far), 0.f, 396.9f);
    const float lstat =
        std::clamp(22 - 12 * far - 3 * (rm - 6.2f) + 5 * random.normal(), 1.7f, 38.f);
    const float rooms = rm - 6;
    const float price = 20 + 4.5f * rooms + 3.5f * std::max(rooms, 0.f) * rooms + 3 * chas +
                        11 * std::exp(-lstat / 9) - 0.25f * lstat - 1.8f * std::log1p(crim) -
                        9 * (nox - 0.55f) * rooms - 0.7f * (ptratio - 18) - 1.3f * std::log(dis) +
                        0.006f * (b - 350) - 0.008f * (tax - 400) * (age / 100) + 0.02f * zn -
                        0.04f * indus + 2 * random.normal();
    char line[256];
    const int length = std::snprintf(
        line, sizeof line,
        "%.5f,%.1f,%.2f,%.0f,%.4f,%.3f,%.1f,%.4f,%.0f,%.0f,%.1f,%.2f,%.2f,%.1f\n", crim, zn, indus,
        chas, nox, rm, age, dis, rad, tax, ptratio, b, lstat, std::clamp(price, 5.f, 60.f));
    csv.append(line, static_cast<size_t>(length));
  }
  return csv;
}

void write_synthetic_housing_csv(const std::string& path, int64_t rows, uint64_t seed) {
  io::write_file_atomically(path, synthetic_housing_csv(rows, seed));
}

LabeledImages noise(const Shape& shape, int64_t classes, uint64_t seed) {
  constexpr int64_t kMostPixels = int64_t{64} << 30;
  const bool is_batch = shape.rank() == 4 && std::ranges::all_of(shape, [](int64_t n) {
                          return n >= 1 && n <= kMostPixels;
                        });
  double pixels = 1;
  for (const int64_t n : shape) pixels *= static_cast<double>(n);
  if (!is_batch || pixels > static_cast<double>(kMostPixels)) {
    throw invalid_argument(
        "noise: expected [images, height, width, channels], each at least 1 and 64 GiB in all; "
        "found ",
        shape);
  }
  if (classes < 1 || classes > 65'536) {
    throw invalid_argument("noise: expected 1 to 65536 classes, found ", classes);
  }
  LabeledImages made{Tensor(DType::kUInt8, shape), Tensor(DType::kInt32, {shape[0]}), classes};
  const auto size = static_cast<size_t>(shape.elements() / shape[0]);
  parallel_for(shape[0], 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      PhiloxGenerator random(seed, hash_name("noise") ^ static_cast<uint64_t>(i));
      const auto place = static_cast<size_t>(i);
      made.labels.flat<int32_t>()[place] =
          static_cast<int32_t>(random.below(static_cast<uint64_t>(classes)));
      uint32_t bits = 0;
      const auto image = made.images.flat<uint8_t>().subspan(place * size, size);
      for (size_t p = 0; p < size; ++p) {
        if (p % 4 == 0) bits = random.next();
        image[p] = static_cast<uint8_t>(bits >> (p % 4 * 8));
      }
    }
  });
  return made;
}

}  // namespace trireme::data

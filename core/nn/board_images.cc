#include "core/nn/board_images.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "core/base/error.h"
#include "core/data/png_encoder.h"

namespace trireme::nn {
namespace {

constexpr int64_t kLargestSide = 4096;
constexpr int64_t kMostFilters = 64, kMostInputs = 8;
constexpr int64_t kMostTextClasses = 20;

// The numbers of a host tensor; empty: it has others.
std::vector<float> numbers_of(const Tensor& tensor) {
  const auto converted = [](const auto& values) {
    return std::vector<float>(values.begin(), values.end());
  };
  if (tensor.dtype() == DType::kFloat32) return converted(tensor.flat<float>());
  if (tensor.dtype() == DType::kUInt8) return converted(tensor.flat<uint8_t>());
  if (tensor.dtype() == DType::kFloat64) return converted(tensor.flat<double>());
  return {};
}

struct Limits {
  float least = 0, greatest = 0;
};
Limits limits_of(std::span<const float> values) {
  Limits limits{INFINITY, -INFINITY};
  for (const float value : values) {
    if (!std::isfinite(value)) continue;
    limits.least = std::min(limits.least, value);
    limits.greatest = std::max(limits.greatest, value);
  }
  return limits.least <= limits.greatest ? limits : Limits{0, 0};
}

uint8_t shade(float value, Limits limits) {
  const float range = limits.greatest - limits.least;
  const float part = range > 0 && std::isfinite(value) ? (value - limits.least) / range : 0;
  return static_cast<uint8_t>(std::lround(std::clamp(part, 0.f, 1.f) * 255));
}

// Every pixel as `times` × `times`, so that small pictures can be seen.
Pictures enlarged(const std::vector<uint8_t>& pixels, int64_t width, int64_t height, int channels,
                  int64_t times) {
  std::vector<uint8_t> large(static_cast<size_t>(width * height * times * times * channels));
  for (int64_t y = 0; y < height * times; ++y) {
    for (int64_t x = 0; x < width * times; ++x) {
      const int64_t from = (y / times * width + x / times) * channels;
      std::copy_n(pixels.begin() + from, channels,
                  large.begin() + (y * width * times + x) * channels);
    }
  }
  return {width * times,
          height * times,
          {data::encode_png(large, width * times, height * times, channels)}};
}

}  // namespace

std::optional<Pictures> input_pictures(const Tensor& batch, int64_t most) {
  const Shape& shape = batch.shape();
  const bool has_channels = shape.rank() == 4;
  if (shape.rank() != 3 && !has_channels) return std::nullopt;
  const int64_t height = shape[1], width = shape[2], channels = has_channels ? shape[3] : 1;
  if ((channels != 1 && channels != 3) || height < 2 || width < 2 || height > kLargestSide ||
      width > kLargestSide || shape[0] == 0) {
    return std::nullopt;
  }
  const int64_t rows = std::min(most, shape[0]);
  const std::vector<float> numbers = numbers_of(batch.rows(0, rows));
  if (numbers.empty()) return std::nullopt;
  Limits limits = limits_of(numbers);
  if (limits.least >= 0 && limits.greatest <= 1) {
    limits = {0, 1};
  } else if (limits.least >= 0 && limits.greatest <= 255) {
    limits = {0, 255};
  }
  Pictures pictures{width, height, {}};
  const auto size = static_cast<size_t>(height * width * channels);
  std::vector<uint8_t> pixels(size);
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
    for (size_t i = 0; i < size; ++i) pixels[i] = shade(numbers[row * size + i], limits);
    pictures.pngs.push_back(data::encode_png(pixels, width, height, static_cast<int>(channels)));
  }
  return pictures;
}

std::optional<Pictures> filter_picture(const Tensor& kernel) {
  const Shape& shape = kernel.shape();
  if (shape.rank() != 4 || shape.elements() == 0) return std::nullopt;
  const int64_t height = shape[0], width = shape[1], inputs = shape[2], outputs = shape[3];
  if (height * width < 2 || height > 64 || width > 64) return std::nullopt;
  const std::vector<float> numbers = numbers_of(kernel);
  if (numbers.empty()) return std::nullopt;
  const bool color = inputs == 3;
  const int channels = color ? 3 : 1;
  const int64_t columns = std::min(outputs, kMostFilters);
  const int64_t rows = color ? 1 : std::min(inputs, kMostInputs);
  // A line of one pixel between filters.
  const int64_t picture_width = columns * (width + 1) - 1, picture_height = rows * (height + 1) - 1;
  std::vector<uint8_t> pixels(static_cast<size_t>(picture_width * picture_height * channels), 255);
  const auto at = [&](int64_t y, int64_t x, int64_t input, int64_t output) {
    return numbers[static_cast<size_t>(((y * width + x) * inputs + input) * outputs + output)];
  };
  for (int64_t output = 0; output < columns; ++output) {
    std::vector<float> own;
    for (int64_t i = 0; i < height * width * inputs; ++i) {
      own.push_back(numbers[static_cast<size_t>(i * outputs + output)]);
    }
    const Limits limits = limits_of(own);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t y = 0; y < height; ++y) {
        for (int64_t x = 0; x < width; ++x) {
          const int64_t to =
              ((row * (height + 1) + y) * picture_width + output * (width + 1) + x) * channels;
          for (int c = 0; c < channels; ++c) {
            pixels[static_cast<size_t>(to + c)] = shade(at(y, x, color ? c : row, output), limits);
          }
        }
      }
    }
  }
  return enlarged(pixels, picture_width, picture_height, channels,
                  std::max<int64_t>(1, std::min<int64_t>(8, 1024 / picture_width)));
}

Pictures confusion_picture(const std::vector<double>& table) {
  const auto classes = static_cast<int64_t>(std::llround(std::sqrt(table.size())));
  TRIREME_CHECK(classes > 0 && classes * classes == static_cast<int64_t>(table.size()));
  std::vector<uint8_t> pixels;
  for (int64_t label = 0; label < classes; ++label) {
    double sum = 0;
    for (int64_t i = 0; i < classes; ++i) sum += table[static_cast<size_t>(label * classes + i)];
    for (int64_t i = 0; i < classes; ++i) {
      const double count = table[static_cast<size_t>(label * classes + i)];
      const double part = sum > 0 ? count / sum : 0;
      // From white to a dark blue.
      for (const double dark : {8.0, 48.0, 107.0}) {
        pixels.push_back(static_cast<uint8_t>(std::lround(255 - part * (255 - dark))));
      }
    }
  }
  return enlarged(pixels, classes, classes, 3, std::max<int64_t>(1, 320 / classes));
}

std::string confusion_text(const std::vector<double>& table) {
  const auto classes = static_cast<int64_t>(std::llround(std::sqrt(table.size())));
  if (classes > kMostTextClasses) return "";
  std::string text = "| label \\ predicted |";
  for (int64_t i = 0; i < classes; ++i) text += str_cat(" ", i, " |");
  text += "\n|---|";
  for (int64_t i = 0; i < classes; ++i) text += "---|";
  for (int64_t label = 0; label < classes; ++label) {
    text += str_cat("\n| **", label, "** |");
    for (int64_t i = 0; i < classes; ++i) {
      text += str_cat(" ", table[static_cast<size_t>(label * classes + i)], " |");
    }
  }
  return text;
}

}  // namespace trireme::nn

// data { series } and data { reversal }: sequences that the program makes up, to try models of
// sequences on.
#include <cmath>
#include <numbers>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/data/source.h"

namespace trireme::data {
namespace {

// Two waves and noise: value t of the series depends on t and the seed only.
class SeriesSource final : public Source {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "window",
                   .help = "values of an example; the one behind them is the label",
                   .range = from_to(1, 1 << 20)},
                  window_);
    visitor.field({.name = "examples",
                   .help = "windows to train with; a quarter as many to validate with, later ones",
                   .range = from_to(1, 1 << 30)},
                  examples_);
    visitor.field({.name = "noise",
                   .help = "standard deviation of what no model can forecast",
                   .range = at_least(0)},
                  noise_);
    visitor.field({.name = "seed", .help = "of the noise"}, seed_);
  }

  SourceData build(const SourceContext&) const override {
    const int64_t validation = (examples_ + 3) / 4;
    // No value that was a label is one of a window to validate with.
    return {.train = windows(0, examples_),
            .validation = windows(examples_ + window_, validation),
            .description = str_cat("a made-up series: ", examples_, " + ", validation,
                                   " windows of ", window_, " values, noise ", noise_),
            .preprocessing = make_preprocessing("series", "")};
  }
  bool makes_examples_as_needed() const override { return true; }

 private:
  float value(int64_t t) const {
    const double turns = 2 * std::numbers::pi * static_cast<double>(t);
    const double wave = std::sin(turns / 25) + 0.5 * std::sin(turns / 60 + 1);
    PhiloxGenerator random(seed_, static_cast<uint64_t>(t));
    return static_cast<float>(wave + noise_ * random.normal());
  }
  Dataset windows(int64_t first, int64_t count) const {
    const ElementSpec spec = {{"values", DType::kFloat32, {window_, 1}},
                              {"next", DType::kFloat32, {1}}};
    return from_function(spec, count, [source = *this, first](int64_t index, Element& out) {
      out = {Tensor(DType::kFloat32, {source.window_, 1}), Tensor(DType::kFloat32, {1})};
      for (int64_t i = 0; i < source.window_; ++i) {
        out[0].flat<float>()[static_cast<size_t>(i)] = source.value(first + index + i);
      }
      out[1].flat<float>()[0] = source.value(first + index + source.window_);
    });
  }

  int64_t window_ = 50, examples_ = 8000;
  double noise_ = 0.1;
  uint64_t seed_ = 1;
};

// A sequence of symbols 2 … symbols + 1; that of a decoder, which begins with 1 and then has what
// is wanted, one step later; and what is wanted: the sequence backwards.
class ReversalSource final : public Source {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "length", .help = "symbols of a sequence", .range = from_to(1, 1 << 16)},
                  length_);
    visitor.field({.name = "symbols",
                   .help = "different ones, numbered from 2; 0 is padding and 1 is the start",
                   .range = from_to(1, 1 << 20)},
                  symbols_);
    visitor.field({.name = "shortest",
                   .help = "sequences are of this length up to `length`, padded with 0 in front",
                   .range = at_least(1),
                   .default_text = "length"},
                  shortest_);
    visitor.field({.name = "examples",
                   .help = "sequences to train with; a tenth as many to validate with",
                   .range = from_to(1, 1 << 30)},
                  examples_);
    visitor.field({.name = "seed", .help = "of all that is drawn"}, seed_);
  }
  void check() const override {
    if (shortest_.value_or(length_) > length_) {
      throw invalid_argument("shortest: expected at most length, which is ", length_, ", found ",
                             *shortest_);
    }
  }

  SourceData build(const SourceContext&) const override {
    const int64_t validation = (examples_ + 9) / 10;
    return {.train = sequences(0, examples_),
            .validation = sequences(1, validation),
            .description = str_cat("sequences to reverse: ", examples_, " + ", validation,
                                   " of up to ", length_, " of ", symbols_, " symbols"),
            .preprocessing = make_preprocessing("reversal", std::to_string(symbols_))};
  }
  bool makes_examples_as_needed() const override { return true; }

 private:
  Dataset sequences(uint64_t part, int64_t count) const {
    const Shape shape{length_};
    const ElementSpec spec = {{"sequence", DType::kInt64, shape},
                              {"decoder", DType::kInt64, shape},
                              {"reversed", DType::kInt64, shape}};
    return from_function(spec, count, [source = *this, part](int64_t index, Element& out) {
      source.draw(2 * static_cast<uint64_t>(index) + part, out);
    });
  }
  void draw(uint64_t stream, Element& out) const {
    PhiloxGenerator random(seed_, stream);
    out = {Tensor::zeros(DType::kInt64, {length_}), Tensor::zeros(DType::kInt64, {length_}),
           Tensor::zeros(DType::kInt64, {length_})};
    const int64_t shortest = shortest_.value_or(length_);
    const int64_t padding =
        static_cast<int64_t>(random.below(static_cast<uint64_t>(length_ - shortest + 1)));
    const auto sequence = out[0].flat<int64_t>(), decoder = out[1].flat<int64_t>(),
               reversed = out[2].flat<int64_t>();
    for (int64_t i = padding; i < length_; ++i) {
      const auto symbol = static_cast<int64_t>(random.below(static_cast<uint64_t>(symbols_))) + 2;
      sequence[static_cast<size_t>(i)] = symbol;
      // Padding of what is wanted stands behind it.
      reversed[static_cast<size_t>(length_ - 1 - i)] = symbol;
    }
    decoder[0] = 1;
    for (int64_t i = 1; i < length_; ++i) {
      decoder[static_cast<size_t>(i)] = reversed[static_cast<size_t>(i - 1)];
    }
  }

  int64_t length_ = 10, symbols_ = 20, examples_ = 20000;
  std::optional<int64_t> shortest_;
  uint64_t seed_ = 1;
};

}  // namespace

void add_series(Catalog<Source>& catalog) {
  catalog.add<SeriesSource>(
      "series", "",
      "Windows over a series of two waves and noise, which the program makes up; the label is the "
      "next value. No file.");
}

void add_reversal(Catalog<Source>& catalog) {
  catalog.add<ReversalSource>(
      "reversal", "",
      "Sequences of symbols that the program makes up, beside what a decoder is given, and the "
      "sequences backwards as labels. No file.");
}

}  // namespace trireme::data

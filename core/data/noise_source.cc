// data { noise }
#include <algorithm>

#include "core/base/error.h"
#include "core/data/image_examples.h"
#include "core/data/synthetic.h"

namespace trireme::data {
namespace {

class NoiseSource final : public Source {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "height", .help = "pixels", .range = at_least(1)}, height_);
    visitor.field(
        {.name = "width", .help = "pixels", .range = at_least(1), .default_text = "the height"},
        width_);
    visitor.field({.name = "channels", .help = "numbers of a pixel", .range = at_least(1)},
                  channels_);
    visitor.field({.name = "classes", .help = "different labels", .range = from_to(1, 65536)},
                  classes_);
    visitor.field({.name = "examples",
                   .help = "images to train with; a tenth as many to validate with",
                   .range = at_least(1)},
                  examples_);
  }

  SourceData build(const SourceContext&) const override {
    const int64_t width = width_.value_or(height_);
    const int64_t validation = std::max<int64_t>(1, examples_ / 10);
    return image_data(str_cat("noise of ", height_, "×", width, "×", channels_),
                      noise({examples_, height_, width, channels_}, classes_, 1).dataset(),
                      noise({validation, height_, width, channels_}, classes_, 2).dataset());
  }

 private:
  int64_t height_ = 224, channels_ = 3, classes_ = 1000, examples_ = 1024;
  std::optional<int64_t> width_;
};

}  // namespace

void add_noise(Catalog<Source>& catalog) {
  catalog.add<NoiseSource>(
      "noise", "", "Images of random pixels with random labels, to measure speed with. No file.");
}

}  // namespace trireme::data

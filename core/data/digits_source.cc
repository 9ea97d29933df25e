// data { digits }
#include "core/data/digits.h"
#include "core/data/image_examples.h"

namespace trireme::data {
namespace {

class DigitsSource final : public Source {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "seed", .help = "of all that is drawn"}, seed_);
  }

  // Only those that the job takes are drawn; and of those, when there are several workers, the ones
  // that this one reads.
  SourceData build(const SourceContext& context) const override {
    const auto draw = [&](Split split, int64_t take) {
      const int64_t count = take > 0 ? take : -1;
      return context.workers == 1 ? digits(split, seed_, count).dataset()
                                  : digits_as_they_are_read(split, seed_, count);
    };
    return image_data("digits, drawn by the program", draw(Split::kTrain, take()),
                      draw(Split::kTest, validation_take()));
  }
  bool makes_examples_as_needed() const override { return true; }
  std::unique_ptr<ExampleReader> open_examples(const SourceContext& context,
                                               const std::string& path) const override {
    auto reader = open_idx_images(path);
    require_images(context);
    return reader;
  }

 private:
  uint64_t seed_ = 1;
};

}  // namespace

void add_digits(Catalog<Source>& catalog) {
  catalog.add<DigitsSource>("digits", "",
                            "Pictures of the ten digits that the program draws itself: 28×28 grey, "
                            "60,000 to train and 10,000 "
                            "to test. No file.");
}

}  // namespace trireme::data

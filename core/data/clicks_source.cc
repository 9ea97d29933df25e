// data { clicks }
#include <algorithm>
#include <cmath>

#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/data/clicks.h"
#include "core/data/source.h"

namespace trireme::data {
namespace {

class MadeUpClicksSource final : public Source {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "examples", .help = "to train with", .range = at_least(1)}, examples_);
    visitor.field({.name = "validation_examples",
                   .help = "0: no validation",
                   .range = at_least(0),
                   .default_text = "a tenth of the examples"},
                  validation_examples_);
    visitor.field(
        {.name = "keys", .help = "possible ones, in all", .range = at_least(kClickCategories)},
        options_.keys);
    visitor.field({.name = "zipf",
                   .help = "how uneven they are: rank r of a category is r^-zipf as frequent as "
                           "the first",
                   .range = from_to(0, 10)},
                  options_.zipf);
    visitor.field({.name = "seed", .help = "of all that is drawn"}, options_.seed);
  }

  SourceData build(const SourceContext&) const override {
    const int64_t validation = validation_examples_.value_or(std::max<int64_t>(1, examples_ / 10));
    (void)checked_add(examples_, validation, "data.clicks: examples and validation_examples");
    const Clicks log(options_);
    const auto auc = log.bayes_auc(examples_, std::min<int64_t>(validation, 200'000));
    return {.train = log.dataset(0, examples_),
            .validation = log.dataset(examples_, validation),
            .description =
                str_cat("clicks, made up by the program: ", examples_, " + ", validation,
                        " examples, ", options_.keys, " possible keys, the label is 1 for a click",
                        auc ? str_cat("; the model that was planted has the AUC ",
                                      std::round(*auc * 1e4) / 1e4, " on the validation examples")
                            : ""),
            .preprocessing = clicks_preprocessing(log.keys_per_category())};
  }

 private:
  int64_t examples_ = 100'000;
  std::optional<int64_t> validation_examples_;
  ClicksOptions options_;
};

}  // namespace

void add_clicks(Catalog<Source>& catalog) {
  catalog.add<MadeUpClicksSource>("clicks", "",
                                  "Click logs that the program makes up as they are read: 13 "
                                  "numbers, 26 keys, and a label from a "
                                  "planted model whose AUC is printed. No file.");
}

}  // namespace trireme::data

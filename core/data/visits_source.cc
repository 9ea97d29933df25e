// data { visits }
#include <algorithm>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/data/source.h"

namespace trireme::data {
namespace {

// Which item a user chose: each user has a taste, and so has each item; users mostly choose items
// of their own taste. Components: "user" i64 [1], "item" i64 [1], and the item again as the
// "label".
class Visits final : public IndexedExamples {
 public:
  Visits(int64_t users, int64_t items, int64_t tastes, int64_t size, uint64_t seed)
      : users_(users), items_(items), tastes_(tastes), size_(size), seed_(seed) {}

  ElementSpec spec() const override {
    return {
        {"user", DType::kInt64, {1}}, {"item", DType::kInt64, {1}}, {"label", DType::kInt64, {}}};
  }
  int64_t size() const override { return size_; }
  void read(int64_t index, std::span<const RowView> out) const override {
    PhiloxGenerator random(seed_, static_cast<uint64_t>(index));
    const auto user = static_cast<int64_t>(random.below(static_cast<uint64_t>(users_)));
    auto item = static_cast<int64_t>(random.below(static_cast<uint64_t>(items_)));
    // Nine of ten choices are of the user's taste: the items of a taste are every tastes_-th.
    if (random.uniform() < 0.9F) {
      const int64_t taste = user % tastes_, of_taste = (items_ - taste + tastes_ - 1) / tastes_;
      item = taste + tastes_ * (item % of_taste);
    }
    out[0].as<int64_t>()[0] = user;
    out[1].as<int64_t>()[0] = item;
    out[2].as<int64_t>()[0] = item;
  }

 private:
  const int64_t users_, items_, tastes_, size_;
  const uint64_t seed_;
};

class VisitsSource final : public Source {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "users", .help = "different users", .range = at_least(1)}, users_);
    visitor.field({.name = "items", .help = "different items", .range = at_least(1)}, items_);
    visitor.field({.name = "tastes",
                   .help = "users and items have one each; not more than there are items",
                   .range = at_least(1)},
                  tastes_);
    visitor.field({.name = "examples",
                   .help = "choices to train with; a tenth as many to validate with",
                   .range = at_least(1)},
                  examples_);
  }
  void check() const override {
    if (tastes_ > items_) {
      throw invalid_argument("tastes: expected at most as many as items, ", items_, ", found ",
                             tastes_);
    }
  }
  SourceData build(const SourceContext&) const override {
    const int64_t validation = std::max<int64_t>(1, examples_ / 10);
    const auto draw = [&](int64_t size, uint64_t seed) {
      return from_examples(std::make_shared<Visits>(users_, items_, tastes_, size, seed));
    };
    return {.train = draw(examples_, 1),
            .validation = draw(validation, 2),
            .description = str_cat("made-up choices of ", users_, " users among ", items_,
                                   " items: ", examples_, " + ", validation)};
  }
  bool makes_examples_as_needed() const override { return true; }

 private:
  int64_t users_ = 2000, items_ = 1000, tastes_ = 20, examples_ = 50'000;
};

}  // namespace

void add_visits(Catalog<Source>& catalog) {
  catalog.add<VisitsSource>("visits", "",
                            "Which items users choose, made up: a user's and an item's number, to "
                            "train two towers with. No file.");
}

}  // namespace trireme::data

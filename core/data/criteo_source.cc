// data { criteo }
#include <algorithm>
#include <array>
#include <optional>

#include "core/base/error.h"
#include "core/data/criteo.h"
#include "core/data/line_reader.h"
#include "core/data/source.h"

namespace trireme::data {
namespace {

// Whether the label is there is told by the number of fields in the first line.
class ClickExamples final : public ExampleReader {
 public:
  ClickExamples(const std::string& path, uint32_t keys_per_category)
      : lines_(path), keys_per_category_(keys_per_category) {}
  std::vector<TensorType> features() const override {
    return {{DType::kFloat32, {-1, kClickNumbers}}, {DType::kInt64, {-1, kClickCategories}}};
  }
  std::string description() const override {
    return "lines of a click log, with the label or without it as the first line has it";
  }
  bool read(int64_t count, ExampleBatch& batch) override {
    std::vector<Click> clicks;
    batch = {};
    for (std::string_view line; batch.size < count && lines_.next(line); ++batch.size) {
      if (!labeled_) {
        labeled_ = std::ranges::count(line, '\t') >= kClickNumbers + kClickCategories;
      }
      clicks.push_back(
          parse_click(line, keys_per_category_, lines_.name(), lines_.number(), *labeled_));
      batch.lines.push_back(lines_.number());
    }
    Tensor numbers(DType::kFloat32, {batch.size, kClickNumbers});
    Tensor keys(DType::kInt64, {batch.size, kClickCategories});
    for (size_t i = 0; i < clicks.size(); ++i) {
      float label = 0;
      const std::array<RowOf, 3> rows = {RowOf{numbers, i, kClickNumbers},
                                         RowOf{keys, i, kClickCategories}, RowOf{label}};
      const std::array<RowView, 3> views = {rows[0].view, rows[1].view, rows[2].view};
      write_click(clicks[i], keys_per_category_, views);
    }
    batch.features = {numbers, keys};
    return batch.size > 0;
  }

 private:
  struct RowOf {
    RowOf(Tensor& tensor, size_t row, int64_t width)
        : view{tensor.dtype(),
               static_cast<char*>(tensor.raw()) +
                   row * static_cast<size_t>(width) * size_of(tensor.dtype()),
               width} {}
    explicit RowOf(float& value) : view{DType::kFloat32, &value, 1} {}
    RowView view;
  };

  LineReader lines_;
  uint32_t keys_per_category_;
  std::optional<bool> labeled_;
};

class CriteoSource final : public Source {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "train_files", .help = "logs to train with; at least one"},
                  train_files_);
    visitor.field({.name = "validation_files",
                   .help = "logs to validate with",
                   .default_text = "the last of the training examples"},
                  validation_files_);
    visitor.field({.name = "validation_fraction",
                   .help = "of the training examples, the last ones, when there are no "
                           "validation_files; 0: no validation",
                   .range = from_below(0, 1)},
                  validation_fraction_);
    visitor.field({.name = "keys",
                   .help = "what the categories' words are hashed to, in all",
                   .range = at_least(kClickCategories)},
                  keys_);
  }

  SourceData build(const SourceContext& context) const override {
    const uint32_t each = keys_per_category(keys_);
    if (train_files_.empty()) throw invalid_argument("data.criteo: expected train_files");
    const auto read = [&](const std::vector<std::string>& files) {
      ClickLog log(each);
      for (const std::string& file : files) log.read(context.find(file));
      return log;
    };
    const ClickLog log = read(train_files_);
    Dataset train = log.dataset(), validation = train;
    int64_t held_back = 0;
    if (!validation_files_.empty()) {
      validation = read(validation_files_).dataset();
    } else {
      held_back =
          held_back_rows(validation_fraction_, log.size(), "data.criteo.validation_fraction");
      validation = train.skip(log.size() - held_back);
      train = train.take(log.size() - held_back);
    }
    return {
        .train = train,
        .validation = validation,
        .description = str_cat("criteo: ", log.size() - held_back, " + ", validation.cardinality(),
                               " examples, labels 0 and 1 as they stand there"),
        .preprocessing = criteo_preprocessing(each)};
  }
  std::vector<SourceFile> files(const SourceContext& context) const override {
    std::vector<SourceFile> files;
    for (const std::string& name : train_files_) {
      files.push_back({"data.criteo.train_files", context.find(name)});
    }
    for (const std::string& name : validation_files_) {
      files.push_back({"data.criteo.validation_files", context.find(name)});
    }
    return files;
  }
  std::unique_ptr<ExampleReader> open_examples(const SourceContext& context,
                                               const std::string& path) const override {
    const uint32_t each = keys_per_category(keys_);
    auto reader = std::make_unique<ClickExamples>(path, each);
    if (context.saved) require_same_preprocessing(*context.saved, criteo_preprocessing(each));
    return reader;
  }

 private:
  std::vector<std::string> train_files_, validation_files_;
  double validation_fraction_ = 0.1;
  int64_t keys_ = 1'000'000;
};

}  // namespace

void add_criteo(Catalog<Source>& catalog) {
  catalog.add<CriteoSource>("criteo", "",
                            "Click logs in the TSV format of Criteo's data sets, .gz or not.");
}

}  // namespace trireme::data

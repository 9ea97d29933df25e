// data { reviews }
#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/data/line_reader.h"
#include "core/data/source.h"
#include "core/data/synthetic.h"
#include "core/data/text.h"

namespace trireme::data {
namespace {

// Whether a label and a tab stand before a text.
bool has_label(std::string_view line) {
  const size_t tab = line.find('\t');
  if (tab == std::string_view::npos || tab == 0) return false;
  return std::ranges::all_of(line.substr(0, tab), [](char c) { return c >= '0' && c <= '9'; });
}

// Lines of text. Whether labels stand before them is told by the first.
class TextExamples final : public ExampleReader {
 public:
  // `words` 0: multi-hot vectors.
  TextExamples(const std::string& path, int64_t vocabulary, int64_t words)
      : lines_(path), vocabulary_(vocabulary), words_(words) {}
  std::vector<TensorType> features() const override {
    if (words_ > 0) return {{DType::kInt64, {-1, words_}}};
    return {{DType::kFloat32, {-1, vocabulary_}}};
  }
  std::string description() const override {
    return "lines of text, with or without \"label<TAB>\" before them as the first line has it";
  }
  bool read(int64_t count, ExampleBatch& batch) override {
    const auto width = static_cast<size_t>(words_ > 0 ? words_ : vocabulary_);
    std::vector<float> values;
    std::vector<int64_t> places;
    batch = {};
    for (std::string_view line; batch.size < count && lines_.next(line);) {
      if (line.empty()) continue;
      if (!labeled_) labeled_ = has_label(line);
      if (*labeled_ != has_label(line)) {
        throw lines_.error(1, *labeled_ ? "expected \"label<TAB>text\" as in the first line"
                                        : "expected a text without a label as in the first line");
      }
      if (*labeled_) line.remove_prefix(line.find('\t') + 1);
      if (words_ > 0) {
        places.resize(places.size() + width);
        word_places(line, vocabulary_, std::span(places).last(width));
      } else {
        values.resize(values.size() + width);
        multi_hot(line, std::span(values).last(width));
      }
      batch.lines.push_back(lines_.number());
      ++batch.size;
    }
    batch.features = {words_ > 0 ? Tensor::from<int64_t>({batch.size, words_}, places)
                                 : Tensor::from<float>({batch.size, vocabulary_}, values)};
    return batch.size > 0;
  }

 private:
  LineReader lines_;
  int64_t vocabulary_, words_;
  std::optional<bool> labeled_;
};

class ReviewsSource final : public Source {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "train_file",
                   .help = "lines \"label<TAB>text\"",
                   .default_text = "reviews that the program makes up"},
                  train_file_);
    visitor.field({.name = "test_file",
                   .help = "lines \"label<TAB>text\", to validate with",
                   .default_text = "reviews that the program makes up"},
                  test_file_);
    visitor.field({.name = "vocabulary",
                   .help = "places that words are hashed to",
                   .range = from_to(1, INT32_MAX)},
                  vocabulary_);
    visitor.field({.name = "words",
                   .help = "an example is the places of its first so many words, from 1 on, and 0 "
                           "behind the last, for an embedding; 0: a multi-hot vector",
                   .range = from_to(0, 1 << 20)},
                  words_);
  }
  void check() const override {
    if (words_ > 0 && vocabulary_ < 2) {
      throw invalid_argument("expected a vocabulary of at least 2 with `words`: place 0 is none's");
    }
    if (train_file_.empty() != test_file_.empty()) {
      throw invalid_argument("expected both train_file and test_file, or neither");
    }
  }

  SourceData build(const SourceContext& context) const override {
    const bool made_up = train_file_.empty();
    LabeledText train =
        made_up ? synthetic_reviews(20000, 1) : read_labeled_text(context.find(train_file_), 2);
    LabeledText test =
        made_up ? synthetic_reviews(5000, 2) : read_labeled_text(context.find(test_file_), 2);
    const std::string sizes = str_cat(train.size(), " + ", test.size());
    return {.train = dataset(std::move(train)),
            .validation = dataset(std::move(test)),
            .description = str_cat(made_up ? "made-up reviews: " : "reviews: ", sizes, " texts, ",
                                   vocabulary_, " words, labels 0 and 1 as they stand there"),
            .preprocessing = reviews_preprocessing(vocabulary_, words_)};
  }
  std::vector<SourceFile> files(const SourceContext& context) const override {
    if (train_file_.empty()) return {};
    return {{"data.reviews.train_file", context.find(train_file_)},
            {"data.reviews.test_file", context.find(test_file_)}};
  }
  std::unique_ptr<ExampleReader> open_examples(const SourceContext& context,
                                               const std::string& path) const override {
    auto reader = std::make_unique<TextExamples>(path, vocabulary_, words_);
    if (context.saved) {
      require_same_preprocessing(*context.saved, reviews_preprocessing(vocabulary_, words_));
    }
    return reader;
  }

 private:
  Dataset dataset(LabeledText text) const {
    return words_ > 0 ? word_dataset(std::move(text), vocabulary_, words_)
                      : multi_hot_dataset(std::move(text), vocabulary_);
  }

  std::string train_file_, test_file_;
  int64_t vocabulary_ = 10000, words_ = 0;
};

}  // namespace

void add_reviews(Catalog<Source>& catalog) {
  catalog.add<ReviewsSource>(
      "reviews", "",
      "Lines of a label, a tab and a text, whose words are hashed: into a multi-hot vector, or in "
      "their order.");
}

}  // namespace trireme::data

// data { text_lines }
#include <algorithm>
#include <charconv>
#include <optional>

#include "core/base/error.h"
#include "core/data/csv_reader.h"
#include "core/data/line_reader.h"
#include "core/data/source.h"
#include "core/data/text_lines.h"

namespace trireme::data {
namespace {

struct LabeledLine {
  std::string_view label, text;
};

// Throws Error at `place` when the line has no label.
LabeledLine split(std::string_view line, char delimiter, const std::string& place) {
  const size_t at = line.find(delimiter);
  if (at != std::string_view::npos && at > 0) return {line.substr(0, at), line.substr(at + 1)};
  throw data_loss(place, ": expected a label, ", delimiter == '\t' ? "a tab" : "the delimiter",
                  " and a text, found no label");
}

std::optional<int64_t> whole_number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// "text": string [], and the label of each line.
class LabeledLines final : public IndexedExamples {
 public:
  LabeledLines(TextLines lines, char delimiter, std::vector<std::string> classes, TensorType label)
      : lines_(std::move(lines)),
        delimiter_(delimiter),
        classes_(std::move(classes)),
        label_(std::move(label)) {}
  ElementSpec spec() const override {
    return {{"text", DType::kString, {}}, {"label", label_.dtype, label_.shape}};
  }
  int64_t size() const override { return lines_.size(); }
  void read(int64_t index, std::span<const RowView> out) const override {
    const LabeledLine line = split(lines_.at(index), delimiter_, lines_.place(index));
    out[0].as<std::string>()[0] = line.text;
    const int64_t label = number_of(line.label, index);
    if (label_.dtype == DType::kInt64) {
      out[1].as<int64_t>()[0] = label;
    } else {
      out[1].as<float>()[0] = static_cast<float>(label);
    }
  }

 private:
  int64_t number_of(std::string_view label, int64_t index) const {
    if (classes_.empty()) return *whole_number(label);
    const auto found = std::ranges::lower_bound(classes_, label);
    if (found != classes_.end() && *found == label) return found - classes_.begin();
    throw data_loss(lines_.place(index), ": the label ", shown(label),
                    " is none of those that the training lines have");
  }

  TextLines lines_;
  char delimiter_;
  std::vector<std::string> classes_;
  TensorType label_;
};

// Lines without labels, for predictions.
class TextExamples final : public ExampleReader {
 public:
  explicit TextExamples(const std::string& path) : lines_(path) {}
  std::vector<TensorType> features() const override { return {{DType::kString, {-1}}}; }
  std::string description() const override { return "lines of text without labels"; }
  bool read(int64_t count, ExampleBatch& batch) override {
    batch = {};
    std::vector<std::string> texts;
    for (std::string_view line; batch.size < count && lines_.next(line);) {
      if (line.empty()) continue;
      texts.emplace_back(line);
      batch.lines.push_back(lines_.number());
      ++batch.size;
    }
    batch.features = {Tensor::from<std::string>({batch.size}, texts)};
    return batch.size > 0;
  }

 private:
  LineReader lines_;
};

class TextLinesSource final : public Source {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "files",
                   .help = "to train with; * ? and [ ] stand for other characters. Each line is a "
                           "label, the delimiter and a text"},
                  files_);
    visitor.field({.name = "validation_files",
                   .help = "to validate with",
                   .default_text = "the last of the training lines"},
                  validation_files_);
    visitor.field({.name = "validation_fraction",
                   .help = "of the training lines, the last ones, when there are no "
                           "validation_files; 0: no validation",
                   .range = from_below(0, 1)},
                  validation_fraction_);
    visitor.field({.name = "delimiter", .help = "one byte behind the label"}, delimiter_);
  }
  void check() const override {
    if (delimiter_.size() == 1 && delimiter_ != "\n" && delimiter_ != "\r") return;
    throw invalid_argument("delimiter: expected one byte that is no line end, e.g. \"\\t\"");
  }

  SourceData build(const SourceContext& context) const override {
    if (files_.empty()) throw invalid_argument("data.text_lines: expected files");
    TextLines lines(context.find_all(files_));
    const std::vector<std::string> classes =
        context.saved ? output_meaning(context.saved).classes : classes_of(lines);
    const bool is_unit = context.labels == LabelUse::kUnitInterval;
    if (is_unit && classes.size() > 2) {
      throw invalid_argument(
          "data.text_lines: the loss asks for labels of 0 and 1, the lines have ", classes.size(),
          " classes; use a loss of classes");
    }
    const TensorType label = context.labels == LabelUse::kClass ? TensorType{DType::kInt64, {}}
                                                                : TensorType{DType::kFloat32, {1}};
    const auto make = [&](TextLines of) {
      if (classes.empty()) require_numbers(of);
      return from_examples(
          std::make_shared<LabeledLines>(std::move(of), delimiter_[0], classes, label));
    };
    const int64_t all = lines.size();
    Dataset train = make(std::move(lines)), validation = train;
    if (!validation_files_.empty()) {
      validation = make(TextLines(context.find_all(validation_files_)));
    } else {
      const int64_t held_back =
          held_back_rows(validation_fraction_, all, "data.text_lines.validation_fraction");
      validation = train.skip(all - held_back);
      train = train.take(all - held_back);
    }
    return {.train = train,
            .validation = validation,
            .description = str_cat("text_lines: ", train.cardinality(), " + ",
                                   validation.cardinality(), " lines, ",
                                   classes.empty() ? std::string("labels as they stand there")
                                                   : str_cat(classes.size(), " classes")),
            .preprocessing = make_preprocessing("text_lines", "", classes)};
  }
  std::vector<SourceFile> files(const SourceContext& context) const override {
    std::vector<SourceFile> files;
    for (std::string& path : context.find_all(files_)) {
      files.push_back({"data.text_lines.files", std::move(path)});
    }
    for (std::string& path : context.find_all(validation_files_)) {
      files.push_back({"data.text_lines.validation_files", std::move(path)});
    }
    return files;
  }
  std::unique_ptr<ExampleReader> open_examples(const SourceContext& context,
                                               const std::string& path) const override {
    if (context.saved) {
      require_same_preprocessing(*context.saved, make_preprocessing("text_lines", ""));
    }
    return std::make_unique<TextExamples>(path);
  }

 private:
  // The words of the labels in order; none when all are whole numbers.
  std::vector<std::string> classes_of(const TextLines& lines) const {
    std::vector<std::string> classes;
    bool words = false;
    for (int64_t i = 0; i < lines.size(); ++i) {
      const std::string_view label = split(lines.at(i), delimiter_[0], lines.place(i)).label;
      words = words || !whole_number(label);
      const auto at = std::ranges::lower_bound(classes, label);
      if (at == classes.end() || *at != label) classes.insert(at, std::string(label));
      if (classes.size() > 100'000) {
        throw data_loss(lines.place(i), ": expected at most 100000 labels, found more");
      }
    }
    return words ? classes : std::vector<std::string>();
  }

  void require_numbers(const TextLines& lines) const {
    for (int64_t i = 0; i < lines.size(); ++i) {
      const std::string_view label = split(lines.at(i), delimiter_[0], lines.place(i)).label;
      if (whole_number(label)) continue;
      throw data_loss(lines.place(i), ": expected a whole number as the training lines have it, ",
                      "found the label ", shown(label));
    }
  }

  std::vector<std::string> files_, validation_files_;
  double validation_fraction_ = 0.1;
  std::string delimiter_ = "\t";
};

}  // namespace

void add_text_lines(Catalog<Source>& catalog) {
  catalog.add<TextLinesSource>("text_lines", "",
                               "Lines of a label and a text, for models that begin with a layer "
                               "for texts.");
}

}  // namespace trireme::data

// data { tfrecord }
#include <algorithm>

#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/data/example_parser.h"
#include "core/data/node.h"
#include "core/data/source.h"

namespace trireme::data {
namespace {

constexpr EnumName<Packing> kPackings[] = {{Packing::kDetect, "AUTO"},
                                           {Packing::kNone, "NONE"},
                                           {Packing::kGzip, "GZIP"},
                                           {Packing::kZlib, "ZLIB"}};

// Records of a file, with the label's feature or without it.
class RecordFileExamples final : public ExampleReader {
 public:
  // The last feature is the label.
  RecordFileExamples(const std::string& path, RecordOptions options,
                     std::shared_ptr<const ExampleParser> parser)
      : records_(path, options, /*pipes=*/true), parser_(std::move(parser)) {
    spec_ = parser_->spec();
    spec_.pop_back();
  }
  std::vector<TensorType> features() const override {
    std::vector<TensorType> types;
    for (const ComponentSpec& component : spec_) types.push_back(batch_type(component, -1));
    return types;
  }
  std::string description() const override { return "records; the label is not looked at"; }

  bool read(int64_t count, ExampleBatch& batch) override {
    batch = {};
    for (const ComponentSpec& component : spec_) {
      const TensorType type = batch_type(component, count);
      batch.features.emplace_back(type.dtype, type.shape);
    }
    std::vector<RowView> rows(spec_.size());
    for (std::string_view record; batch.size < count && records_.next(record); ++batch.size) {
      for (size_t i = 0; i < rows.size(); ++i) {
        Tensor row = batch.features[i].rows(batch.size, batch.size + 1);
        rows[i] = view(row);
      }
      try {
        parser_->parse(record, rows);
      } catch (const Error& error) {
        throw error.with_context(records_.place());
      }
    }
    for (Tensor& feature : batch.features) feature = feature.rows(0, batch.size);
    return batch.size > 0;
  }

 private:
  static TensorType batch_type(const ComponentSpec& component, int64_t rows) {
    TensorType type{component.dtype, {rows}};
    for (const int64_t size : component.shape) type.shape.push_back(size);
    return type;
  }

  RecordReader records_;
  std::shared_ptr<const ExampleParser> parser_;
  ElementSpec spec_;
};

class TfrecordSource final : public Source {
 public:
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "files",
                   .help = "to train with, in this order; * ? and [ ] stand for other characters, "
                           "as in \"train-*.tfrecord\""},
                  files_);
    visitor.field({.name = "validation_files",
                   .help = "to validate with",
                   .default_text = "the last of the training examples"},
                  validation_files_);
    visitor.field({.name = "validation_fraction",
                   .help = "of the training examples, the last ones, when there are no "
                           "validation_files; 0: no validation",
                   .range = from_below(0, 1)},
                  validation_fraction_);
    visitor.components({.name = "features", .help = "what is read of each record"}, *features_);
    visitor.field({.name = "label",
                   .help = "the name of the feature that is the label",
                   .default_text = "the last feature"},
                  label_);
    visitor.field({.name = "compression",
                   .help = "of the files as a whole; AUTO: as each begins. Packed files are "
                           "unpacked into memory"},
                  compression_, kPackings);
    visitor.field({.name = "max_record_bytes",
                   .help = "larger records are refused",
                   .range = from_to(1, 1 << 30)},
                  max_record_bytes_);
    visitor.field({.name = "read_threads",
                   .help = "that read ahead of the training",
                   .range = from_to(0, 1024),
                   .default_text = "0: as many as compute where a feature is an image, else none"},
                  read_threads_);
  }

  SourceData build(const SourceContext& context) const override {
    if (files_.empty()) throw invalid_argument("data.tfrecord: expected files");
    const auto parser = make_parser();
    const auto open = [&](const std::vector<std::string>& paths) {
      return from_examples(std::make_shared<const RecordSet>(paths, options()), parser,
                           threads(*parser));
    };
    const std::vector<std::string> paths =
        context.train_files.empty() ? context.find_all(files_) : context.train_files;
    Dataset train = open(paths), validation = train;
    if (!validation_files_.empty()) {
      validation = open(context.find_all(validation_files_));
    } else {
      const int64_t all = train.cardinality();
      const int64_t held_back =
          held_back_rows(validation_fraction_, all, "data.tfrecord.validation_fraction");
      validation = train.skip(all - held_back);
      train = train.take(all - held_back);
    }
    return {
        .train = train,
        .validation = validation,
        .description = str_cat("tfrecord: ", train.cardinality(), " + ", validation.cardinality(),
                               " examples of ", paths.size(), " file(s), label \"",
                               parser->spec().back().name, "\" as it stands there"),
        .preprocessing = preprocessing(*parser)};
  }
  std::vector<std::string> train_files(const SourceContext& context) const override {
    // The last examples of the last file are held back: no file is a worker's own.
    if (validation_files_.empty() && validation_fraction_ > 0) return {};
    return context.find_all(files_);
  }
  std::vector<SourceFile> files(const SourceContext& context) const override {
    std::vector<SourceFile> files;
    for (std::string& path : context.find_all(files_)) {
      files.push_back({"data.tfrecord.files", std::move(path)});
    }
    for (std::string& path : context.find_all(validation_files_)) {
      files.push_back({"data.tfrecord.validation_files", std::move(path)});
    }
    return files;
  }
  std::unique_ptr<ExampleReader> open_examples(const SourceContext& context,
                                               const std::string& path) const override {
    auto parser = make_parser();
    if (context.saved) require_same_preprocessing(*context.saved, preprocessing(*parser));
    return std::make_unique<RecordFileExamples>(path, options(), std::move(parser));
  }
  SourceData labeled_examples(const SourceContext& context,
                              const std::string& path) const override {
    const auto parser = make_parser();
    if (context.saved) require_same_preprocessing(*context.saved, preprocessing(*parser));
    const Dataset all =
        from_examples(std::make_shared<const RecordSet>(std::vector<std::string>{path}, options()),
                      parser, threads(*parser));
    return {.train = all,
            .validation = all,
            .description = str_cat(path, ": ", all.cardinality(), " examples"),
            .preprocessing = preprocessing(*parser)};
  }

 private:
  RecordOptions options() const {
    return {.packing = compression_, .max_record_bytes = static_cast<uint64_t>(max_record_bytes_)};
  }

  int threads(const ExampleParser& parser) const {
    if (read_threads_ > 0) return static_cast<int>(read_threads_);
    return parser.is_slow() ? compute_threads() : 0;
  }

  // The label is the last.
  std::shared_ptr<const ExampleParser> make_parser() const {
    if (features_->size() < 2) {
      throw invalid_argument("data.tfrecord: expected features and a label, found ",
                             features_->size(), " feature(s)");
    }
    std::vector<std::shared_ptr<const Feature>> features;
    for (const auto& feature : *features_) features.emplace_back(features_, feature.get());
    if (!label_.empty()) {
      const auto label =
          std::ranges::find_if(features, [&](const auto& f) { return f->name == label_; });
      if (label == features.end()) {
        throw invalid_argument("data.tfrecord.label: there is no feature \"", label_, "\"");
      }
      std::rotate(label, label + 1, features.end());
    }
    auto parser = std::make_shared<const ExampleParser>(std::move(features));
    for (const ComponentSpec& component : parser->spec()) {
      if (component.shape.is_known()) continue;
      throw invalid_argument("data.tfrecord: feature \"", component.name,
                             "\" has another length in each example, and a batch needs one; set "
                             "its max_length");
    }
    return parser;
  }

  // Which features, of which types: those of a model cannot be others.
  static PreprocessingPtr preprocessing(const ExampleParser& parser) {
    std::string text;
    for (const ComponentSpec& component : parser.spec()) {
      text += str_cat(component.name, ' ', TensorType{component.dtype, component.shape}, '\n');
    }
    return make_preprocessing("tfrecord", text);
  }

  std::vector<std::string> files_, validation_files_;
  double validation_fraction_ = 0.1;
  // Shared with the data sets, which may live longer.
  std::shared_ptr<std::vector<std::unique_ptr<Feature>>> features_ =
      std::make_shared<std::vector<std::unique_ptr<Feature>>>();
  std::string label_;
  Packing compression_ = Packing::kDetect;
  int64_t read_threads_ = 0;
  int64_t max_record_bytes_ = static_cast<int64_t>(kMaxRecordBytes);
};

}  // namespace

void add_tfrecord(Catalog<Source>& catalog) {
  catalog.add<TfrecordSource>("tfrecord", "",
                              "Files of tf.train.Example or SequenceExample records, packed with "
                              "gzip or zlib or not.");
}

}  // namespace trireme::data

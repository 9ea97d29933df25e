// data { csv }
#include <algorithm>
#include <charconv>

#include "core/base/error.h"
#include "core/data/csv_table.h"
#include "core/data/source.h"
#include "core/data/synthetic.h"

namespace trireme::data {
namespace {

std::string listed(const std::vector<std::string>& names) {
  std::string list;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i == 8) return str_cat(list, " and ", names.size() - i, " more");
    list += (i == 0 ? "" : ", ") + shown(names[i]);
  }
  return list;
}

std::string describe_label(const CsvTransform& transform) {
  const std::string name = str_cat("label '", transform.schema.label, "'");
  switch (transform.label_kind) {
    case CsvLabel::kNumber:
      if (!transform.scales_label) return name + " as it is";
      return str_cat(name,
                     " brought to mean 0 and variance 1 for the training; loss, errors and "
                     "predictions are given in its own units",
                     transform.label.is_constant ? "; it is the same in all training rows" : "");
    case CsvLabel::kWhole:
      return name + " as it is, a whole number";
    case CsvLabel::kBinary:
    case CsvLabel::kClass:
      break;
  }
  if (transform.classes.empty()) return name + " is the number of a class, not scaled";
  return str_cat(name, " has ", transform.classes.size(),
                 " classes in this order: ", listed(transform.classes));
}

std::string describe_rows(const CsvTable& table, const CsvTransform& transform, bool is_saved) {
  std::string text =
      str_cat(transform.features.size(), " numbers",
              transform.scales_features
                  ? is_saved ? ", brought to the scale that the model was trained with"
                             : ", brought to mean 0 and variance 1 as the training "
                               "rows have them"
                  : " as they are",
              "; ", describe_label(transform));
  if (const auto constant = constant_columns(transform); !constant.empty()) {
    text += str_cat("; constant in the training rows", transform.scales_features ? ", hence 0" : "",
                    ": ", listed(constant));
  }
  if (const auto same = indistinct_columns(transform);
      !same.empty() && !transform.scales_features) {
    text += str_cat("; a 32-bit float cannot tell the values apart of ", listed(same),
                    ": do not keep their scale");
  }
  if (table.dropped > 0) text += str_cat("; ", table.dropped, " rows with missing values dropped");
  if (!table.note.empty()) text += "; " + table.note;
  return text;
}

// Index or name; only a name can be compared.
void require_same_label(const std::string& label, const CsvSchema& schema) {
  int64_t index = 0;
  const auto [end, status] = std::from_chars(label.data(), label.data() + label.size(), index);
  const bool is_index = status == std::errc() && end == label.data() + label.size();
  if (label.empty() || is_index || label == schema.label) return;
  throw invalid_argument("data.csv.label is \"", label,
                         "\", the model was trained with the label \"", schema.label, "\"");
}

class CsvExamples final : public ExampleReader {
 public:
  CsvExamples(CsvTransform transform, const CsvOptions& options, const std::string& path)
      : transform_(std::move(transform)),
        rows_(csv_file(path, {.pipes = true}), path, transform_.schema, options,
              /*needs_label=*/false) {}

  std::vector<TensorType> features() const override {
    return {{DType::kFloat32, {-1, static_cast<int64_t>(transform_.features.size())}}};
  }
  std::string description() const override {
    return str_cat(rows_.has_label() ? "the label's column is there and not looked at"
                                     : "without the label's column",
                   rows_.note().empty() ? "" : "; " + rows_.note());
  }

  bool read(int64_t count, ExampleBatch& batch) override {
    const size_t width = transform_.features.size();
    std::vector<float> values;
    batch = {};
    for (CsvRow row; batch.size < count && rows_.next(row); ++batch.size) {
      values.resize(values.size() + width);
      batch.lines.push_back(row.place.line);
      const bool drops = row.missing >= 0 && transform_.missing == CsvMissing::kDrop;
      batch.missing.push_back(drops ? transform_.schema.features[static_cast<size_t>(row.missing)]
                                    : "");
      if (drops) continue;
      transform_.write_features(row.features, rows_.name(), row.place.line,
                                std::span(values).last(width));
    }
    batch.features = {Tensor::from<float>({batch.size, static_cast<int64_t>(width)}, values)};
    return batch.size > 0;
  }

 private:
  CsvTransform transform_;
  CsvRows rows_;
};

constexpr EnumName<CsvHeader> kHeaders[] = {
    {CsvHeader::kAuto, "AUTO"}, {CsvHeader::kPresent, "PRESENT"}, {CsvHeader::kAbsent, "ABSENT"}};
constexpr EnumName<CsvMissing> kMissing[] = {{CsvMissing::kRefuse, "REFUSE"},
                                             {CsvMissing::kDrop, "DROP"},
                                             {CsvMissing::kMean, "MEAN"},
                                             {CsvMissing::kValue, "VALUE"}};

std::string_view name(CsvMissing missing) {
  for (const auto& known : kMissing) {
    if (known.value == missing) return known.name;
  }
  return "";
}

struct OpenTable {
  std::string made_up;  // what the program makes up, when there is no file
  std::string name;
  CsvPieces pieces;
};

CsvTable read_by(const CsvTransform& transform, CsvPieces pieces, const std::string& name,
                 const CsvOptions& options) {
  CsvRows rows(std::move(pieces), name, transform.schema, options, /*needs_label=*/true);
  return read_csv_table(rows, transform.label_kind, options.missing, &transform.classes);
}

class CsvSource final : public Source {
 public:
  void describe(OptionVisitor& visitor) override;
  void check() const override { (void)options(); }

  SourceData build(const SourceContext& context) const override;
  std::vector<SourceFile> files(const SourceContext& context) const override {
    if (file_.empty()) return {};
    return {{"data.csv.file", context.find(file_)}};
  }
  void require_saved(const SourceContext& context) const override {
    if (!context.saved) (void)saved_transform(context);
  }
  std::unique_ptr<ExampleReader> open_examples(const SourceContext& context,
                                               const std::string& path) const override {
    return std::make_unique<CsvExamples>(saved_transform(context), options(), path);
  }
  SourceData labeled_examples(const SourceContext& context, const std::string& path) const override;

 private:
  // What a label is follows from what the loss takes.
  CsvLabel label_kind(const SourceContext& context) const {
    switch (context.labels) {
      case LabelUse::kClass:
        return CsvLabel::kClass;
      case LabelUse::kUnitInterval:
        return CsvLabel::kBinary;
      case LabelUse::kNumber:
      case LabelUse::kScalableNumber:
        break;
    }
    return integer_label_ ? CsvLabel::kWhole : CsvLabel::kNumber;
  }
  bool scales_label(const SourceContext& context) const {
    return context.labels == LabelUse::kScalableNumber && !integer_label_ && !keep_scale_;
  }
  // That files are read with. Throws Error{kInvalidArgument} when fields contradict each other.
  CsvOptions options() const;
  // How context.saved treats columns, with what this says about missing values. Throws
  // Error{kInvalidArgument} when there is none, or when this treats columns in another way.
  CsvTransform saved_transform(const SourceContext& context) const;
  std::unique_ptr<OpenTable> open(const SourceContext& context) const;

  std::string file_, label_, delimiter_, sample_weight_;
  CsvHeader header_ = CsvHeader::kAuto;
  CsvMissing missing_ = CsvMissing::kRefuse;
  double validation_fraction_ = 0.2, missing_value_ = 0;
  bool no_header_ = false, integer_label_ = false, keep_scale_ = false;
  std::vector<std::string> missing_words_;
};

void CsvSource::describe(OptionVisitor& visitor) {
  visitor.field({.name = "file",
                 .help = ".csv or .csv.gz",
                 .default_text = "a table that the program makes up (13 numbers to a house price)"},
                file_);
  visitor.field({.name = "label",
                 .help = "the label column's name, or its index; negative: from the end",
                 .default_text = "the last"},
                label_);
  visitor.field({.name = "sample_weight",
                 .help = "the name of a column that says how much a row counts in the loss and in "
                         "weighted_metrics; it is no feature",
                 .default_text = "all count alike"},
                sample_weight_);
  visitor.field({.name = "no_header", .help = "the same as header: ABSENT"}, no_header_);
  visitor.field({.name = "validation_fraction",
                 .help = "the last rows of the file, to validate with; 0: no validation",
                 .range = from_below(0, 1)},
                validation_fraction_);
  visitor.field({.name = "integer_label",
                 .help = "with a loss of numbers: the label is a whole number and keeps its scale"},
                integer_label_);
  visitor.field({.name = "keep_scale", .help = "features and label stay as they are"}, keep_scale_);
  visitor.field({.name = "header",
                 .help = "AUTO: the first row is one when it has no number, or text where the "
                         "second row has a number"},
                header_, kHeaders);
  visitor.field({.name = "delimiter",
                 .help = "one byte",
                 .default_text = "the one of , ; | and tab that fits the first lines"},
                delimiter_);
  visitor.field(
      {.name = "missing",
       .help = "what becomes of a missing feature: DROP its row, whose prediction is then "
               "null; the MEAN of the training rows that have a value; missing_value. A "
               "missing label is refused, or its row dropped"},
      missing_, kMissing);
  visitor.field({.name = "missing_value", .help = "of missing: VALUE"}, missing_value_);
  visitor.field({.name = "missing_words",
                 .help = "what stands for a missing value, beside an empty field; in any case of "
                         "letters",
                 .default_text = "NA, N/A, NaN, null and ?"},
                missing_words_);
}

CsvOptions CsvSource::options() const {
  if (missing_value_ != 0 && missing_ != CsvMissing::kValue) {
    throw invalid_argument("missing_value is of missing: VALUE; set that, too");
  }
  if (!sample_weight_.empty() && keep_scale_) {
    throw invalid_argument(
        "sample_weight: its column is set to 0 among the features, which needs keep_scale: false");
  }
  if (no_header_ && header_ == CsvHeader::kPresent) {
    throw invalid_argument("no_header and header: PRESENT contradict each other");
  }
  CsvOptions options{
      .header = no_header_ ? CsvHeader::kAbsent : header_, .missing = missing_, .label = label_};
  if (delimiter_.size() > 1 || delimiter_ == "\"" || delimiter_ == "\n" || delimiter_ == "\r") {
    throw invalid_argument(
        "delimiter: expected one byte that is no quote and no line end, "
        "e.g. \";\" or \"\\t\", found ",
        shown(delimiter_));
  }
  if (!delimiter_.empty()) options.delimiter = delimiter_[0];
  if (!missing_words_.empty()) {
    options.missing_words = missing_words_;
    options.missing_words.emplace_back();  // nothing can be made of an empty field
  }
  return options;
}

CsvTransform CsvSource::saved_transform(const SourceContext& context) const {
  if (!context.saved) {
    throw invalid_argument(
        "the checkpoint does not say how the columns of its table were scaled: it is of a version "
        "that did not keep that, and other files cannot be brought to its scale; train again");
  }
  CsvTransform transform = csv_transform_of(*context.saved);
  require_same_label(label_, transform.schema);
  if (transform.scales_features == keep_scale_) {
    throw invalid_argument("data.csv.keep_scale is ", keep_scale_, ", the model was trained ",
                           transform.scales_features ? "with scaled columns" : "without scaling");
  }
  if (transform.label_kind != label_kind(context) ||
      transform.scales_label != scales_label(context)) {
    throw invalid_argument(
        "the loss or data.csv.integer_label is another than the model was trained with: its label "
        "'",
        transform.schema.label, "' was ",
        transform.label_kind == CsvLabel::kNumber || transform.label_kind == CsvLabel::kWhole
            ? "a number"
            : "a class");
  }
  // Files with missing values may come after a training without any; otherwise they are treated
  // alike.
  (void)options();
  const bool differs = transform.missing != missing_ || transform.missing_value != missing_value_;
  if (transform.missing != CsvMissing::kRefuse && differs) {
    throw invalid_argument(
        "data.csv.missing and missing_value are others than the model was "
        "trained with: ",
        name(transform.missing), " ",
        transform.missing == CsvMissing::kValue ? str_cat(transform.missing_value) : "");
  }
  transform.missing = missing_;
  transform.missing_value = missing_value_;
  return transform;
}

std::unique_ptr<OpenTable> CsvSource::open(const SourceContext& context) const {
  auto table = std::make_unique<OpenTable>();
  if (file_.empty()) {
    table->made_up = synthetic_housing_csv(4000, 1);
    table->name = "made-up houses";
    table->pieces = csv_text(table->made_up);
  } else {
    table->name = context.find(file_);
    table->pieces = csv_file(table->name);
  }
  return table;
}

SourceData CsvSource::build(const SourceContext& context) const {
  const CsvOptions options = this->options();
  const auto file = open(context);
  CsvTransform transform;
  CsvTable table;
  if (context.saved) {
    transform = saved_transform(context);
    table = read_by(transform, file->pieces, file->name, options);
  } else {
    CsvRows rows(file->pieces, file->name, options);
    table = read_csv_table(rows, label_kind(context), options.missing);
  }
  std::vector<float> weights;
  if (!sample_weight_.empty()) weights = take_weights(table, sample_weight_, file->name);
  const int64_t held_back =
      held_back_rows(validation_fraction_, table.rows(), "data.csv.validation_fraction");
  const int64_t training = table.rows() - held_back;
  if (!context.saved) {
    transform = fit_csv_transform(
        table, take() > 0 ? std::min(take(), training) : training, label_kind(context), options,
        {.features = !keep_scale_, .label = scales_label(context), .missing_value = missing_value_},
        file->name);
  }
  const Dataset all = csv_dataset(table, transform, file->name, weights);
  return {.train = all.take(training),
          .validation = all.skip(training),
          .description = str_cat("csv ", file->name, ": ", training, " + ", held_back, " rows of ",
                                 describe_rows(table, transform, context.saved != nullptr)),
          .preprocessing = context.saved ? context.saved : csv_preprocessing(transform)};
}

SourceData CsvSource::labeled_examples(const SourceContext& context,
                                       const std::string& path) const {
  const CsvTransform transform = saved_transform(context);
  CsvTable table = read_by(transform, csv_file(path), path, options());
  std::vector<float> weights;
  if (!sample_weight_.empty()) weights = take_weights(table, sample_weight_, path);
  const Dataset all = csv_dataset(table, transform, path, weights);
  return {.train = all,
          .validation = all,
          .description = str_cat("csv ", path, ": ", table.rows(), " rows of ",
                                 describe_rows(table, transform, true)),
          .preprocessing = context.saved};
}

}  // namespace

void add_csv(Catalog<Source>& catalog) {
  catalog.add<CsvSource>("csv", "",
                         "A table of numbers: one column is the label, the others are the "
                         "features, brought to mean 0 and "
                         "variance 1 as the training rows have them; a label may be a word.");
}

}  // namespace trireme::data

#include "worker/build_csv.h"

#include <algorithm>
#include <charconv>

#include "core/base/error.h"
#include "core/data/csv_table.h"
#include "core/data/synthetic.h"
#include "proto/job.pb.h"

namespace trireme {
namespace {

using data::CsvLabel;
using data::CsvMissing;

// What a label is follows from what the loss takes.
CsvLabel label_kind(const job::Job& job) {
  switch (job.loss()) {
    case job::SPARSE_CATEGORICAL_CROSS_ENTROPY:
      return CsvLabel::kClass;
    case job::BINARY_CROSS_ENTROPY:
      return CsvLabel::kBinary;
    default:
      return job.data().csv().integer_label() ? CsvLabel::kWhole : CsvLabel::kNumber;
  }
}

CsvMissing missing_policy(const job::Csv& csv) {
  if (csv.missing_value() != 0 && csv.missing() != job::Csv::VALUE) {
    throw invalid_argument("data.csv.missing_value is of missing: VALUE; set that, too");
  }
  switch (csv.missing()) {
    case job::Csv::DROP:
      return CsvMissing::kDrop;
    case job::Csv::MEAN:
      return CsvMissing::kMean;
    case job::Csv::VALUE:
      return CsvMissing::kValue;
    default:
      return CsvMissing::kRefuse;
  }
}

bool scales_label(const job::Job& job) {
  return label_kind(job) == CsvLabel::kNumber && !job.data().csv().keep_scale();
}

std::string listed(const std::vector<std::string>& names) {
  std::string list;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i == 8) return str_cat(list, " and ", names.size() - i, " more");
    list += (i == 0 ? "" : ", ") + data::shown(names[i]);
  }
  return list;
}

std::string describe_label(const data::CsvTransform& transform) {
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

std::string describe(const data::CsvTable& table, const data::CsvTransform& transform,
                     bool is_saved) {
  std::string text =
      str_cat(transform.features.size(), " numbers",
              transform.scales_features
                  ? is_saved ? ", brought to the scale that the model was trained with"
                             : ", brought to mean 0 and variance 1 as the training "
                               "rows have them"
                  : " as they are",
              "; ", describe_label(transform));
  if (const auto constant = data::constant_columns(transform); !constant.empty()) {
    text += str_cat("; constant in the training rows", transform.scales_features ? ", hence 0" : "",
                    ": ", listed(constant));
  }
  if (const auto same = data::indistinct_columns(transform);
      !same.empty() && !transform.scales_features) {
    text += str_cat("; a 32-bit float cannot tell the values apart of ", listed(same),
                    ": do not keep their scale");
  }
  if (table.dropped > 0) text += str_cat("; ", table.dropped, " rows with missing values dropped");
  if (!table.note.empty()) text += "; " + table.note;
  return text;
}

// Index or name; only a name can be compared.
void require_same_label(const std::string& label, const data::CsvSchema& schema) {
  int64_t index = 0;
  const auto [end, status] = std::from_chars(label.data(), label.data() + label.size(), index);
  const bool is_index = status == std::errc() && end == label.data() + label.size();
  if (label.empty() || is_index || label == schema.label) return;
  throw invalid_argument("data.csv.label is \"", label,
                         "\", the model was trained with the label \"", schema.label, "\"");
}

struct Source {
  std::string made_up;  // what the program makes up, when there is no file
  std::string name;
  data::CsvPieces pieces;
};

std::unique_ptr<Source> open(const job::Csv& csv, const std::string& data_dir) {
  auto source = std::make_unique<Source>();
  if (csv.file().empty()) {
    source->made_up = data::synthetic_housing_csv(4000, 1);
    source->name = "made-up houses";
    source->pieces = data::csv_text(source->made_up);
  } else {
    source->name = find_data(csv.file(), data_dir);
    source->pieces = data::csv_file(source->name);
  }
  return source;
}

PreprocessingPtr preprocessing_of(const data::CsvTransform& transform) {
  auto preprocessing = std::make_shared<job::Preprocessing>();
  *preprocessing->mutable_csv() = columns_of(transform);
  return preprocessing;
}

data::CsvTable read_by(const data::CsvTransform& transform, data::CsvPieces pieces,
                       const std::string& name, const data::CsvOptions& options) {
  data::CsvRows rows(std::move(pieces), name, transform.schema, options, /*needs_label=*/true);
  return data::read_csv_table(rows, transform.label_kind, options.missing, &transform.classes);
}

}  // namespace

data::CsvOptions csv_options(const job::Csv& csv) {
  data::CsvOptions options{.missing = missing_policy(csv), .label = csv.label()};
  if (csv.no_header() && csv.header() == job::Csv::PRESENT) {
    throw invalid_argument("data.csv: no_header and header: PRESENT contradict each other");
  }
  if (csv.header() == job::Csv::PRESENT) options.header = data::CsvHeader::kPresent;
  if (csv.no_header() || csv.header() == job::Csv::ABSENT) {
    options.header = data::CsvHeader::kAbsent;
  }
  const std::string& delimiter = csv.delimiter();
  if (delimiter.size() > 1 || delimiter == "\"" || delimiter == "\n" || delimiter == "\r") {
    throw invalid_argument(
        "data.csv.delimiter: expected one byte that is no quote and no line end, "
        "e.g. \";\" or \"\\t\", found ",
        data::shown(delimiter));
  }
  if (!delimiter.empty()) options.delimiter = delimiter[0];
  if (!csv.missing_words().empty()) {
    options.missing_words = {csv.missing_words().begin(), csv.missing_words().end()};
    options.missing_words.emplace_back();  // nothing can be made of an empty field
  }
  return options;
}

data::CsvTransform csv_transform(const job::Job& job, const PreprocessingPtr& saved) {
  if (!saved) {
    throw invalid_argument(
        "the checkpoint does not say how the columns of its table were scaled: it is of a version "
        "that did not keep that, and other files cannot be brought to its scale; train again");
  }
  job::Preprocessing table;
  table.mutable_csv();
  require_same_preprocessing(*saved, table);
  data::CsvTransform transform = transform_of(saved->csv());
  const job::Csv& csv = job.data().csv();
  require_same_label(csv.label(), transform.schema);
  if (transform.scales_features == csv.keep_scale()) {
    throw invalid_argument("data.csv.keep_scale is ", csv.keep_scale(), ", the model was trained ",
                           transform.scales_features ? "with scaled columns" : "without scaling");
  }
  if (transform.label_kind != label_kind(job)) {
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
  const data::CsvOptions options = csv_options(csv);
  const bool differs =
      transform.missing != options.missing || transform.missing_value != csv.missing_value();
  if (transform.missing != CsvMissing::kRefuse && differs) {
    throw invalid_argument(
        "data.csv.missing and missing_value are others than the model was "
        "trained with: ",
        job::CsvMissingValues_Name(saved->csv().missing()), " ",
        transform.missing == CsvMissing::kValue ? str_cat(transform.missing_value) : "");
  }
  transform.missing = options.missing;
  transform.missing_value = csv.missing_value();
  return transform;
}

JobData build_csv(const job::Job& job, const std::string& data_dir, const PreprocessingPtr& saved) {
  const job::Csv& csv = job.data().csv();
  const data::CsvOptions options = csv_options(csv);
  const auto source = open(csv, data_dir);
  data::CsvTransform transform;
  data::CsvTable table;
  if (saved) {
    transform = csv_transform(job, saved);
    table = read_by(transform, source->pieces, source->name, options);
  } else {
    data::CsvRows rows(source->pieces, source->name, options);
    table = data::read_csv_table(rows, label_kind(job), options.missing);
  }
  const double fraction = csv.validation_fraction() == 0 ? 0.2 : csv.validation_fraction();
  const int64_t held_back = held_back_rows(fraction, table.rows(), "data.csv");
  const int64_t training = table.rows() - held_back;
  if (!saved) {
    const int64_t take = job.data().take();
    transform = data::fit_csv_transform(table, take > 0 ? std::min(take, training) : training,
                                        label_kind(job), options,
                                        {.features = !csv.keep_scale(),
                                         .label = scales_label(job),
                                         .missing_value = csv.missing_value()},
                                        source->name);
  }
  const data::Dataset all = data::csv_dataset(table, transform, source->name);
  return {.train = all.take(training),
          .validation = all.skip(training),
          .description = str_cat("csv ", source->name, ": ", training, " + ", held_back,
                                 " rows of ", describe(table, transform, saved != nullptr)),
          .preprocessing = saved ? saved : preprocessing_of(transform)};
}

JobData labeled_csv(const job::Job& job, const PreprocessingPtr& saved, const std::string& path) {
  const data::CsvTransform transform = csv_transform(job, saved);
  const data::CsvTable table =
      read_by(transform, data::csv_file(path), path, csv_options(job.data().csv()));
  const data::Dataset all = data::csv_dataset(table, transform, path);
  return {.train = all,
          .validation = all,
          .description = str_cat("csv ", path, ": ", table.rows(), " rows of ",
                                 describe(table, transform, true)),
          .preprocessing = saved};
}

}  // namespace trireme

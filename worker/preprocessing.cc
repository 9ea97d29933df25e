#include "worker/preprocessing.h"

#include <google/protobuf/text_format.h>

#include <cmath>

#include "core/base/error.h"

namespace trireme {
namespace {

namespace pb = google::protobuf;

constexpr int kVersion = 1;
const std::string kKey = "preprocessing";

job::CsvColumn column_of(const std::string& name, const data::Standardization& scale) {
  job::CsvColumn column;
  column.set_name(name);
  column.set_center(scale.center);
  column.set_offset(scale.offset);
  column.set_deviation(scale.deviation);
  column.set_constant(scale.is_constant);
  return column;
}

data::Standardization scale_of(const job::CsvColumn& column) {
  return {.center = column.center(),
          .offset = column.offset(),
          .deviation = column.deviation(),
          .is_constant = column.constant()};
}

bool is_sound(const job::CsvColumn& column) {
  return std::isfinite(column.center()) && std::isfinite(column.offset()) &&
         std::isfinite(column.deviation()) && column.deviation() > 0;
}

bool is_sound(const job::Preprocessing& preprocessing) {
  if (!preprocessing.has_csv()) return true;
  const job::CsvColumns& csv = preprocessing.csv();
  if (csv.features().empty() || csv.label_index() < 0 || csv.label_index() > csv.features_size() ||
      !job::CsvLabelKind_IsValid(csv.label_kind()) ||
      !job::CsvMissingValues_IsValid(csv.missing())) {
    return false;
  }
  for (const job::CsvColumn& column : csv.features()) {
    if (!is_sound(column)) return false;
  }
  return is_sound(csv.label());
}

std::string source_name(const job::Preprocessing& preprocessing) {
  switch (preprocessing.source_case()) {
    case job::Preprocessing::kCsv:
      return "a table (csv)";
    case job::Preprocessing::kImages:
      return "images";
    case job::Preprocessing::kReviews:
      return "texts (reviews)";
    case job::Preprocessing::kCriteo:
      return "click logs (criteo)";
    case job::Preprocessing::kClicks:
      return "made-up click logs (clicks)";
    case job::Preprocessing::kOther:
      return preprocessing.other().source();
    case job::Preprocessing::SOURCE_NOT_SET:
      break;
  }
  return "data without preprocessing";
}

void require_same_number(std::string_view field, int64_t trained, int64_t found) {
  if (trained == found) return;
  throw invalid_argument(field, ": the model was trained with ", trained, ", the job has ", found,
                         "; the same word would get another key. Set it as it was, or train anew");
}

}  // namespace

std::string preprocessing_text(const job::Preprocessing& preprocessing) {
  job::Preprocessing copy = preprocessing;
  copy.set_version(kVersion);
  std::string text;
  TRIREME_CHECK(pb::TextFormat::PrintToString(copy, &text));
  return text;
}

PreprocessingPtr saved_preprocessing(const nn::StateMap& state, const std::string& checkpoint) {
  const auto found = state.find(kKey);
  if (found == state.end()) return nullptr;
  const auto fail = [&](std::string_view why) {
    return data_loss(checkpoint, ": the checkpoint's \"", kKey, "\" ", why);
  };
  if (found->second.dtype() != DType::kString || found->second.elements() != 1) {
    throw fail("is no text");
  }
  auto preprocessing = std::make_shared<job::Preprocessing>();
  pb::TextFormat::Parser parser;
  parser.SetRecursionLimit(10);
  pb::io::ErrorCollector* const silent = nullptr;
  parser.RecordErrorsTo(silent);
  if (!parser.ParseFromString(found->second.flat<std::string>()[0], preprocessing.get())) {
    throw fail("cannot be read: it is damaged, or a newer version of this program wrote it");
  }
  if (preprocessing->version() != kVersion) {
    throw fail(
        str_cat("has version ", preprocessing->version(), ", this program knows ", kVersion));
  }
  if (!is_sound(*preprocessing)) throw fail("has values that cannot be");
  return preprocessing;
}

job::CsvColumns columns_of(const data::CsvTransform& transform) {
  job::CsvColumns columns;
  columns.set_has_header(transform.schema.has_header);
  for (size_t i = 0; i < transform.features.size(); ++i) {
    *columns.add_features() = column_of(transform.schema.features[i], transform.features[i]);
  }
  *columns.mutable_label() = column_of(transform.schema.label, transform.label);
  columns.set_label_index(transform.schema.label_index);
  columns.set_label_kind(static_cast<job::CsvLabelKind>(transform.label_kind));
  for (const std::string& word : transform.classes) columns.add_classes(word);
  columns.set_scales_features(transform.scales_features);
  columns.set_scales_label(transform.scales_label);
  columns.set_missing(static_cast<job::CsvMissingValues>(transform.missing));
  columns.set_missing_value(transform.missing_value);
  return columns;
}

data::CsvTransform transform_of(const job::CsvColumns& columns) {
  data::CsvTransform transform{
      .label_kind = static_cast<data::CsvLabel>(columns.label_kind()),
      .missing = static_cast<data::CsvMissing>(columns.missing()),
      .missing_value = columns.missing_value(),
      .scales_features = columns.scales_features(),
      .scales_label = columns.scales_label(),
      .label = scale_of(columns.label()),
      .classes = {columns.classes().begin(), columns.classes().end()},
  };
  transform.schema.has_header = columns.has_header();
  transform.schema.label = columns.label().name();
  transform.schema.label_index = columns.label_index();
  for (const job::CsvColumn& column : columns.features()) {
    transform.schema.features.push_back(column.name());
    transform.features.push_back(scale_of(column));
  }
  return transform;
}

void require_same_preprocessing(const job::Preprocessing& saved, const job::Preprocessing& job) {
  if (saved.source_case() != job.source_case()) {
    throw invalid_argument("the model was trained with ", source_name(saved), ", the job has ",
                           source_name(job));
  }
  if (saved.has_reviews()) {
    require_same_number("data.reviews.vocabulary", saved.reviews().vocabulary(),
                        job.reviews().vocabulary());
  }
  if (saved.has_criteo()) {
    require_same_number("data.criteo.keys: keys of a category", saved.criteo().keys_per_category(),
                        job.criteo().keys_per_category());
  }
  if (saved.has_clicks()) {
    require_same_number("data.clicks.keys: keys of a category", saved.clicks().keys_per_category(),
                        job.clicks().keys_per_category());
  }
}

std::optional<double> label_deviation(const PreprocessingPtr& preprocessing) {
  if (!preprocessing || !preprocessing->csv().scales_label()) return std::nullopt;
  return preprocessing->csv().label().deviation();
}

void SavesPreprocessing::save(nn::StateMap& state) const {
  if (const PreprocessingPtr preprocessing = of_()) {
    state[kKey] = Tensor::scalar<std::string>(preprocessing_text(*preprocessing));
  }
}

}  // namespace trireme

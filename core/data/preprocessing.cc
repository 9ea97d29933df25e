#include "core/data/preprocessing.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <cmath>

#include "core/base/error.h"
#include "core/data/csv_table.h"
#include "proto/preprocessing.pb.h"

namespace trireme::data {
namespace {

namespace pb = google::protobuf;

constexpr int kVersion = 1;

// What is wrong within the text is of no use to anybody.
class SilentErrors : public pb::io::ErrorCollector {
 public:
  void AddError(int, int, const std::string&) override {}
};

job::CsvColumn column_of(const std::string& name, const Standardization& scale) {
  job::CsvColumn column;
  column.set_name(name);
  column.set_center(scale.center);
  column.set_offset(scale.offset);
  column.set_deviation(scale.deviation);
  column.set_constant(scale.is_constant);
  return column;
}

Standardization scale_of(const job::CsvColumn& column) {
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

Error trained_with(const job::Preprocessing& saved, std::string_view job) {
  return invalid_argument("the model was trained with ", source_name(saved), ", the job has ", job);
}

void require_same_number(std::string_view field, int64_t trained, int64_t found) {
  if (trained == found) return;
  throw invalid_argument(field, ": the model was trained with ", trained, ", the job has ", found,
                         "; the same word would get another key. Set it as it was, or train anew");
}

}  // namespace

PreprocessingPtr make_preprocessing(std::string_view source, std::string_view text,
                                    const std::vector<std::string>& classes) {
  const auto preprocessing = std::make_shared<job::Preprocessing>();
  job::OtherSource& other = *preprocessing->mutable_other();
  other.set_source(std::string(source));
  other.set_text(std::string(text));
  for (const std::string& name : classes) other.add_classes(name);
  return preprocessing;
}

std::string preprocessing_values(const job::Preprocessing& preprocessing, std::string_view source) {
  if (preprocessing.has_other() && preprocessing.other().source() == source) {
    return preprocessing.other().text();
  }
  throw trained_with(preprocessing, source);
}

PreprocessingPtr images_preprocessing(const Shape& image, const std::vector<std::string>& classes) {
  const auto preprocessing = std::make_shared<job::Preprocessing>();
  job::Images& images = *preprocessing->mutable_images();
  images.set_height(image[0]);
  images.set_width(image[1]);
  images.set_channels(image[2]);
  for (const std::string& name : classes) images.add_classes(name);
  return preprocessing;
}

PreprocessingPtr reviews_preprocessing(int64_t vocabulary, int64_t words) {
  const auto preprocessing = std::make_shared<job::Preprocessing>();
  preprocessing->mutable_reviews()->set_vocabulary(vocabulary);
  preprocessing->mutable_reviews()->set_words(words);
  return preprocessing;
}

PreprocessingPtr criteo_preprocessing(int64_t keys_per_category) {
  const auto preprocessing = std::make_shared<job::Preprocessing>();
  preprocessing->mutable_criteo()->set_keys_per_category(keys_per_category);
  return preprocessing;
}

PreprocessingPtr clicks_preprocessing(int64_t keys_per_category) {
  const auto preprocessing = std::make_shared<job::Preprocessing>();
  preprocessing->mutable_clicks()->set_keys_per_category(keys_per_category);
  return preprocessing;
}

PreprocessingPtr csv_preprocessing(const CsvTransform& transform) {
  const auto preprocessing = std::make_shared<job::Preprocessing>();
  job::CsvColumns& columns = *preprocessing->mutable_csv();
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
  return preprocessing;
}

Vocabularies vocabularies_of(const PreprocessingPtr& preprocessing) {
  Vocabularies found;
  if (!preprocessing) return found;
  for (const job::LayerVocabulary& vocabulary : preprocessing->vocabularies()) {
    found[vocabulary.layer()] = {vocabulary.words().begin(), vocabulary.words().end()};
  }
  return found;
}

PreprocessingPtr with_vocabularies(const PreprocessingPtr& preprocessing,
                                   const Vocabularies& vocabularies) {
  const bool has_some = preprocessing && preprocessing->vocabularies_size() > 0;
  if (vocabularies.empty() && !has_some) return preprocessing;
  auto copy = preprocessing ? std::make_shared<job::Preprocessing>(*preprocessing)
                            : std::make_shared<job::Preprocessing>();
  copy->clear_vocabularies();
  for (const auto& [layer, words] : vocabularies) {
    job::LayerVocabulary& vocabulary = *copy->add_vocabularies();
    vocabulary.set_layer(layer);
    for (const std::string& word : words) vocabulary.add_words(word);
  }
  return copy;
}

std::string preprocessing_text(const PreprocessingPtr& preprocessing) {
  if (!preprocessing) return "";
  job::Preprocessing copy = *preprocessing;
  copy.set_version(kVersion);
  std::string text;
  TRIREME_CHECK(pb::TextFormat::PrintToString(copy, &text));
  return text;
}

PreprocessingPtr parse_preprocessing(const Tensor& saved, const std::string& checkpoint) {
  const auto fail = [&](std::string_view why) {
    return data_loss(checkpoint, ": the checkpoint's \"preprocessing\" ", why);
  };
  if (saved.dtype() != DType::kString || saved.elements() != 1) {
    throw fail("is no text");
  }
  auto preprocessing = std::make_shared<job::Preprocessing>();
  pb::TextFormat::Parser parser;
  parser.SetRecursionLimit(10);
  SilentErrors silent;
  parser.RecordErrorsTo(&silent);
  if (!parser.ParseFromString(saved.flat<std::string>()[0], preprocessing.get())) {
    throw fail("cannot be read: it is damaged, or a newer version of this program wrote it");
  }
  if (preprocessing->version() != kVersion) {
    throw fail(
        str_cat("has version ", preprocessing->version(), ", this program knows ", kVersion));
  }
  if (!is_sound(*preprocessing)) throw fail("has values that cannot be");
  return preprocessing;
}

CsvTransform csv_transform_of(const job::Preprocessing& preprocessing) {
  if (!preprocessing.has_csv()) throw trained_with(preprocessing, "a table (csv)");
  const job::CsvColumns& columns = preprocessing.csv();
  CsvTransform transform{
      .label_kind = static_cast<CsvLabel>(columns.label_kind()),
      .missing = static_cast<CsvMissing>(columns.missing()),
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

void require_same_preprocessing(const job::Preprocessing& saved, const PreprocessingPtr& found) {
  const job::Preprocessing& job = found ? *found : job::Preprocessing::default_instance();
  const bool differs =
      saved.source_case() != job.source_case() || saved.other().source() != job.other().source();
  if (differs) throw trained_with(saved, source_name(job));
  if (saved.has_reviews()) {
    require_same_number("data.reviews.vocabulary", saved.reviews().vocabulary(),
                        job.reviews().vocabulary());
    require_same_number("data.reviews.words", saved.reviews().words(), job.reviews().words());
  }
  if (saved.has_criteo()) {
    require_same_number("data.criteo.keys: keys of a category", saved.criteo().keys_per_category(),
                        job.criteo().keys_per_category());
  }
  if (saved.has_other() && saved.other().text() != job.other().text()) {
    throw invalid_argument("data.", saved.other().source(),
                           ": the model was trained with files that were prepared in another way; "
                           "set the options as they were, or train anew");
  }
  if (saved.has_clicks()) {
    require_same_number("data.clicks.keys: keys of a category", saved.clicks().keys_per_category(),
                        job.clicks().keys_per_category());
  }
}

OutputMeaning output_meaning(const PreprocessingPtr& preprocessing) {
  OutputMeaning meaning;
  if (!preprocessing) return meaning;
  const job::CsvColumns& csv = preprocessing->csv();
  meaning.scales_label = csv.scales_label();
  if (csv.has_label()) meaning.label = scale_of(csv.label());
  for (const std::string& name : csv.classes()) meaning.classes.push_back(name);
  for (const std::string& name : preprocessing->images().classes()) meaning.classes.push_back(name);
  for (const std::string& name : preprocessing->other().classes()) meaning.classes.push_back(name);
  return meaning;
}

}  // namespace trireme::data

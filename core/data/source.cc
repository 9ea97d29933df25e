#include "core/data/source.h"

#include <cmath>

#include "core/base/error.h"

namespace trireme::data {

std::vector<std::string> SourceContext::find_all(const std::vector<std::string>& patterns) const {
  std::vector<std::string> all;
  for (const std::string& pattern : patterns) {
    for (std::string& path : find_data_files(pattern, data_dir)) all.push_back(std::move(path));
  }
  return all;
}

void Source::describe_common(OptionVisitor& visitor) {
  visitor.field({.name = "keep_order", .help = "does not shuffle the training data"}, keep_order_);
  visitor.field({.name = "take",
                 .help = "only the first so many training examples; 0: all",
                 .range = at_least(0)},
                take_);
  visitor.field({.name = "validation_take",
                 .help = "only the first so many validation examples; 0: all",
                 .range = at_least(0)},
                validation_take_);
  visitor.field({.name = "shuffle_block",
                 .help = "shuffles within blocks of so many training examples, which are read "
                         "together; 0: all of them",
                 .range = at_least(0)},
                shuffle_block_);
  visitor.field({.name = "cache", .help = "keeps each training example in memory once it is made"},
                cache_);
  visitor.field({.name = "threads",
                 .help = "threads that make batches ahead of the training; 0: its own, when it "
                         "needs them; -1: as many as make a difference",
                 .range = from_to(-1, 1024)},
                threads_);
  visitor.field({.name = "prefetch",
                 .help = "batches that these threads make ahead",
                 .range = from_to(1, 4096)},
                prefetch_);
  static constexpr EnumName<LabelSource> kLabels[] = {{LabelSource::kData, "DATA"},
                                                      {LabelSource::kFeatures, "FEATURES"}};
  visitor.field({.name = "labels",
                 .help = "FEATURES: the first feature in place of the label, for models that are "
                         "to give back what they were given"},
                label_source_, kLabels);
}

namespace {

Dataset labeled_with_features(const Dataset& examples) {
  ElementSpec spec = examples.element_spec();
  spec.back() = {"label", spec.front().dtype, spec.front().shape};
  return examples.map([](Element& element, const MapContext&) { element.back() = element.front(); },
                      {.threads = 0, .output = std::move(spec)});
}

}  // namespace

SourceData with_labels(const Source& source, SourceData data) {
  if (source.label_source() == LabelSource::kData) return data;
  data.train = labeled_with_features(data.train);
  data.validation = labeled_with_features(data.validation);
  data.description += "; the labels are the features";
  return data;
}

std::unique_ptr<ExampleReader> Source::open_examples(const SourceContext&,
                                                     const std::string&) const {
  throw invalid_argument(
      "--input: the job's data are made up by the program, or their source reads no other file; "
      "use a job with data { csv }, mnist, digits, cifar10, reviews, criteo or tfrecord");
}

SourceData Source::labeled_examples(const SourceContext&, const std::string&) const {
  throw invalid_argument(
      "--input: of tables and records only (data { csv } and { tfrecord }); for other formats set "
      "the job's validation files, "
      "e.g. --set data.criteo.validation_files=FILE");
}

int64_t Source::held_back_rows(double fraction, int64_t rows, std::string_view field) {
  if (fraction == 0 && rows > 0) return 0;
  const auto held_back = static_cast<int64_t>(std::llround(static_cast<double>(rows) * fraction));
  if (held_back >= 1 && held_back < rows) return held_back;
  throw invalid_argument(field, " ", fraction, " of ", rows,
                         " rows: expected at least one row to train with and one to validate with, "
                         "or the fraction 0 for no validation");
}

}  // namespace trireme::data

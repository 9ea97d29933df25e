// A source of data as a job file names it, `data { csv { file: "houses.csv" } }`: what a training
// and its validation read.
//
// To add one: derive a class, write describe() and build(), and add the class in
// register_core_sources() or in a program's own list. What else there is has a default.
//
// Const calls from one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/catalog/catalog.h"
#include "core/data/dataset.h"
#include "core/data/example_reader.h"
#include "core/data/find_data.h"
#include "core/data/preprocessing.h"

namespace trireme::data {

// What the job's loss takes as labels.
enum class LabelUse {
  kNumber,          // any number
  kScalableNumber,  // any number, which the source may scale: figures are shown in its own units
  kUnitInterval,    // from 0 to 1
  kClass,           // a whole number from 0
};

struct SourceContext {
  std::string data_dir;  // see find_data()
  LabelUse labels = LabelUse::kNumber;
  int workers = 1;  // processes that read a part of each batch
  // Of the model that goes on, is evaluated or predicts; null: there is none, and the training rows
  // decide.
  PreprocessingPtr saved = nullptr;
  // Those of Source::train_files() that this worker is to read; empty: all.
  std::vector<std::string> train_files = {};

  std::string find(const std::string& name) const { return find_data(name, data_dir); }
  // Of all patterns, one after the other: see find_data_files().
  std::vector<std::string> find_all(const std::vector<std::string>& patterns) const;
};

struct SourceData {
  // Neither shuffled nor in batches. The last component of an element is the label. Without
  // examples to validate with `validation` is empty, train.take(0).
  Dataset train, validation;
  std::string description;  // for people: "mnist: 60000 + 10000 images from /data/mnist"
  PreprocessingPtr preprocessing = nullptr;  // what was done to the values; a part of the model
};

// What a training takes as labels.
enum class LabelSource {
  kData,      // what the source gives
  kFeatures,  // an example's first feature: the model is to give back what it was given
};

// A file that is read, by the field that names it: {"data.csv.file", "/data/houses.csv"}.
struct SourceFile {
  std::string field, path;
};

class Source : public Component {
 public:
  static constexpr std::string_view kFamily = "data";

  void describe_common(OptionVisitor& visitor) override;
  bool keep_order() const { return keep_order_; }
  int64_t take() const { return take_; }                        // 0: all
  int64_t validation_take() const { return validation_take_; }  // 0: all
  LabelSource label_source() const { return label_source_; }
  int64_t shuffle_block() const { return shuffle_block_; }  // 0: all examples are one
  bool cache() const { return cache_; }                     // of training examples
  // That make batches; 0: the caller's; may be kAuto.
  int threads() const { return static_cast<int>(threads_); }
  int prefetch() const { return static_cast<int>(prefetch_); }

  // All examples: take() is applied by the caller, but may save work here. Throws Error.
  virtual SourceData build(const SourceContext& context) const = 0;

  // The files of examples to train with, of which each worker may read its own; empty: it cannot.
  virtual std::vector<std::string> train_files(const SourceContext&) const { return {}; }
  // Whether a worker makes the examples that it needs, instead of reading all.
  virtual bool makes_examples_as_needed() const { return false; }
  // All files, so that workers can tell whether they read the same; those that are not there may be
  // left out.
  virtual std::vector<SourceFile> files(const SourceContext&) const { return {}; }

  // Throws Error{kInvalidArgument} when a model cannot do without a preprocessing in its
  // checkpoint, and context.saved is null.
  virtual void require_saved(const SourceContext&) const {}
  // What `predict --input` reads `path` with. Throws Error{kInvalidArgument} when these options do
  // not fit context.saved, and when no file has the source's format, as here.
  virtual std::unique_ptr<ExampleReader> open_examples(const SourceContext& context,
                                                       const std::string& path) const;
  // All examples of `path` with their labels, as both training and validation data: what `evaluate
  // --input` reads. Throws Error{kInvalidArgument} when that cannot be, as here.
  virtual SourceData labeled_examples(const SourceContext& context, const std::string& path) const;

 protected:
  // How many of the last `rows` rows are to validate with: those of `fraction`, none for 0. Throws
  // Error{kInvalidArgument} "FIELD 0.5 of 1 rows: …" unless some are left to train with.
  static int64_t held_back_rows(double fraction, int64_t rows, std::string_view field);

 private:
  bool keep_order_ = false;
  int64_t take_ = 0, validation_take_ = 0, shuffle_block_ = 0;
  bool cache_ = false;
  int64_t threads_ = 0, prefetch_ = 2;
  LabelSource label_source_ = LabelSource::kData;
};

// `data` with the labels that `source` says.
SourceData with_labels(const Source& source, SourceData data);

void register_core_sources(Catalog<Source>& catalog);

}  // namespace trireme::data

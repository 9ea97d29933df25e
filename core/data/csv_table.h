// Examples from tables: what a column's numbers and a label's words become, as the training rows
// decide it, and the same for any other file.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/data/csv.h"
#include "core/data/dataset.h"
#include "core/data/standardization.h"

namespace trireme::data {

enum class CsvLabel {
  kNumber,  // f32 [1], any
  kBinary,  // f32 [1], a number from 0 to 1; or two words, of which the first in order is 0
  kClass,   // i64 [], a whole number from 0; or words, numbered in their order
  kWhole,   // i64 [], a whole number
};

// A table as it is in its file, in memory.
struct CsvTable {
  CsvSchema schema;
  std::vector<double> features;      // [n, k]; NaN: missing
  std::vector<double> labels;        // of words: their numbers
  std::vector<std::string> classes;  // in order; empty: the labels are numbers
  std::vector<int64_t> lines;        // where each row begins
  int64_t dropped = 0;               // rows, because a value is missing
  std::string note;                  // how the header was found

  int64_t rows() const { return static_cast<int64_t>(labels.size()); }
};

// What is done to the columns of a table before the model gets them.
struct CsvTransform {
  CsvSchema schema;
  CsvLabel label_kind = CsvLabel::kNumber;
  CsvMissing missing = CsvMissing::kRefuse;
  double missing_value = 0;  // of CsvMissing::kValue
  std::vector<std::string> missing_words = kMissingWords;
  bool scales_features = true;
  std::vector<Standardization> features;  // of each; also where they are not scaled
  bool scales_label = false;
  Standardization label;
  std::vector<std::string> classes;

  // `to`: a value for each feature. A constant column is 0 in every file: the model learned nothing
  // from it. Throws Error naming file and line for a value that no 32-bit float holds.
  void write_features(std::span<const double> from, std::string_view file, int64_t line,
                      std::span<float> to) const;
  // Of a label as CsvTable has it.
  float label_value(double label, std::string_view file, int64_t line) const;
  // The options that files are read with.
  CsvOptions options(char delimiter) const;
};

// Reads all rows and their labels. Of words, `known` says the classes; null: the file does.
// REQUIRES: rows.has_label().
CsvTable read_csv_table(CsvRows& rows, CsvLabel kind, CsvMissing missing,
                        const std::vector<std::string>* known = nullptr);

struct CsvScaling {
  bool features = true, label = false;
  double missing_value = 0;
};
// The transform that the first `training_rows` rows decide; `source` is for messages. Throws
// Error{kDataLoss} for a column without any value.
CsvTransform fit_csv_transform(const CsvTable& table, int64_t training_rows, CsvLabel kind,
                               const CsvOptions& options, const CsvScaling& scaling,
                               std::string_view source);

// Takes a column out of the features: where it was is 0 from now on, so that a model learns nothing
// from it. Throws Error{kInvalidArgument} when there is no such column, and Error{kDataLoss} for a
// weight that is missing or negative.
std::vector<float> take_weights(CsvTable& table, const std::string& column,
                                std::string_view source);

// "features": f32 [k], "label": f32 [1] or i64 [], and "sample_weight": f32 [] unless `weights` is
// empty.
Dataset csv_dataset(const CsvTable& table, const CsvTransform& transform, std::string_view source,
                    const std::vector<float>& weights = {});
ElementSpec csv_spec(const CsvTransform& transform);

// The names of the columns that are constant; and of those whose values a 32-bit float cannot tell
// apart as they are.
std::vector<std::string> constant_columns(const CsvTransform& transform);
std::vector<std::string> indistinct_columns(const CsvTransform& transform);

}  // namespace trireme::data

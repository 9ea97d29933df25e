#include "core/data/csv_table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "core/data/csv_number.h"

namespace trireme::data {
namespace {

// Beyond it a float has no place for each whole number.
constexpr double kMaxClass = 1e7;

// Puts the labels of a table into numbers, row by row.
class LabelReader {
 public:
  LabelReader(const CsvRows& rows, CsvLabel kind, const std::vector<std::string>* known)
      : rows_(rows), kind_(kind) {
    if (known == nullptr) return;
    is_known_ = true;
    for (const std::string& word : *known) ids_.emplace(word, ids_.size());
    are_words_ = !known->empty();
  }

  double read(const CsvRow& row) {
    const auto fail = [&](const auto&... parts) -> Error {
      return rows_.error(row.label_place, "label ", shown(rows_.schema().label), ": ", parts...);
    };
    double value = 0;
    const bool is_number = parse_number(row.label, value);
    if (!are_words_.has_value()) are_words_ = !is_number && takes_words();
    if (*are_words_) {
      if (!is_known_ && is_number) {
        throw fail("expected the name of a class as in the rows before, found the number ",
                   row.label);
      }
      return number_of(row, fail);
    }
    if (!is_number) {
      throw fail(takes_words() ? "expected the number of a class as in the rows before, "
                               : "expected a number, ",
                 why_no_number(row.label));
    }
    check(value, row.label, fail);
    return value;
  }

  // Numbers the words in their order, in `labels` too.
  std::vector<std::string> classes(std::vector<double>& labels) const {
    if (!are_words_.value_or(false)) return {};
    std::vector<std::string> words;
    std::vector<double> number(ids_.size());
    for (const auto& [word, id] : ids_) {
      number[id] = static_cast<double>(words.size());
      words.push_back(word);
    }
    if (is_known_) return words;
    for (double& label : labels) label = number[static_cast<size_t>(label)];
    return words;
  }

 private:
  bool takes_words() const { return kind_ == CsvLabel::kBinary || kind_ == CsvLabel::kClass; }

  template <typename Fail>
  double number_of(const CsvRow& row, Fail fail) {
    auto found = ids_.find(row.label);
    if (found == ids_.end()) {
      const bool is_full = kind_ == CsvLabel::kBinary && ids_.size() == 2;
      if (is_known_ || is_full) {
        std::string words;
        for (const auto& [word, id] : ids_) {
          if (words.size() < 200) words += (words.empty() ? "" : ", ") + shown(word);
        }
        throw fail("expected ",
                   is_known_ ? "a class of the training data (" : "one of two classes (", words,
                   "), found ", shown(row.label));
      }
      found = ids_.emplace(row.label, ids_.size()).first;
    }
    return static_cast<double>(found->second);
  }

  template <typename Fail>
  void check(double value, const std::string& text, Fail fail) const {
    const bool is_whole = value == std::trunc(value) && std::abs(value) <= kMaxClass;
    switch (kind_) {
      case CsvLabel::kNumber:
        return;
      case CsvLabel::kBinary:
        if (value >= 0 && value <= 1) return;
        throw fail("expected 0 or 1, as binary cross entropy takes it, found ", text);
      case CsvLabel::kClass:
        if (is_whole && value >= 0) return;
        throw fail("expected a class, a whole number from 0, found ", text);
      case CsvLabel::kWhole:
        if (is_whole) return;
        throw fail("expected a whole number, found ", text);
    }
  }

  const CsvRows& rows_;
  CsvLabel kind_;
  bool is_known_ = false;
  std::optional<bool> are_words_;      // nothing: no row was read
  std::map<std::string, size_t> ids_;  // of words; where they are not known, as they came
};

float to_float(double value, std::string_view file, int64_t line, const std::string& column) {
  const auto narrow = static_cast<float>(value);
  if (std::isfinite(narrow)) return narrow;
  throw data_loss(file, ":", line, ": column ", shown(column), ": the value is ", value,
                  " as the model would get it, which is too large for a 32-bit float");
}

// Where neighbours among a column's values are one 32-bit float.
bool is_indistinct(const Standardization& column) {
  return !column.is_constant &&
         column.deviation < std::abs(column.mean()) * 16 * std::numeric_limits<float>::epsilon();
}

}  // namespace

void CsvTransform::write_features(std::span<const double> from, std::string_view file, int64_t line,
                                  std::span<float> to) const {
  for (size_t i = 0; i < from.size(); ++i) {
    const Standardization& column = features[i];
    double value = from[i];
    const bool is_mean = std::isnan(value) && missing != CsvMissing::kValue;
    if (std::isnan(value)) value = is_mean ? column.mean() : missing_value;
    if (scales_features) value = column.is_constant || is_mean ? 0 : column.apply(value);
    to[i] = to_float(value, file, line, schema.features[i]);
  }
}

float CsvTransform::label_value(double value, std::string_view file, int64_t line) const {
  return to_float(scales_label ? label.apply(value) : value, file, line, schema.label);
}

CsvOptions CsvTransform::options(char delimiter) const {
  return {.delimiter = delimiter, .missing = missing, .missing_words = missing_words};
}

CsvTable read_csv_table(CsvRows& rows, CsvLabel kind, CsvMissing missing,
                        const std::vector<std::string>* known) {
  CsvTable table{.schema = rows.schema(), .note = rows.note()};
  LabelReader labels(rows, kind, known);
  for (CsvRow row; rows.next(row);) {
    if (row.is_missing && missing == CsvMissing::kDrop) {
      ++table.dropped;
      continue;
    }
    table.labels.push_back(labels.read(row));
    table.features.insert(table.features.end(), row.features.begin(), row.features.end());
    table.lines.push_back(row.place.line);
  }
  if (table.rows() == 0) {
    throw data_loss(rows.name(), ": expected rows of numbers",
                    table.schema.has_header ? " after the header" : "", ", found none",
                    table.dropped > 0 ? str_cat("; ", table.dropped, " have a missing value") : "");
  }
  table.classes = labels.classes(table.labels);
  if (kind == CsvLabel::kBinary && table.classes.size() == 1) {
    throw data_loss(rows.name(), ": label ", shown(table.schema.label),
                    ": expected two classes, found only ", shown(table.classes[0]));
  }
  return table;
}

CsvTransform fit_csv_transform(const CsvTable& table, int64_t training_rows, CsvLabel kind,
                               const CsvOptions& options, const CsvScaling& scaling,
                               std::string_view source) {
  CsvTransform transform{.schema = table.schema,
                         .label_kind = kind,
                         .missing = options.missing,
                         .missing_value = scaling.missing_value,
                         .missing_words = options.missing_words,
                         .scales_features = scaling.features,
                         .scales_label = scaling.label,
                         .classes = table.classes};
  const auto width = static_cast<int64_t>(table.schema.features.size());
  // A value that is given counts like one that was there.
  std::vector<double> filled;
  const double* values = table.features.data();
  if (options.missing == CsvMissing::kValue) {
    filled.assign(table.features.begin(), table.features.begin() + training_rows * width);
    for (double& value : filled) {
      if (std::isnan(value)) value = scaling.missing_value;
    }
    values = filled.data();
  }
  const auto fit = [&](const double* from, int64_t stride, const std::string& column) {
    try {
      return standardization(from, training_rows, stride);
    } catch (const Error& error) {
      throw data_loss(source, ": column ", shown(column), " in the ", training_rows,
                      " training rows: ", error.what());
    }
  };
  for (int64_t i = 0; i < width; ++i) {
    transform.features.push_back(
        fit(values + i, width, table.schema.features[static_cast<size_t>(i)]));
  }
  if (scaling.label) transform.label = fit(table.labels.data(), 1, table.schema.label);
  return transform;
}

ElementSpec csv_spec(const CsvTransform& transform) {
  const bool is_float =
      transform.label_kind == CsvLabel::kNumber || transform.label_kind == CsvLabel::kBinary;
  return {{"features", DType::kFloat32, {static_cast<int64_t>(transform.features.size())}},
          {"label", is_float ? DType::kFloat32 : DType::kInt64, is_float ? Shape{1} : Shape{}}};
}

std::vector<float> take_weights(CsvTable& table, const std::string& column,
                                std::string_view source) {
  const std::vector<std::string>& names = table.schema.features;
  const auto found = std::ranges::find(names, column);
  if (found == names.end()) {
    std::string known;
    for (const std::string& name : names) {
      if (known.size() < 200) known += (known.empty() ? "" : ", ") + shown(name);
    }
    throw invalid_argument(source, ": data.csv.sample_weight: there is no column ", shown(column),
                           " beside the label, only ", known);
  }
  const auto place = static_cast<size_t>(found - names.begin());
  std::vector<float> weights;
  for (size_t row = 0; row < static_cast<size_t>(table.rows()); ++row) {
    double& value = table.features[row * names.size() + place];
    if (!(value >= 0)) {
      throw data_loss(source, ":", table.lines[row], ": column ", shown(column),
                      ": expected how much the row counts, a number of at least 0, found ",
                      std::isnan(value) ? "nothing" : str_cat(value));
    }
    weights.push_back(to_float(value, source, table.lines[row], column));
    value = 0;
  }
  return weights;
}

Dataset csv_dataset(const CsvTable& table, const CsvTransform& transform, std::string_view source,
                    const std::vector<float>& weights) {
  const int64_t n = table.rows();
  const size_t width = transform.features.size();
  Tensor features(DType::kFloat32, {n, static_cast<int64_t>(width)});
  const std::span<float> to = features.flat<float>();
  const std::span<const double> from(table.features);
  const bool is_float = csv_spec(transform)[1].dtype == DType::kFloat32;
  Tensor labels = is_float ? Tensor(DType::kFloat32, {n, 1}) : Tensor(DType::kInt64, {n});
  for (size_t row = 0; row < static_cast<size_t>(n); ++row) {
    transform.write_features(from.subspan(row * width, width), source, table.lines[row],
                             to.subspan(row * width, width));
    if (is_float) {
      labels.flat<float>()[row] =
          transform.label_value(table.labels[row], source, table.lines[row]);
    } else {
      labels.flat<int64_t>()[row] = static_cast<int64_t>(table.labels[row]);
    }
  }
  if (weights.empty()) return from_tensors({features, labels}, {"features", "label"});
  return from_tensors({features, labels, Tensor::from<float>({n}, weights)},
                      {"features", "label", "sample_weight"});
}

std::vector<std::string> constant_columns(const CsvTransform& transform) {
  std::vector<std::string> names;
  for (size_t i = 0; i < transform.features.size(); ++i) {
    if (transform.features[i].is_constant) names.push_back(transform.schema.features[i]);
  }
  return names;
}

std::vector<std::string> indistinct_columns(const CsvTransform& transform) {
  std::vector<std::string> names;
  for (size_t i = 0; i < transform.features.size(); ++i) {
    if (is_indistinct(transform.features[i])) names.push_back(transform.schema.features[i]);
  }
  return names;
}

}  // namespace trireme::data

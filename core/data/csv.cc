#include "core/data/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

#include "core/data/csv_number.h"

namespace trireme::data {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

bool is_number(const CsvField& field) {
  double ignored = 0;
  return parse_number(field.value, ignored);
}

std::optional<int64_t> whole_number(std::string_view text) {
  int64_t value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// 0, 1, 2 or 2019, 2020, 2021: what table programs write over columns without names.
bool counts_up(const std::vector<CsvField>& row) {
  for (size_t i = 0; i < row.size(); ++i) {
    const auto value = whole_number(trimmed(row[i].value));
    const auto first = whole_number(trimmed(row[0].value));
    if (!value || !first || *value - *first != static_cast<int64_t>(i)) return false;
  }
  return true;
}

bool all_whole(const std::vector<CsvField>& row) {
  return std::ranges::all_of(
      row, [](const CsvField& field) { return whole_number(trimmed(field.value)).has_value(); });
}

// The first names of a list, for messages.
std::string listed(const std::vector<std::string>& names) {
  std::string list;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i == 12) return str_cat(list, " and ", names.size() - i, " more");
    list += (i == 0 ? "" : ", ") + shown(names[i]);
  }
  return list;
}

}  // namespace

CsvRows::CsvRows(CsvPieces pieces, std::string name, const CsvOptions& options)
    : reader_(std::move(pieces), std::move(name), options.delimiter), missing_(options.missing) {
  for (const std::string& word : options.missing_words) missing_words_.push_back(lower(word));
  if (!read_first_rows()) {
    throw data_loss(this->name(), ": expected a table, found no row");
  }
  name_columns(options, first_is_header(options));
}

CsvRows::CsvRows(CsvPieces pieces, std::string name, const CsvSchema& schema,
                 const CsvOptions& options, bool needs_label)
    : reader_(std::move(pieces), std::move(name), options.delimiter),
      missing_(options.missing),
      schema_(schema),
      ignores_label_(!needs_label) {
  for (const std::string& word : options.missing_words) missing_words_.push_back(lower(word));
  if (!read_first_rows()) {
    throw data_loss(this->name(), ": expected a table, found no row");
  }
  schema_.has_header ? match_names(needs_label) : match_positions(needs_label);
}

bool CsvRows::read_first_rows() {
  ahead_.resize(2);
  if (!reader_.next(ahead_[0])) return false;
  if (!reader_.next(ahead_[1])) ahead_.resize(1);
  columns_ = ahead_[0].size();
  return true;
}

bool CsvRows::is_missing(std::string_view value) const {
  return std::ranges::find(missing_words_, lower(value)) != missing_words_.end();
}

bool CsvRows::first_is_header(const CsvOptions& options) {
  if (options.header != CsvHeader::kAuto) return options.header == CsvHeader::kPresent;
  const std::vector<CsvField>& first = ahead_[0];
  const auto missing = [&](const CsvField& field) { return is_missing(trimmed(field.value)); };
  const auto numbers = std::ranges::count_if(first, is_number);
  if (numbers == 0) return !std::ranges::all_of(first, missing);
  const bool has_second = ahead_.size() > 1 && ahead_[1].size() == first.size();
  for (size_t i = 0; has_second && i < first.size(); ++i) {
    if (is_number(first[i]) || missing(first[i]) || !is_number(ahead_[1][i])) continue;
    note_ = str_cat("the first row is the header: it has ", shown(first[i].value),
                    " where the second has a number");
    return true;
  }
  const bool all_numbers = numbers == static_cast<int64_t>(first.size());
  const bool is_named = std::ranges::any_of(
      first, [&](const CsvField& field) { return trimmed(field.value) == options.label; });
  const auto index = whole_number(options.label);
  const bool is_index = index && *index >= -static_cast<int64_t>(first.size()) &&
                        *index < static_cast<int64_t>(first.size());
  if (!options.label.empty() && is_named && !is_index) {
    note_ = "the first row is the header: the label's name is in it";
    return true;
  }
  if (all_numbers && has_second && first.size() > 2) {
    const bool numbered = counts_up(first) && !counts_up(ahead_[1]);
    const bool odd = all_whole(first) && std::ranges::none_of(ahead_[1], [](const CsvField& field) {
                       return whole_number(trimmed(field.value)).has_value();
                     });
    if (numbered || odd) {
      throw data_loss(name(), ":", first[0].place.line, ":1: is the first row (",
                      shown(first[0].value), ", ", shown(first[1].value),
                      ", …) a header of numbers, or an example? Say which it is with "
                      "data.csv.header: PRESENT or ABSENT");
    }
  }
  note_ = "no header: the first row has numbers and is an example";
  return false;
}

void CsvRows::name_columns(const CsvOptions& options, bool has_header) {
  std::vector<std::string> names;
  for (size_t i = 0; i < columns_; ++i) {
    names.emplace_back(has_header ? std::string(trimmed(ahead_[0][i].value)) : std::to_string(i));
  }
  if (columns_ < 2) {
    throw data_loss(name(), ": expected at least 2 columns, a feature and the label, found 1");
  }
  std::set<std::string> seen;
  for (size_t i = 0; i < columns_; ++i) {
    if (seen.insert(names[i]).second) continue;
    throw reader_.error(ahead_[0][i].place, "two columns have the name ", shown(names[i]),
                        "; columns are told apart by their names");
  }
  schema_.has_header = has_header;
  const auto count = static_cast<int64_t>(columns_);
  label_column_ = -1;
  if (options.label.empty()) label_column_ = count - 1;
  if (has_header && !options.label.empty()) {
    const auto found = std::ranges::find(names, options.label);
    if (found != names.end()) label_column_ = found - names.begin();
  }
  if (const auto index = whole_number(options.label);
      label_column_ < 0 && index && *index >= -count && *index < count) {
    label_column_ = *index < 0 ? *index + count : *index;
  }
  if (label_column_ < 0) {
    throw invalid_argument(
        name(), ": expected a label column \"", options.label, "\", found ", count, " columns",
        has_header ? ": " + listed(names) : " without a header; name it by its number from 0");
  }
  for (int64_t i = 0; i < count; ++i) {
    if (i == label_column_) {
      schema_.label = names[static_cast<size_t>(i)];
      feature_of_.push_back(-1);
    } else {
      feature_of_.push_back(static_cast<int64_t>(schema_.features.size()));
      schema_.features.push_back(names[static_cast<size_t>(i)]);
    }
  }
  schema_.label_index = label_column_;
  next_ahead_ = has_header ? 1 : 0;
}

void CsvRows::match_names(bool needs_label) {
  next_ahead_ = 1;
  std::vector<std::string> missing, extra;
  std::set<std::string> seen;
  for (const CsvField& field : ahead_[0]) {
    const std::string name(trimmed(field.value));
    if (!seen.insert(name).second) {
      throw reader_.error(field.place, "two columns have the name ", shown(name),
                          "; columns are told apart by their names");
    }
    const auto found = std::ranges::find(schema_.features, name);
    if (found != schema_.features.end()) {
      feature_of_.push_back(found - schema_.features.begin());
    } else if (name == schema_.label) {
      label_column_ = static_cast<int64_t>(feature_of_.size());
      feature_of_.push_back(-1);
    } else {
      extra.push_back(name);
      feature_of_.push_back(-1);
    }
  }
  for (const std::string& name : schema_.features) {
    if (!seen.contains(name)) missing.push_back(name);
  }
  if (needs_label && label_column_ < 0) missing.push_back(schema_.label);
  if (missing.empty() && extra.empty()) return;
  const bool no_header =
      std::ranges::any_of(ahead_[0], is_number) && missing.size() >= schema_.features.size();
  throw invalid_argument(
      name(), ": the columns are not those that the model was trained with: ",
      missing.empty() ? "" : "missing " + listed(missing),
      missing.empty() || extra.empty() ? "" : "; ",
      extra.empty() ? "" : "not known " + listed(extra),
      no_header ? "; the first row has to be the header, with the names of the training data" : "");
}

void CsvRows::match_positions(bool needs_label) {
  const size_t features = schema_.features.size();
  if (columns_ == features + 1) {
    label_column_ = schema_.label_index;
  } else if (columns_ != features || needs_label) {
    throw invalid_argument(
        name(), ": the model was trained with a table without a header: expected ", features,
        needs_label ? " features and the label" : " features, with the label or without it",
        ", found ", columns_, " columns");
  }
  int64_t next = 0;
  for (size_t i = 0; i < columns_; ++i) {
    feature_of_.push_back(static_cast<int64_t>(i) == label_column_ ? -1 : next++);
  }
  if (!std::ranges::any_of(ahead_[0], [&](const CsvField& field) {
        return is_number(field) || is_missing(trimmed(field.value));
      })) {
    throw data_loss(name(), ":", ahead_[0][0].place.line,
                    ":1: expected numbers, as the model was trained with a table without a header, "
                    "found ",
                    shown(ahead_[0][0].value), "; remove the header");
  }
  note_ = "columns by their position";
}

std::string CsvRows::column_name(size_t column) const {
  const int64_t feature = feature_of_[column];
  return shown(feature < 0 ? schema_.label : schema_.features[static_cast<size_t>(feature)]);
}

bool CsvRows::next(CsvRow& row) {
  if (next_ahead_ < ahead_.size()) {
    std::swap(row_, ahead_[next_ahead_++]);
  } else if (!reader_.next(row_)) {
    return false;
  }
  row.place = row_[0].place;
  if (row_.size() != columns_) {
    throw reader_.error(row.place, "expected ", columns_, " fields as in the first row, found ",
                        row_.size());
  }
  row.features.resize(schema_.features.size());
  row.is_missing = false;
  row.missing = -1;
  row.label.clear();
  for (size_t i = 0; i < columns_; ++i) {
    const CsvField& field = row_[i];
    const int64_t feature = feature_of_[i];
    const bool is_label = static_cast<int64_t>(i) == label_column_;
    double value = 0;
    if (is_label && ignores_label_) continue;
    if (is_label) row.label_place = field.place;
    // Numbers first: they are what most fields are.
    const bool is_number = !is_label && parse_number(field.value, value);
    const std::string_view text = is_number ? std::string_view() : trimmed(field.value);
    if (!is_number && is_missing(text)) {
      if (missing_ == CsvMissing::kRefuse || (is_label && missing_ != CsvMissing::kDrop)) {
        throw reader_.error(
            field.place, "column ", column_name(i), ": a value is missing (found ",
            field.value.empty() ? "an empty field" : shown(text), ")",
            is_label
                ? "; a label cannot be made up, only its row dropped with data.csv.missing: DROP"
                : "; say what becomes of it with data.csv.missing: DROP, MEAN or VALUE");
      }
      row.is_missing = true;
      if (!is_label) {
        if (row.missing < 0) row.missing = feature;
        row.features[static_cast<size_t>(feature)] = std::numeric_limits<double>::quiet_NaN();
      }
    } else if (is_label) {
      row.label = text;
    } else if (is_number) {
      row.features[static_cast<size_t>(feature)] = value;
    } else {
      throw reader_.error(field.place, "column ", column_name(i), ": expected a number, ",
                          why_no_number(field.value));
    }
  }
  return true;
}

}  // namespace trireme::data

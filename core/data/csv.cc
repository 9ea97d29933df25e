#include "core/data/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/base/error.h"
#include "core/data/gzip_file.h"

namespace trireme::data {
namespace {

struct Place {
  size_t line = 1, column = 1;
};

struct Field {
  std::string value;
  Place place;  // where it begins
};

// For messages: what a user recognises, of bounded length, in one line.
std::string shown(std::string_view value) {
  std::string text(value.substr(0, 40));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = '?';
  }
  return str_cat('"', text, value.size() > 40 ? "…\"" : "\"");
}

class Reader {
 public:
  Reader(std::string_view text, std::string_view name, char delimiter)
      : text_(text), name_(name), delimiter_(delimiter) {
    if (text_.starts_with("\xef\xbb\xbf"))
      text_.remove_prefix(3);  // a byte order mark, as spreadsheets write it
  }

  // Reads one row into `row` and reuses its strings; false at the end of the file.
  bool next(std::vector<Field>& row) {
    while (at_ < text_.size() && end_of_line()) {
    }
    if (at_ == text_.size()) return false;
    size_t count = 0;
    for (;;) {
      if (count == row.size()) row.emplace_back();
      read_field(row[count++]);
      if (at_ == text_.size() || end_of_line()) break;
      step();  // the delimiter
    }
    row.resize(count);
    return true;
  }

  template <typename... Parts>
  Error error(Place place, const Parts&... parts) const {
    return data_loss(name_, ':', place.line, ':', place.column, ": ", parts...);
  }

 private:
  void step() {
    if (text_[at_++] == '\n') {
      ++place_.line;
      place_.column = 1;
    } else {
      ++place_.column;
    }
  }
  bool at_end_of_line() const {
    return text_[at_] == '\n' ||
           (text_[at_] == '\r' && (at_ + 1 == text_.size() || text_[at_ + 1] == '\n'));
  }
  // Steps over a line end, if there is one.
  bool end_of_line() {
    if (!at_end_of_line()) return false;
    if (text_[at_] == '\r') step();
    if (at_ < text_.size()) step();
    return true;
  }
  bool at_end_of_field() const {
    return at_ == text_.size() || text_[at_] == delimiter_ || at_end_of_line();
  }

  void read_field(Field& field) {
    field.value.clear();
    field.place = place_;
    if (at_ < text_.size() && text_[at_] == '"') {
      step();
      for (;; step()) {
        if (at_ == text_.size())
          throw error(field.place, "the quote that opens here is never closed");
        if (text_[at_] == '"') {
          step();
          if (at_ == text_.size() || text_[at_] != '"') break;
        }
        field.value += text_[at_];
      }
      if (!at_end_of_field()) {
        throw error(place_, "expected '", delimiter_,
                    "' or the end of the line after the closing quote");
      }
      return;
    }
    for (; !at_end_of_field(); step()) {
      if (text_[at_] == '"') {
        throw error(place_,
                    "a quote inside a field; put the whole field in quotes and double the quote");
      }
      field.value += text_[at_];
    }
  }

  std::string_view text_, name_;
  char delimiter_;
  size_t at_ = 0;
  Place place_;
};

// A finite number, with blanks around it.
bool parse_number(std::string_view text, float& value) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  if (text.starts_with('+') && text.size() > 1 && text[1] != '-') text.remove_prefix(1);
  double wide = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), wide);
  value = static_cast<float>(wide);
  return status == std::errc() && end == text.data() + text.size() && std::isfinite(value);
}

size_t find_label(const std::string& label, const std::vector<Field>& header, bool named,
                  std::string_view name) {
  const auto count = static_cast<int64_t>(header.size());
  if (label.empty()) return header.size() - 1;
  if (named) {
    for (size_t i = 0; i < header.size(); ++i) {
      if (header[i].value == label) return i;
    }
  }
  int64_t index = 0;
  const auto [end, status] = std::from_chars(label.data(), label.data() + label.size(), index);
  if (status == std::errc() && end == label.data() + label.size() && index >= -count &&
      index < count) {
    return static_cast<size_t>(index < 0 ? index + count : index);
  }
  std::string columns;
  for (const Field& field : header) {
    if (columns.size() > 200) {
      columns += ", …";
      break;
    }
    columns += (columns.empty() ? "" : ", ") + shown(field.value);
  }
  throw invalid_argument(
      name, ": expected a label column \"", label, "\", found ", count, " columns",
      named ? ": " + columns : " without a header; name it by its number from 0");
}

}  // namespace

CsvTable parse_csv(std::string_view text, std::string_view name, const CsvOptions& options) {
  if (options.label_dtype != DType::kFloat32 && options.label_dtype != DType::kInt64) {
    throw invalid_argument(name, ": expected f32 or i64 as the type of labels, found ",
                           trireme::name(options.label_dtype));
  }
  Reader reader(text, name, options.delimiter);
  std::vector<Field> row;
  if (!reader.next(row)) throw data_loss(name, ": expected a table, found no row");
  float ignored = 0;
  const bool has_header =
      options.header == CsvHeader::kPresent ||
      (options.header == CsvHeader::kAuto &&
       std::ranges::none_of(row, [&](const Field& f) { return parse_number(f.value, ignored); }));
  const size_t columns = row.size();
  if (columns < 2)
    throw data_loss(name, ": expected at least 2 columns, a feature and the label, found 1");
  const size_t label = find_label(options.label, row, has_header, name);

  CsvTable table;
  for (size_t i = 0; i < columns; ++i) {
    std::string column = has_header ? row[i].value : std::to_string(i);
    if (i == label) {
      table.label_column = std::move(column);
    } else {
      table.columns.push_back(std::move(column));
    }
  }
  std::vector<float> features, labels;
  bool more = !has_header || reader.next(row);
  for (; more; more = reader.next(row)) {
    if (row.size() != columns) {
      throw reader.error(row[0].place, "expected ", columns, " fields as in the first row, found ",
                         row.size());
    }
    for (size_t i = 0; i < columns; ++i) {
      const Field& field = row[i];
      float value = 0;
      if (field.value.empty())
        throw reader.error(field.place, "expected a number, found an empty field");
      if (!parse_number(field.value, value)) {
        throw reader.error(field.place, "expected a finite number, found ", shown(field.value));
      }
      if (i == label && options.label_dtype == DType::kInt64 &&
          (value != std::trunc(value) || std::abs(value) > 1e7)) {
        throw reader.error(field.place, "expected a class as a whole number, found ",
                           shown(field.value));
      }
      (i == label ? labels : features).push_back(value);
    }
  }
  const auto n = static_cast<int64_t>(labels.size());
  if (n == 0) throw data_loss(name, ": expected rows of numbers after the header, found none");
  table.features = Tensor::from<float>({n, static_cast<int64_t>(columns) - 1}, features);
  if (options.label_dtype == DType::kFloat32) {
    table.labels = Tensor::from<float>({n, 1}, labels);
  } else {
    table.labels = Tensor(DType::kInt64, {n});
    std::ranges::transform(labels, table.labels.flat<int64_t>().begin(),
                           [](float value) { return static_cast<int64_t>(value); });
  }
  return table;
}

CsvTable read_csv(const std::string& path, const CsvOptions& options) {
  return parse_csv(read_file(path).text(), path, options);
}

}  // namespace trireme::data

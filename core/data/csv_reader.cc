#include "core/data/csv_reader.h"

#include <algorithm>
#include <array>

#include "core/data/byte_stream.h"
#include "core/data/csv_number.h"

namespace trireme::data {
namespace {

constexpr std::array kDelimiters = {',', ';', '\t', '|'};
constexpr size_t kSampleBytes = size_t{64} << 10;
constexpr int kSampleRows = 20;
constexpr size_t kMaxFieldBytes = size_t{1} << 20;
constexpr size_t kMaxFields = size_t{1} << 20;

std::string delimiter_name(char delimiter) {
  return delimiter == '\t' ? "a tab" : str_cat("'", delimiter, "'");
}

// How well a delimiter splits the first rows.
struct Split {
  bool even = false;  // all into the same number of fields, at least 2
  size_t numbers = 0, fields = 0;
};

Split try_delimiter(std::string_view sample, char delimiter) {
  CsvReader reader(csv_text(sample), "", delimiter);
  Split split;
  std::vector<CsvField> row;
  size_t width = 0;
  try {
    for (int rows = 0; rows < kSampleRows && reader.next(row); ++rows) {
      if (rows == 0) width = row.size();
      if (row.size() != width || width < 2) return {};
      if (rows == 0) continue;  // it may be a header
      split.fields += width;
      split.numbers += static_cast<size_t>(std::ranges::count_if(row, [](const CsvField& field) {
        double ignored = 0;
        return parse_number(field.value, ignored);
      }));
    }
  } catch (const Error&) {
    return {};  // quotes that do not go with this delimiter
  }
  split.even = width >= 2;
  return split;
}

// The whole lines of the beginning of a file; all of it when it is short.
std::string_view whole_lines(std::string_view piece) {
  if (piece.size() <= kSampleBytes) return piece;
  const std::string_view sample = piece.substr(0, kSampleBytes);
  const size_t end = sample.find_last_of("\r\n");
  return end == std::string_view::npos ? sample : sample.substr(0, end + 1);
}

// Up to the first line end that is not in quotes.
std::string_view first_row(std::string_view text) {
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') quoted = !quoted;
    if (!quoted && (text[i] == '\r' || text[i] == '\n')) return text.substr(0, i);
  }
  return text;
}

char find_delimiter(std::string_view piece, std::string_view name) {
  const std::string_view sample = whole_lines(piece);
  const std::string_view first = first_row(sample);
  char best = 0;
  Split best_split;
  bool tie = false;
  char rival = 0;
  for (const char delimiter : kDelimiters) {
    if (first.find(delimiter) == std::string_view::npos) continue;
    const Split split = try_delimiter(sample, delimiter);
    if (!split.even) continue;
    // Shares of numbers, compared without a division.
    const size_t mine = split.numbers * std::max<size_t>(best_split.fields, 1);
    const size_t other = best_split.numbers * std::max<size_t>(split.fields, 1);
    if (best == 0 || mine > other) {
      best = delimiter;
      best_split = split;
      tie = false;
    } else if (mine == other) {
      tie = true;
      rival = delimiter;
    }
  }
  if (tie) {
    throw data_loss(name, ":1:1: ", delimiter_name(best), " and ", delimiter_name(rival),
                    " both split the first lines evenly; say which it is with data.csv.delimiter");
  }
  if (best != 0) return best;
  // No delimiter fits all lines: the reader says where, with the one that is first in the line.
  const size_t at = first.find_first_of(",;\t|");
  return at == std::string_view::npos ? ',' : first[at];
}

}  // namespace

CsvPieces csv_text(std::string_view text) {
  return [text, given = false]() mutable {
    if (given) return std::string_view();
    given = true;
    return text;
  };
}

CsvPieces csv_file(const std::string& path, const InputOptions& options) {
  return [stream = std::make_shared<ByteStream>(path, options),
          buffer = std::make_shared<std::vector<uint8_t>>(size_t{256} << 10)] {
    const size_t size = stream->read(*buffer);
    return std::string_view(reinterpret_cast<const char*>(buffer->data()), size);
  };
}

std::string shown(std::string_view value) {
  std::string text(value.substr(0, 40));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = '?';
  }
  return str_cat('"', text, value.size() > 40 ? "…\"" : "\"");
}

std::string_view trimmed(std::string_view value) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!value.empty() && blank(value.front())) value.remove_prefix(1);
  while (!value.empty() && blank(value.back())) value.remove_suffix(1);
  return value;
}

CsvReader::CsvReader(CsvPieces pieces, std::string name, char delimiter)
    : pieces_(std::move(pieces)), name_(std::move(name)), delimiter_(delimiter) {
  piece_ = pieces_();
  ended_ = piece_.empty();
  if (piece_.starts_with("\xff\xfe") || piece_.starts_with("\xfe\xff")) {
    throw data_loss(name_,
                    ": expected text in UTF-8 or another code of one byte, found UTF-16; "
                    "save the file as UTF-8");
  }
  if (piece_.starts_with("\xef\xbb\xbf")) piece_.remove_prefix(3);
  if (delimiter_ == 0) delimiter_ = find_delimiter(piece_, name_);
}

int CsvReader::peek() {
  if (at_ == piece_.size()) {
    if (ended_) return kEnd;
    piece_ = pieces_();
    at_ = 0;
    ended_ = piece_.empty();
    if (ended_) return kEnd;
  }
  return static_cast<unsigned char>(piece_[at_]);
}

// Over the byte that peek() saw.
void CsvReader::step() {
  const char c = piece_[at_++];
  if (c == '\n' || (c == '\r' && peek() != '\n')) {
    ++place_.line;
    place_.column = 1;
  } else {
    ++place_.column;
  }
}

bool CsvReader::at_end_of_line() {
  const int c = peek();
  return c == '\n' || c == '\r';
}

bool CsvReader::end_of_line() {
  if (!at_end_of_line()) return false;
  const bool carriage_return = peek() == '\r';
  step();
  if (carriage_return && peek() == '\n') step();
  return true;
}

bool CsvReader::next(std::vector<CsvField>& row) {
  while (end_of_line()) {
  }
  if (peek() == kEnd) return false;
  size_t count = 0;
  for (;;) {
    if (count == kMaxFields) throw error(place_, "a row of more than ", kMaxFields, " fields");
    if (count == row.size()) row.emplace_back();
    read_field(row[count++]);
    if (peek() == kEnd || end_of_line()) break;
    step();  // the delimiter
  }
  row.resize(count);
  return true;
}

void CsvReader::read_field(CsvField& field) {
  field.value.clear();
  field.place = place_;
  if (peek() == '"') return read_quoted(field);
  for (int c = peek(); c != kEnd && c != '\n' && c != '\r'; c = peek()) {
    if (static_cast<char>(c) == delimiter_) return;
    if (c == '"') {
      throw error(place_,
                  "a quote inside a field; put the whole field in quotes and double the quote");
    }
    if (c == 0) throw error(place_, "a byte that is zero: this is no text");
    if (field.value.size() == kMaxFieldBytes) {
      throw error(field.place, "a field of more than ", kMaxFieldBytes, " bytes");
    }
    field.value += static_cast<char>(c);
    ++at_;
    ++place_.column;
  }
}

void CsvReader::read_quoted(CsvField& field) {
  step();
  for (;;) {
    const int c = peek();
    if (c == kEnd) throw error(field.place, "the quote that opens here is never closed");
    if (c == '"') {
      step();
      if (peek() != '"') break;
    }
    if (field.value.size() == kMaxFieldBytes) {
      throw error(field.place, "the quote that opens here is not closed within ", kMaxFieldBytes,
                  " bytes");
    }
    field.value += static_cast<char>(c);
    step();
  }
  const int c = peek();
  if (c == kEnd || c == '\n' || c == '\r' || static_cast<char>(c) == delimiter_) return;
  throw error(place_, "expected ", delimiter_name(delimiter_),
              " or the end of the line after the closing quote");
}

}  // namespace trireme::data

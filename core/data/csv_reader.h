// The rows and fields of CSV (RFC 4180: quotes, doubled quotes), read in pieces: memory holds one
// row.
//
// Lines end with LF, CRLF or CR; inside quotes they belong to the field. A byte order mark is
// skipped, and so are blank lines. Every damaged spot is Error{kDataLoss} "file:line:column: …",
// columns counted in bytes from 1. One thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/input_stream.h"

namespace trireme::data {

// The next piece of a file, empty at its end; valid until the next call.
using CsvPieces = std::function<std::string_view()>;

// Of text in memory, which must outlive them; of a file, packed with gzip or not, or of a pipe
// where the options allow it.
CsvPieces csv_text(std::string_view text);
CsvPieces csv_file(const std::string& path, const InputOptions& options = {});

struct CsvPlace {
  int64_t line = 1, column = 1;
};

struct CsvField {
  std::string value;
  CsvPlace place = {};  // where it begins
};

// For messages: `value` in quotes, of bounded length, in one line.
std::string shown(std::string_view value);
// `value` without blanks around it.
std::string_view trimmed(std::string_view value);

class CsvReader {
 public:
  // `delimiter` 0: the one of `, ; | tab` that splits the first lines evenly and best into numbers.
  // Throws Error{kDataLoss} when two would do, and for text in UTF-16.
  CsvReader(CsvPieces pieces, std::string name, char delimiter);

  char delimiter() const { return delimiter_; }
  const std::string& name() const { return name_; }

  // Reads one row into `row` and reuses its strings; false at the end of the file.
  bool next(std::vector<CsvField>& row);

  template <typename... Parts>
  Error error(CsvPlace place, const Parts&... parts) const {
    return data_loss(name_, ':', place.line, ':', place.column, ": ", parts...);
  }

 private:
  static constexpr int kEnd = -1;
  int peek();  // the next byte, or kEnd
  void step();
  bool at_end_of_line();
  bool end_of_line();  // steps over a line end, if there is one
  void read_field(CsvField& field);
  void read_quoted(CsvField& field);

  CsvPieces pieces_;
  std::string name_;
  char delimiter_;
  std::string_view piece_;
  size_t at_ = 0;
  bool ended_ = false;
  CsvPlace place_;
};

}  // namespace trireme::data

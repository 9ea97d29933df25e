// Tables of numbers in CSV, for regression and classification: which column is what, and their
// values as 64-bit floats, row by row.
//
// Columns of a file that others decide (CsvSchema) are matched by name, in any order, or by their
// position where there are no names. Every damaged spot is Error{kDataLoss} "file:line:column: …":
// a row that is longer or shorter than the first, a missing value unless the policy takes it, one
// that is not a finite number.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/csv_reader.h"

namespace trireme::data {

enum class CsvHeader {
  kAuto,  // the first row is a header when it has text where the second has a number, or no
          // number at all; numbers that count up by one could be either, which is an error
  kPresent,
  kAbsent,
};

// What becomes of a missing feature. A missing label is an error, or with kDrop drops the row.
enum class CsvMissing {
  kRefuse,
  kDrop,   // the row
  kMean,   // it becomes the mean of the training rows that have a value
  kValue,  // it becomes a value that is given
};

inline const std::vector<std::string> kMissingWords = {"", "NA", "N/A", "NaN", "null", "?"};

struct CsvOptions {
  CsvHeader header = CsvHeader::kAuto;
  char delimiter = 0;  // 0: found out, see CsvReader
  CsvMissing missing = CsvMissing::kRefuse;
  std::vector<std::string> missing_words = kMissingWords;  // in any case of letters
  std::string label = {};  // the label column: its name, or its number from 0, negative from the
                           // end; empty: the last
};

// Which columns a table has.
struct CsvSchema {
  bool has_header = false;
  std::vector<std::string> features;  // in the model's order; "0", "1", … without a header
  std::string label;
  int64_t label_index = 0;  // among all columns, for files without a header
};

// The words of a label column are put into numbers elsewhere: see CsvTable.
struct CsvRow {
  CsvPlace place;                // where it begins
  std::vector<double> features;  // NaN: missing
  std::string label;             // without blanks around it; empty: missing, or there is none
  CsvPlace label_place;
  bool is_missing = false;  // a feature or the label is
  int64_t missing = -1;     // the first feature that is; -1: none
};

class CsvRows {
 public:
  // A file that decides the columns itself.
  CsvRows(CsvPieces pieces, std::string name, const CsvOptions& options);
  // A file of columns that are known. `needs_label`: else the label column may be there or not, and
  // is not looked at.
  // Throws Error{kInvalidArgument} that lists the columns that are missing and those that are too
  // many. CsvOptions::label and header do not count.
  CsvRows(CsvPieces pieces, std::string name, const CsvSchema& schema, const CsvOptions& options,
          bool needs_label);

  const CsvSchema& schema() const { return schema_; }
  bool has_label() const { return label_column_ >= 0; }
  const std::string& name() const { return reader_.name(); }
  char delimiter() const { return reader_.delimiter(); }
  // What a user should know of how the header was found; may be empty.
  const std::string& note() const { return note_; }

  // The next row; false at the end of the file. Missing values are reported with every policy but
  // kRefuse, which throws.
  bool next(CsvRow& row);

  template <typename... Parts>
  Error error(CsvPlace place, const Parts&... parts) const {
    return reader_.error(place, parts...);
  }

 private:
  bool is_missing(std::string_view value) const;
  bool read_first_rows();
  bool first_is_header(const CsvOptions& options);
  void name_columns(const CsvOptions& options, bool has_header);
  void match_names(bool needs_label);
  void match_positions(bool needs_label);
  std::string column_name(size_t column) const;

  CsvReader reader_;
  CsvMissing missing_;
  std::vector<std::string> missing_words_;
  CsvSchema schema_;
  std::string note_;
  std::vector<std::vector<CsvField>> ahead_;  // rows that were read to look for a header
  size_t next_ahead_ = 0;
  std::vector<CsvField> row_;
  size_t columns_ = 0;
  std::vector<int64_t> feature_of_;  // of each column of the file; -1: the label
  int64_t label_column_ = -1;
  bool ignores_label_ = false;  // it may be missing, or anything
};

}  // namespace trireme::data

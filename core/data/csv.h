// Tables of numbers in CSV (RFC 4180: quotes, doubled quotes, CRLF or LF), for regression and
// classification.
//
// Every damaged spot is Error{kDataLoss} "file:line:column: …": a row that is longer or shorter
// than the first, an empty field, one that is not a finite number, a stray or missing quote. Blank
// lines are skipped. Columns are counted in bytes from 1.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/data/dataset.h"

namespace trireme::data {

enum class CsvHeader {
  kAuto,  // the first row is a header when none of its fields is a number
  kPresent,
  kAbsent,
};

struct CsvOptions {
  CsvHeader header = CsvHeader::kAuto;
  char delimiter = ',';
  std::string label = {};  // the label column: its name, or its number from 0, negative from the
                           // end; empty: the last
  DType label_dtype = DType::kFloat32;  // or kInt64, for classes: then labels must be whole numbers
};

struct CsvTable {
  std::vector<std::string> columns;  // of the features; "0", "1", … without a header
  std::string label_column;
  Tensor features;  // f32 [n, k]
  Tensor labels;    // f32 [n, 1], or i64 [n]

  // "features": f32 [k], "label": f32 [1] or i64 [].
  Dataset dataset() const { return from_tensors({features, labels}, {"features", "label"}); }
};

CsvTable parse_csv(std::string_view text, std::string_view name, const CsvOptions& options = {});

// Packed with gzip or not.
CsvTable read_csv(const std::string& path, const CsvOptions& options = {});

}  // namespace trireme::data

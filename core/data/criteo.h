// Click logs in the TSV format of Criteo's data sets, packed with gzip or not: a line an example,
// `label TAB 13 integers TAB 26 categories`, where the label is 0 or 1, an integer may be empty,
// and a category is a word of hexadecimal digits or empty.
//
// An example comes out as {"numbers" f32[13], "keys" i64[26], "label" f32[1]}:
//  - number n becomes log(1 + max(n, 0)), an empty one 0, as in Naumov et al. 2019;
//  - the word of category column c becomes a key in [c · keys_per_category, (c + 1) ·
//    keys_per_category), by a hash: one embedding table of 26 · keys_per_category rows serves all
//    columns. The empty word is a word like another.
//
// Lines are read by the rules of core/data/line_reader.h, blank ones are skipped. A damaged line is
// Error{kDataLoss} "file:line:column: …", columns counted in bytes from 1.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/dataset.h"

namespace trireme::data {

inline constexpr int kClickNumbers = 13;
inline constexpr int kClickCategories = 26;

// The type of an example, of a log that is read and of one that is made up.
ElementSpec click_spec();

float click_number(int64_t n);

// Of the word in category column `column`, without the column's offset: in [0, keys_per_category).
uint32_t click_key(int column, std::string_view word, uint32_t keys_per_category);

// One example, as it is stored.
struct Click {
  std::array<float, kClickNumbers> numbers;
  std::array<uint32_t, kClickCategories> keys;  // without the columns' offsets
  uint8_t label;
};
// Of a line without its end; `path` and `number`, from 1, are for messages. `has_label`: else the
// line begins with the first number, and the label is 0.
Click parse_click(std::string_view line, uint32_t keys_per_category, std::string_view path,
                  int64_t number, bool has_label = true);
// Fills the views of click_spec().
void write_click(const Click& click, uint32_t keys_per_category, std::span<const RowView> out);

// The keys that `keys` possible ones leave each column. Throws Error{kInvalidArgument} for fewer
// than one or more than 2^32 − 1.
uint32_t keys_per_category(int64_t keys);

// The examples of click logs, 160 bytes each in memory. A value: copies share what both have read.
class ClickLog {
 public:
  explicit ClickLog(uint32_t keys_per_category) : keys_per_category_(keys_per_category) {}

  // Adds the file's examples, up to `limit` in all; -1: no limit. A file is read in pieces. Throws
  // Error{kNotFound} when it cannot be opened.
  void read(const std::string& path, int64_t limit = -1);

  int64_t size() const { return size_; }
  const Click& at(int64_t index) const {
    return (*blocks_[static_cast<size_t>(index / kBlock)])[static_cast<size_t>(index % kBlock)];
  }
  uint32_t keys_per_category() const { return keys_per_category_; }
  Dataset dataset() const;

 private:
  static constexpr int64_t kBlock = 4096;  // examples that are allocated together
  using Block = std::array<Click, kBlock>;
  void add(const Click& click);

  uint32_t keys_per_category_;
  int64_t size_ = 0;
  std::vector<std::shared_ptr<Block>> blocks_;
};

}  // namespace trireme::data

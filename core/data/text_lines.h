// The lines of text files as examples, by their numbers: blank lines are left out, and the rest is
// in memory. The rules are those of core/data/line_reader.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/dataset.h"

namespace trireme::data {

class TextLines {
 public:
  explicit TextLines(const std::vector<std::string>& paths);

  int64_t size() const { return static_cast<int64_t>(lines_.size()); }
  std::string_view at(int64_t index) const;
  std::string place(int64_t index) const;  // "file:17"

 private:
  struct Line {
    uint64_t begin;
    uint32_t length, file;
    int64_t number;  // in its file, from 1
  };
  std::vector<std::string> paths_;
  std::shared_ptr<const void> owner_;  // of the text
  const char* text_ = nullptr;
  std::vector<Line> lines_;
};

// "line": string [].
Dataset text_lines(const std::vector<std::string>& paths);

}  // namespace trireme::data

// The lines of a text file, plain or packed with gzip, read in pieces: memory holds a few lines,
// however large the file is. All readers of text formats read through it.
//
// The rules are those of core/base/text_file.h (line ends, byte order marks, NUL bytes) and of
// core/data/byte_stream.h (gzip). A line of more than `max_line` bytes is refused. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/data/byte_stream.h"

namespace trireme::data {

inline constexpr size_t kMaxLineBytes = size_t{16} << 20;

class LineReader {
 public:
  // A pipe is read as well: lines are read once.
  explicit LineReader(const std::string& path, size_t max_line = kMaxLineBytes);
  // The same for text in memory, which must outlive it; `name` is for messages.
  LineReader(std::string_view text, std::string_view name, size_t max_line = kMaxLineBytes);

  // The next line, without its end; it lasts until the next call. False when there are no more. A
  // line may be blank; a line end at the end of the file begins no other line.
  bool next(std::string_view& line);

  // Whole lines at once, as many as are read, each with LF as its end; the last line of the file
  // may have none. For formats whose fields may go over several lines. It lasts until the next
  // call; empty at the end of the file. No more than one line is kept behind it.
  std::string_view next_block();

  int64_t number() const { return number_; }  // of the line that was given last, from 1
  const std::string& name() const { return stream_.name(); }

  // Error{kDataLoss} "name:line:column: …" in the line that was given last.
  template <typename... Parts>
  Error error(size_t column, const Parts&... parts) const {
    return data_loss(name(), ':', number_, ':', column, ": ", parts...);
  }

 private:
  size_t find(char wanted, size_t from) const;
  bool fill();
  void skip_lf();
  void check(std::string_view line) const;

  ByteStream stream_;
  size_t max_line_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;  // of what is read and not yet given
  size_t lf_ = 0, cr_ = 0;      // the next ones at or behind begin_; end_ when there is none
  bool skip_lf_ = false;        // the last line ended with a CR: an LF behind it belongs to it
  int64_t number_ = 0;
};

// The whole of a short text, plain or packed, by the same rules, each line end as LF. Throws
// Error{kInvalidArgument} when it has more than `max_bytes`; `what` says what is expected: "a job
// file".
std::string read_text(const std::string& path, uint64_t max_bytes, std::string_view what);

}  // namespace trireme::data

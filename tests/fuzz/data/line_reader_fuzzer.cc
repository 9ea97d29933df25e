#include <string>

#include "core/base/text_file.h"
#include "core/data/line_reader.h"
#include "tests/fuzz/data/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = trireme::fuzz::text(data, size);
  // One rule, twice: the lines of the stream are those of the normalised text.
  if (!trireme::packed_with(text).empty()) return 0;
  std::string lines, whole, line_error, whole_error;
  try {
    trireme::data::LineReader reader(text, "fuzz");
    for (std::string_view line; reader.next(line);) {
      if (line.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos) std::abort();
      lines += std::string(line) + '\n';
    }
  } catch (const trireme::Error& error) {
    if (error.code() == trireme::ErrorCode::kInternal) std::abort();
    line_error = error.what();
  }
  try {
    whole = trireme::normalize_text(std::string(text), "fuzz");
  } catch (const trireme::Error& error) {
    if (error.code() == trireme::ErrorCode::kInternal) std::abort();
    whole_error = error.what();
  }
  if (line_error != whole_error) std::abort();
  if (!line_error.empty()) return 0;
  if (!whole.empty() && !whole.ends_with('\n')) whole += '\n';
  if (lines != whole) std::abort();
  return 0;
}

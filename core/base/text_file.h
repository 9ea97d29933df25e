// How every text that Trireme reads is understood, whatever its format.
//
//  - Lines end with LF, CR LF or CR, mixed as they like; the last one may have no end.
//  - A byte order mark of UTF-8 at the beginning is skipped and counts in no column. UTF-16 and
//    UTF-32 are refused by name.
//  - A NUL byte is refused with its line and column: a file that has one is no text.
//
// Lines and columns count from 1, columns in bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/base/input_stream.h"

namespace trireme {

// The length of the byte order mark with which `head` begins: 0 or 3. `head`: the first 4 bytes of
// a text, or all of a shorter one. Throws Error{kDataLoss} for marks of other encodings.
size_t byte_order_mark(std::string_view head, std::string_view name);

Error nul_byte_error(std::string_view name, int64_t line, size_t column);

// "xz" for bytes that begin as such a file does; also "gzip", "bzip2", "zstd", "zip". Else empty.
std::string_view packed_with(std::string_view head);

// The text of `bytes` as above, each line end as LF. Throws Error{kDataLoss}.
std::string normalize_text(std::string bytes, std::string_view name);

// A short text file by these rules, unpacked. Throws what read_whole() and normalize_text() throw.
std::string read_text_file(const std::string& path, uint64_t max_bytes, std::string_view what,
                           InputOptions options = {});

}  // namespace trireme

// LevelDB's table format: a sorted map from strings to strings in one file (LevelDB,
// doc/table_format.md). A tensor bundle's index is such a table.
//
// Written and read by LevelDB itself. LevelDB trusts the sizes in a table that it reads, so
// read_table first checks every block that can be reached: bounds, checksum, compression and
// unpacked size.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace trireme::io {

using Table = std::map<std::string, std::string, std::less<>>;

// The bytes of a table with these entries, uncompressed as TensorFlow writes it.
std::string build_table(const Table& entries);

// The entries of the table that `bytes` hold; `path` is for messages. Blocks may be compressed with
// snappy. Throws Error{kDataLoss} naming the file, the offset, what was expected and what was
// found.
Table read_table(const std::string& path, std::string_view bytes);

}  // namespace trireme::io

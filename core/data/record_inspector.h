// What `trireme inspect` prints of a TFRecord file: how many records of which sizes, and the
// features in them.
#pragma once

#include <string>

#include "core/io/inspect.h"

namespace trireme::data {

// Reads the whole file, and verifies every checksum.
std::string inspect_records(const std::string& path);

io::Inspector record_inspector();

}  // namespace trireme::data

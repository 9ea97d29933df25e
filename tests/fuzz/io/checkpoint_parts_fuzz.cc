// Any text as the manifest of a checkpoint in parts, with a checksum that fits so that all of the
// text is read: only a trireme::Error may come out, and what is accepted survives being written and
// read again.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/base/error.h"
#include "core/io/checkpoint_parts.h"
#include "core/io/crc32c.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace io = trireme::io;
  std::string text(reinterpret_cast<const char*>(data), size);
  char checksum[32];
  std::snprintf(checksum, sizeof checksum, "crc32c %08x\n", io::crc32c(text));
  text += checksum;
  try {
    const io::PartsManifest manifest = io::parse_manifest("manifest", text);
    if (io::parse_manifest("manifest", io::format_manifest(manifest)) != manifest) std::abort();
  } catch (const trireme::Error&) {
    // Refused, in reading or, for control characters, in writing.
  }
  return 0;
}

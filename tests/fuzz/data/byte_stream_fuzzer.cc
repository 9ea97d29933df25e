#include <cstring>
#include <string>

#include "core/data/byte_stream.h"
#include "tests/fuzz/data/fuzz.h"

namespace {

// What a stream gives in pieces of `piece` bytes, and the error with which it ends.
std::string outcome(std::span<const uint8_t> bytes, size_t piece) {
  std::string text;
  try {
    trireme::data::ByteStream stream(bytes, "fuzz");
    std::string buffer(piece, '\0');
    while (text.size() < (1 << 20)) {
      const size_t got = stream.read({reinterpret_cast<uint8_t*>(buffer.data()), piece});
      if (got > piece) std::abort();
      text.append(buffer, 0, got);
      if (got < piece) return text;
    }
    return text.substr(0, 1 << 20);
  } catch (const trireme::Error& error) {
    if (error.code() == trireme::ErrorCode::kInternal) std::abort();
    return error.what();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The size of the pieces may change nothing.
  if (outcome({data, size}, 1 << 16) != outcome({data, size}, 7)) std::abort();
  return 0;
}

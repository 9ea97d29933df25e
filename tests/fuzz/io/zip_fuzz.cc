// Any bytes as a zip archive: only a trireme::Error may come out of reading its members.
#include <cstdint>
#include <cstdlib>

#include "core/base/error.h"
#include "core/io/zip_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto only_errors = [](const auto& body) {
    try {
      body();
    } catch (const trireme::Error& error) {
      if (error.code() == trireme::ErrorCode::kInternal) std::abort();
    }
  };
  only_errors([&] {
    const trireme::io::ZipReader zip({data, size}, "fuzz");
    for (const auto& member : zip.members()) {
      only_errors([&] { (void)zip.read(member); });
      only_errors([&] {
        const auto bytes = zip.open(member);
        uint8_t last = 0;
        if (bytes->size() > 0) bytes->read(bytes->size() - 1, &last, 1);
      });
    }
  });
  return 0;
}

#include "core/data/gzip_file.h"
#include "tests/fuzz/data/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint64_t kLimit = 1 << 20;
  trireme::fuzz::only_user_errors([&] {
    if (trireme::data::unpack({data, size}, "fuzz", kLimit).size > kLimit) std::abort();
  });
  return 0;
}

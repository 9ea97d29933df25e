#include "core/data/idx.h"
#include "tests/fuzz/data/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const int rank : {1, 3}) {
    trireme::fuzz::only_user_errors([&] {
      const auto header = trireme::data::parse_idx({data, size}, rank, "fuzz");
      // What the header promises must be there.
      if (header.offset + static_cast<size_t>(header.shape.elements()) != size) std::abort();
    });
  }
  return 0;
}

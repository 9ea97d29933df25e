#include "core/data/idx.h"
#include "tests/fuzz/data/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const int rank : {1, 3}) {
    trireme::fuzz::only_user_errors([&] {
      const trireme::Tensor tensor = trireme::data::parse_idx({data, size}, rank, "fuzz");
      // What the header promises must be there; a packed file holds what it unpacks to.
      const bool packed = size >= 2 && data[0] == 0x1f && data[1] == 0x8b;
      const size_t header = 4 + 4 * static_cast<size_t>(rank);
      if (!packed && header + static_cast<size_t>(tensor.elements()) != size) std::abort();
    });
  }
  return 0;
}

#include "core/data/criteo.h"
#include "tests/fuzz/data/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint32_t kKeys = 100;
  trireme::fuzz::only_user_errors([&] {
    const auto click =
        trireme::data::parse_click(trireme::fuzz::text(data, size), kKeys, "fuzz", 1);
    for (const uint32_t key : click.keys) {
      if (key >= kKeys) std::abort();
    }
  });
  return 0;
}

#include "core/data/text.h"
#include "tests/fuzz/data/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  trireme::fuzz::only_user_errors([&] {
    const auto examples =
        trireme::data::parse_labeled_text(trireme::fuzz::text(data, size), 3, "fuzz");
    float out[17];
    for (int64_t i = 0; i < examples.size(); ++i)
      trireme::data::multi_hot(examples.example(i), out);
  });
  return 0;
}

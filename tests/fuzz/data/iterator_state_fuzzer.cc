#include <cstdio>
#include <string>

#include "core/base/philox.h"
#include "core/data/dataset.h"
#include "tests/fuzz/data/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  static const data::Dataset dataset =
      data::from_tensors({Tensor::zeros(DType::kInt64, {10})}, {"id"})
          .shuffle(1)
          .repeat()
          .shard(3, 1)
          .batch(4);
  data::Iterator iterator = dataset.iterator();
  const auto restore = [&](std::string_view state) {
    fuzz::only_user_errors([&] {
      iterator.restore(state);
      data::Element batch;
      iterator.next(batch);
    });
  };
  const std::string_view text = fuzz::text(data, size);
  restore(text);
  // No mutator guesses a check sum: with the right one around it, the rest is reached too.
  std::string signed_state = "trireme-iterator-1 position=";
  const std::string own = iterator.state();
  signed_state += std::string(text.substr(0, 40)) + own.substr(own.find(" epoch="));
  signed_state.resize(signed_state.rfind(" check="));
  char check[32];
  std::snprintf(check, sizeof check, " check=%llx",
                static_cast<unsigned long long>(hash_name(signed_state)));
  restore(signed_state + check);
  return 0;
}

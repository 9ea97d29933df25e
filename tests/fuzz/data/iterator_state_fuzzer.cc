#include <algorithm>
#include <cstdio>
#include <string>

#include "core/base/philox.h"
#include "core/data/dataset.h"
#include "tests/fuzz/data/fuzz.h"

namespace {

using namespace trireme;

// Restores `state` and reads on.
void restore(const data::Dataset& dataset, std::string_view state) {
  data::Iterator iterator = dataset.iterator();
  fuzz::only_user_errors([&] {
    iterator.restore(state);
    data::Element batch;
    iterator.next(batch);
  });
}

// No mutator guesses a check sum.
std::string with_check_sum(std::string state) {
  char check[32];
  std::snprintf(check, sizeof check, " check=%llx",
                static_cast<unsigned long long>(hash_name(state)));
  return state + check;
}

data::Dataset streams() {
  const auto keep = [](const data::Element& e) { return e[0].item<int64_t>() % 3 != 0; };
  const auto expand = [](const data::Element& e) { return data::range(0, e[0].item<int64_t>()); };
  return data::range(0, 30)
      .shuffle(1)
      .filter(keep)
      .interleave(expand, {{"value", DType::kInt64, {}}}, {.cycle_length = 2})
      .shuffle(2, 8)
      .window({.size = 2, .shift = 3})
      .unbatch()
      .scan({Tensor::from<int64_t>({2}, {0, 0})}, [](data::Element&, data::Element&) {})
      .group_by_window({.key = [](const data::Element& e) { return e[0].item<int64_t>() % 4; },
                        .window_size = [](int64_t) { return 3; }});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const data::Dataset index =
      data::from_tensors({Tensor::zeros(DType::kInt64, {10})}, {"id"})
          .shuffle(1)
          .repeat()
          .shard(3, 1)
          .batch(4);
  static const data::Dataset stream = streams();
  const std::string_view text = fuzz::text(data, size);
  restore(index, text);
  // With the right check sum around it, the rest is reached too.
  const std::string own = index.iterator().state();
  std::string state = "trireme-iterator-1 position=" + std::string(text.substr(0, 40)) +
                      own.substr(own.find(" epoch="));
  restore(index, with_check_sum(state.substr(0, state.rfind(" check="))));
  // The places of streams: numbers of the input, a byte each.
  state = stream.iterator().state();
  state = state.substr(0, state.rfind(" check=")) + " place=1,0,5,0";
  for (const char c : text.substr(0, std::min<size_t>(text.size(), 200))) {
    state += "," + std::to_string(static_cast<int>(static_cast<signed char>(c)));
  }
  restore(stream, with_check_sum(state));
  return 0;
}

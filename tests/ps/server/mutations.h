// Valid messages of the wire format with one thing wrong: each number takes the values at which
// arithmetic and indices go wrong, and each message is cut and made longer.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "ps/protocol/wire.h"
#include "tests/support/mutated_message.h"

namespace trireme::ps::testing {

using trireme::testing::boundary_values;
using trireme::testing::mutate_fields;

using Visit = std::function<void(const std::vector<std::byte>&)>;

// Numbers of `width` bytes in [begin, end) of the message.
inline void mutate_numbers(const std::vector<std::byte>& message, size_t begin, size_t end,
                           size_t width, const Visit& visit) {
  for (size_t at = begin; at + width <= std::min(end, message.size()); at += width) {
    for (const int64_t value : boundary_values()) {
      std::vector<std::byte> bytes = message;
      std::memcpy(bytes.data() + at, &value, width);
      if (bytes != message) visit(bytes);
    }
    // No number at all, where it is one of floating point.
    std::vector<std::byte> bytes = message;
    const double none = std::numeric_limits<double>::quiet_NaN();
    const auto none_f = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(bytes.data() + at, width == 8 ? static_cast<const void*>(&none) : &none_f, width);
    visit(bytes);
  }
}

// Shorter and longer than it says.
inline void mutate_length(const std::vector<std::byte>& message, const Visit& visit) {
  for (const size_t cut : {size_t{1}, size_t{4}, size_t{8}, size_t{40}, message.size() / 2}) {
    if (cut == 0 || cut > message.size()) continue;
    visit({message.begin(), message.end() - static_cast<std::ptrdiff_t>(cut)});
  }
  for (const size_t more : {1, 7, 8, 64}) {
    std::vector<std::byte> bytes = message;
    bytes.resize(bytes.size() + more, std::byte{0x5a});
    visit(bytes);
  }
}

}  // namespace trireme::ps::testing

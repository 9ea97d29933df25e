// Bytes, and what keeps them alive.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace trireme {

struct OwnedBytes {
  std::shared_ptr<const void> owner;
  std::span<const std::byte> bytes;
};

}  // namespace trireme

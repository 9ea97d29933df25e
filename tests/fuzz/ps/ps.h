// What the targets of this folder share: a message that begins at a multiple of 8, as the
// transports give it, and with nothing behind its end that could be read by mistake.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "ps/protocol/rpc.h"

namespace trireme::fuzz {

inline ps::Message aligned_message(const uint8_t* data, size_t size) {
  std::shared_ptr<std::byte> memory(static_cast<std::byte*>(::operator new(size)),
                                    [](std::byte* begin) { ::operator delete(begin); });
  if (size > 0) std::memcpy(memory.get(), data, size);
  const std::span<const std::byte> view(memory.get(), size);
  return {std::move(memory), view};
}

}  // namespace trireme::fuzz

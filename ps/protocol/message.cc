#include <utility>

#include "ps/protocol/rpc.h"

namespace trireme::ps {

size_t OutMessage::bytes() const {
  size_t sum = 0;
  for (const Message& piece : pieces) sum += piece.bytes.size();
  return sum;
}

Message own(std::vector<std::byte> bytes) {
  auto owner = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  const std::span<const std::byte> view = *owner;
  return {std::move(owner), view};
}

}  // namespace trireme::ps

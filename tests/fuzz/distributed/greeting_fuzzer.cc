// The greeting: whatever a peer sends, in whatever pieces, nobody who does not know the secret
// passes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "distributed/connection/greeting.h"

namespace {

// The first byte says how the rest is cut.
void feed(trireme::Greeting& greeting, const uint8_t* data, size_t size) {
  const size_t cut = size == 0 ? 1 : 1 + data[0];
  for (size_t at = 1; at < size;) {
    greeting.sent(greeting.outgoing().size());
    const auto room = greeting.room();
    if (room.empty()) break;
    const size_t part = std::min({cut, room.size(), size - at});
    std::memcpy(room.data(), data + at, part);
    greeting.received(part);
    at += part;
  }
  if (greeting.state() == trireme::Greeting::State::kWelcome) std::abort();
  for (const char c : greeting.sentence()) {
    if (c < 0x20 || c > 0x7E) std::abort();  // it is printed
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  trireme::GreetingServer server("0123456789abcdef", "job");
  feed(server, data, size);
  trireme::GreetingClient client("0123456789abcdef", "job");
  feed(client, data, size);
  return 0;
}

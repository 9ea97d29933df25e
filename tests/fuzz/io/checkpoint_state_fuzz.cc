// Any text as the file `checkpoint`: only a trireme::Error may come out, and what is accepted
// survives being written and read again.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/base/error.h"
#include "core/io/checkpoint_state.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace io = trireme::io;
  const std::string text(reinterpret_cast<const char*>(data), size);
  io::CheckpointState state;
  try {
    state = io::parse_checkpoint_state("checkpoint", text);
  } catch (const trireme::Error&) {
    return 0;
  }
  const io::CheckpointState again =
      io::parse_checkpoint_state("checkpoint", io::format_checkpoint_state(state));
  if (again.latest != state.latest || again.all != state.all) std::abort();
  return 0;
}

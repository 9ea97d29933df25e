#include "worker/broadcast_bytes.h"

#include <cstring>

namespace trireme {

void broadcast_bytes(Communicator& communicator, int source, void* data, size_t bytes,
                     const std::string& what) {
  // Bytes travel as i32; the rest after the last whole one in another.
  const size_t whole = bytes / sizeof(int32_t), rest = bytes % sizeof(int32_t);
  communicator.set_label(what, 0);
  communicator.broadcast({data, static_cast<int64_t>(whole), DType::kInt32}, source);
  if (rest == 0) return;
  int32_t last = 0;
  char* const tail = static_cast<char*>(data) + whole * sizeof(int32_t);
  std::memcpy(&last, tail, rest);
  communicator.set_label(what, 0);
  communicator.broadcast({&last, 1, DType::kInt32}, source);
  std::memcpy(tail, &last, rest);
}

void broadcast_text(Communicator& communicator, int source, std::string& text,
                    const std::string& what) {
  auto size = static_cast<int64_t>(text.size());
  communicator.set_label(what, 0);
  communicator.broadcast({&size, 1, DType::kInt64}, source);
  text.resize(static_cast<size_t>(size));
  broadcast_bytes(communicator, source, text.data(), text.size(), what);
}

}  // namespace trireme

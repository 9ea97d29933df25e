// Any bytes as an event file: only a trireme::Error may come out of reading it.
//
// Twice: as they are, and with checksums that fit, which no mutation finds.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "core/base/error.h"
#include "core/io/crc32c.h"
#include "core/io/event_inspector.h"
#include "core/io/event_reader.h"

namespace {

namespace io = trireme::io;

std::string with_checksums(std::string bytes) {
  const auto put = [&](size_t at, size_t begin, size_t count) {
    const uint32_t crc = io::mask_crc(io::crc32c({bytes.data() + begin, count}));
    std::memcpy(bytes.data() + at, &crc, 4);
  };
  for (size_t at = 0; bytes.size() - at >= 16;) {
    uint64_t length;
    std::memcpy(&length, &bytes[at], 8);
    put(at + 8, at, 8);
    if (length > bytes.size() - at - 16) break;
    put(at + 12 + static_cast<size_t>(length), at + 12, static_cast<size_t>(length));
    at += 16 + static_cast<size_t>(length);
  }
  return bytes;
}

template <typename Body>
void only_user_errors(const Body& body) {
  try {
    body();
  } catch (const trireme::Error& error) {
    if (error.code() == trireme::ErrorCode::kInternal) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string folder = [] {
    std::string name = "/tmp/fuzz-events-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    return name;
  }();
  const std::string path = folder + "/events.out.tfevents.0000000001.fuzz";
  const std::string given(reinterpret_cast<const char*>(data), size);
  for (const std::string& bytes : {given, with_checksums(given)}) {
    std::string tag;
    only_user_errors([&] {
      io::EventReader reader(bytes, "fuzz", 1 << 20);
      for (io::Event event; reader.next(event);) {
        if (event.kind != io::Event::Kind::kSummary) continue;
        io::EventValues values(event.body);
        for (io::EventValue value; values.next(value);) {
          value.scalar();
          tag = value.tag;
          only_user_errors([&] { io::parse_event_tensor(value.tensor); });
        }
      }
      if (reader.tail_bytes() > bytes.size()) std::abort();
    });
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    only_user_errors([&] { io::event_inspector().print(path); });
    only_user_errors([&] {
      std::ostringstream csv;
      io::print_tag(path, tag, csv);
    });
    only_user_errors([&] { io::read_scalars(folder); });
  }
  return 0;
}

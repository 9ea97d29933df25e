// Any bytes as a tensor bundle: only a trireme::Error may come out of reading it.
//
// The first byte chooses what the index is made of, since no mutation finds a checksum by chance:
//   0: the bytes as they are, for the table's frame;
//   1: a valid table of entries that are cut from the input, for their contents;
//   2: an index block and a data block of any bytes under right checksums and a right footer, for
//   LevelDB.
// The second says how long the data file is; it comes next, then the index.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/base/error.h"
#include "core/io/checkpoint.h"
#include "core/io/crc32c.h"
#include "core/io/inspect.h"
#include "core/io/sorted_table.h"
#include "core/io/varint.h"

namespace {

namespace io = trireme::io;

void write(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

void read_all(const std::string& prefix) {
  try {
    const io::BundleReader reader(prefix);
    for (const std::string& name : reader.names()) {
      try {
        reader.read(name);
      } catch (const trireme::Error&) {
      }
    }
    io::inspect(prefix);
  } catch (const trireme::Error&) {
  }
}

// Takes up to `size` bytes from the front.
std::string_view take(std::string_view& input, size_t size) {
  const std::string_view part = input.substr(0, size);
  input.remove_prefix(part.size());
  return part;
}

size_t take_byte(std::string_view& input) {
  const std::string_view byte = take(input, 1);
  return byte.empty() ? 0 : static_cast<unsigned char>(byte[0]);
}

std::string table_of_entries(std::string_view input) {
  io::Table table;
  while (!input.empty()) {
    const std::string key(take(input, take_byte(input) % 32));
    table[key] = take(input, take_byte(input));
  }
  return io::build_table(table);
}

std::string with_trailer(std::string_view block, size_t compression) {
  std::string bytes(block);
  bytes += static_cast<char>(compression);
  const uint32_t crc = io::mask_crc(io::crc32c(bytes));
  return bytes.append(reinterpret_cast<const char*>(&crc), 4);
}

std::string table_of_blocks(std::string_view input) {
  const size_t compression = take_byte(input) % 2;
  const std::string_view index = take(input, take_byte(input));
  std::string bytes = with_trailer(input, compression);  // the data block, at byte 0
  std::string footer;
  for (int handle = 0; handle < 2; ++handle) {  // both are the index block
    io::append_varint(footer, bytes.size());
    io::append_varint(footer, index.size());
  }
  bytes += with_trailer(index, 0);
  footer.resize(40);
  return bytes + footer + "\x57\xfb\x80\x8b\x24\x75\x47\xdb";
}

// In memory, so that the disk does not set the pace; removed at exit.
class Directory {
 public:
  Directory()
      : path_(std::filesystem::exists("/dev/shm") ? "/dev/shm/fuzz-bundle-XXXXXX"
                                                  : "/tmp/fuzz-bundle-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Directory directory;
  const std::string prefix = directory.path() + "/m";
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t mode = take_byte(input) % 3;
  write(io::shard_path(prefix, 0, 1), take(input, take_byte(input)));
  write(io::index_path(prefix), mode == 0   ? std::string(input)
                                : mode == 1 ? table_of_entries(input)
                                            : table_of_blocks(input));
  read_all(prefix);
  return 0;
}

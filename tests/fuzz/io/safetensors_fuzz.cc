// Any bytes as a safetensors file: only a trireme::Error may come out of reading it. The first byte
// says whether the rest is the whole file, or a header and data whose length is put before them.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/base/error.h"
#include "core/io/safetensors.h"

namespace {

// In memory, so that the disk does not set the pace; removed at exit.
class File {
 public:
  File()
      : path_(std::filesystem::exists("/dev/shm") ? "/dev/shm/fuzz-st-XXXXXX"
                                                  : "/tmp/fuzz-st-XXXXXX") {
    const int fd = ::mkstemp(path_.data());
    if (fd < 0) std::abort();
    ::close(fd);
  }
  ~File() { ::unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace trireme;
  static const File file;
  if (size == 0) return 0;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 4 != 0) {
    const size_t end = bytes.rfind('}');
    const uint64_t header = end == std::string::npos ? bytes.size() : end + 1;
    bytes.insert(0, reinterpret_cast<const char*>(&header), sizeof(header));
  }
  std::ofstream(file.path(), std::ios::binary | std::ios::trunc) << bytes;
  io::is_safetensors(file.path());
  try {
    const io::SafetensorsReader reader(file.path());
    uint64_t total = 0;
    for (const auto& [name, tensor] : reader.read_all()) total += tensor.bytes();
    if (total > size) std::abort();  // every byte was there
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) std::abort();
  }
  return 0;
}

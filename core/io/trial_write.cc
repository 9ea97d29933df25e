#include "core/io/trial_write.h"

#include <sys/statvfs.h>

#include <filesystem>

#include "core/io/atomic_file.h"

namespace trireme::io {

void trial_write(const std::string& directory) {
  // More than what a full disk may still have in blocks that are partly used.
  constexpr size_t kBytes = 64 * 1024;
  create_directories(directory);
  AtomicFile file((std::filesystem::path(directory) / "trial").string());
  file.append(std::string(kBytes, '\0'));
  file.sync();
}

std::optional<uint64_t> free_bytes(const std::string& directory) {
  struct statvfs info;
  // Some network file systems report nothing.
  if (::statvfs(directory.c_str(), &info) != 0 || info.f_blocks == 0) return std::nullopt;
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
}

}  // namespace trireme::io

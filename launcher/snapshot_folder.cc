#include "launcher/snapshot_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "core/base/error.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "snapshots-";

// Of the file whose lock says that a launcher still uses the folder; −1: another one has it, or it
// cannot be made.
int try_lock(const fs::path& folder) {
  const int fd = open((folder / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -1;
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  ::close(fd);
  return -1;
}

void remove_left_behind(const std::string& logs) {
  std::error_code error;
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(logs, error)) {
    const bool is_folder = entry.is_directory(error) && !entry.is_symlink(error);
    if (is_folder && entry.path().filename().string().starts_with(kPrefix)) {
      folders.push_back(entry.path());
    }
  }
  for (const fs::path& folder : folders) {
    const int lock = try_lock(folder);
    if (lock < 0) continue;
    fs::remove_all(folder, error);
    ::close(lock);
  }
}

}  // namespace

SnapshotFolder::SnapshotFolder(const std::string& logs, const std::string& name)
    : path_((fs::path(logs) / (kPrefix + name)).string()) {
  remove_left_behind(logs);
  std::error_code error;
  fs::create_directories(path_, error);
  lock_ = error ? -1 : try_lock(path_);
  if (lock_ >= 0) return;
  throw invalid_argument("cannot make the folder of the servers' snapshots ", path_, ": ",
                         error ? error.message() : std::strerror(errno));
}

SnapshotFolder::~SnapshotFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  ::close(lock_);
}

}  // namespace trireme

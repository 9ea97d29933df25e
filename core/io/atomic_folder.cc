#include "core/io/atomic_folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "core/base/error.h"
#include "core/io/atomic_file.h"

namespace trireme::io {
namespace {

namespace fs = std::filesystem;

std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

AtomicFolder::AtomicFolder(std::string path,
                           const std::function<bool(const std::string&)>& may_replace)
    : path_(without_slashes(std::move(path))) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path_, error);
  if (fs::exists(status)) {
    if (!fs::is_directory(status)) {
      throw invalid_argument(path_, ": expected a folder or nothing there, found a file");
    }
    if (!fs::is_empty(path_, error) && !may_replace(path_)) {
      throw invalid_argument(path_,
                             ": expected nothing there, an empty folder or what was written ",
                             "there before in this format, found a folder with other files");
    }
  }
  create_directories(directory_of(path_));
  // Of a name that nobody gives to a folder of their own.
  temporary_ = path_ + ".trireme-partial";
  fs::remove_all(temporary_, error);
  fs::create_directory(temporary_, error);
  if (error) throw failed("cannot create ", temporary_, ": ", error.message());
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

void AtomicFolder::commit() {
  for (const auto& entry : fs::recursive_directory_iterator(temporary_)) {
    if (entry.is_directory()) sync_directory(entry.path());
  }
  sync_directory(temporary_);
  const auto renamed = [&](unsigned flags) {
    return ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), flags) == 0;
  };
  // What was there, if it has files, is then under the temporary name, and removed.
  const bool is_exchanged = fs::exists(path_) && renamed(RENAME_EXCHANGE);
  if (!is_exchanged && !renamed(0)) {
    throw failed("cannot rename ", temporary_, " to ", path_, ": ",
                 std::system_category().message(errno));
  }
  sync_directory(directory_of(path_));
  if (!is_exchanged) temporary_.clear();
}

}  // namespace trireme::io

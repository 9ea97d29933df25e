#include "core/io/input_file.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/base/input_stream.h"
#include "core/tensor/mapped_buffer.h"

namespace trireme::io {
namespace {

ErrorCode code_of(int error_number) {
  switch (error_number) {
    case ENOENT:
      return ErrorCode::kNotFound;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
      return ErrorCode::kResourceExhausted;
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOTDIR:
    case EISDIR:
    case ENAMETOOLONG:
      return ErrorCode::kInvalidArgument;
    default:
      return ErrorCode::kFailed;
  }
}

// " (1.5 MiB free there)", or nothing where the system does not say.
std::string free_space(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  struct statvfs info;
  if (statvfs(parent.empty() ? "." : parent.c_str(), &info) != 0) return "";
  const uint64_t bytes = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  return str_cat(" (", bytes / 1024, " KiB free there)");
}

}  // namespace

Error file_error(std::string_view action, const std::string& path, int error_number) {
  std::string message =
      str_cat(path, ": cannot ", action, ": ", std::generic_category().message(error_number));
  const ErrorCode code = code_of(error_number);
  if (error_number == ENOSPC || error_number == EDQUOT) {
    message += free_space(path) + "; free some space or choose another directory";
  } else if (error_number == EFBIG) {
    message += free_space(path) + "; raise the limit on file sizes (ulimit -f)";
  }
  return {code, message};
}

std::string quote_name(std::string_view name) {
  constexpr size_t kLongest = 200;
  std::string text = "\"";
  for (char c : name.substr(0, kLongest)) {
    text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return text + (name.size() > kLongest ? "…\"" : "\"");
}

InputFile::InputFile(std::string path)
    : path_(std::move(path)), fd_(open_input(path_, /*pipes=*/false)) {
  struct stat info;
  const int error_number = ::fstat(fd_, &info) == 0 ? 0 : errno;
  if (error_number != 0) {
    ::close(fd_);
    throw file_error("read it", path_, error_number);
  }
  size_ = static_cast<uint64_t>(info.st_size);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}

InputFile::~InputFile() {
  if (fd_ >= 0) ::close(fd_);
}

void InputFile::read(uint64_t offset, void* data, size_t size) const {
  auto* out = static_cast<char*>(data);
  for (size_t done = 0; done < size;) {
    const ssize_t n = ::pread(fd_, out + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw file_error(str_cat("read byte ", offset + done), path_, errno);
    if (n == 0) {
      throw data_loss(path_, ": expected ", size, " bytes from byte ", offset,
                      ", the file ends at byte ", offset + done);
    }
    done += static_cast<size_t>(n);
  }
}

std::shared_ptr<MappedBuffer> InputFile::map(uint64_t offset, size_t size) const {
  return size == 0 ? nullptr : MappedBuffer::map(fd_, offset, size);
}

std::string read_file(const std::string& path, uint64_t max_bytes) {
  InputFile file(path);
  if (file.size() > max_bytes) {
    throw data_loss(path, ": expected at most ", max_bytes, " bytes, the file has ", file.size());
  }
  std::string bytes(file.size(), '\0');
  file.read(0, bytes.data(), bytes.size());
  return bytes;
}

}  // namespace trireme::io

#include "worker/survivor.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <thread>

#include "core/base/logging.h"

namespace trireme {
namespace {

constexpr std::chrono::seconds kTurn{60};
constexpr std::chrono::milliseconds kLook{20};

}  // namespace

Survivor::~Survivor() {
  if (lock_ >= 0) ::close(lock_);
}

void Survivor::take_over(const std::string& checkpoints, std::optional<Error> cause) noexcept {
  if (alone_) return;
  alone_ = true;
  cause_ = std::move(cause);
  std::error_code ignored;
  std::filesystem::create_directories(checkpoints, ignored);
  const std::string path = checkpoints + "/.survivor";
  lock_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  const auto deadline = std::chrono::steady_clock::now() + kTurn;
  while (lock_ >= 0 && ::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) break;  // a file system without locks
    if (std::chrono::steady_clock::now() >= deadline) {
      log_warning(str_cat(path, ": another survivor has been saving for ", kTurn.count(), " s"));
      break;
    }
    std::this_thread::sleep_for(kLook);
  }
}

Error Survivor::end(const std::string& what_was_saved) const {
  return {cause_->code(), str_cat(cause_->what(), "; ", what_was_saved)};
}

}  // namespace trireme

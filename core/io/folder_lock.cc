#include "core/io/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <optional>
#include <thread>
#include <utility>

#include "core/base/log_file.h"
#include "core/base/logging.h"
#include "core/base/thread_annotations.h"
#include "core/io/input_file.h"
#include "core/io/lock_holder.h"

namespace trireme::io {
namespace {

using std::chrono::milliseconds;

constexpr char kName[] = "/.trireme.lock";

// Closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Descriptor() { reset(); }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

std::string read_all(int fd) {
  std::array<char, 4096> bytes{};
  const ssize_t size = ::pread(fd, bytes.data(), bytes.size(), 0);
  return size > 0 ? std::string(bytes.data(), static_cast<size_t>(size)) : "";
}

bool is_same_file(int fd, const std::string& path) {
  struct stat open {
  }, named{};
  return ::fstat(fd, &open) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         open.st_ino == named.st_ino && open.st_dev == named.st_dev;
}

// Where the file system does not know flock: kUnknown.
enum class Flock { kTaken, kBusy, kUnknown };

Flock try_flock(int fd) {
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return Flock::kBusy;
    if (errno != EINTR) return Flock::kUnknown;
  }
  return Flock::kTaken;
}

milliseconds age_of(const struct stat& file, const struct stat& now) {
  const auto ms = [](const timespec& t) {
    return milliseconds(int64_t{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000);
  };
  return ms(now.st_mtim) - ms(file.st_mtim);
}

}  // namespace

class FolderLock::Impl {
 public:
  Impl(const std::string& folder, FolderLockOptions options)
      : folder_(folder),
        path_(folder + kName),
        options_(std::move(options)),
        self_(LockHolder::this_process(options_.job)) {
    {
      const MutexLock lock(mutex_);
      if (const auto holder = try_take()) throw invalid_argument(*holder);
    }
    // Signals are for the threads that wait for them.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    renewal_ = std::thread([this] { renew(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_setname_np(renewal_.native_handle(), "folder-lock");
  }

  ~Impl() {
    {
      const MutexLock lock(mutex_);
      ending_ = true;
    }
    wake_.notify_all();
    renewal_.join();
    const MutexLock lock(mutex_);
    if (file_ && is_same_file(file_.get(), path_)) ::unlink(path_.c_str());
  }

  void check() {
    const MutexLock lock(mutex_);
    look();
    if (!lost_.empty()) throw failed(lost_);
  }

 private:
  // Takes the lock or shares it. Returns the sentence about the holder when another job has it.
  std::optional<std::string> try_take() REQUIRES(mutex_) {
    // A file that is whole before it has the name: nobody reads half of it.
    std::string temporary;
    Descriptor mine = make_file(temporary);
    const auto remove = [&] { ::unlink(temporary.c_str()); };
    for (int attempt = 0;; ++attempt) {
      if (::link(temporary.c_str(), path_.c_str()) == 0) {
        remove();
        return hold(std::move(mine));
      }
      // Where there are no hard links, the file is made in place; then it may be seen empty.
      if (errno != EEXIST) {
        Descriptor made(
            ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
        const std::string text = self_.text();
        if (made && write_all(made.get(), text.data(), text.size())) {
          remove();
          try_flock(made.get());
          return hold(std::move(made));
        }
      }
      if (errno != EEXIST || attempt > 100) {
        const Error error = file_error("make the lock", path_, errno);
        remove();
        throw Error(error);
      }
      Descriptor old(::open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
      if (!old && errno == EACCES) {
        old.reset(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
      }
      if (!old && errno == ENOENT) continue;  // given up meanwhile
      if (!old) {
        const Error error = file_error("read the lock", path_, errno);
        remove();
        throw Error(error);
      }
      const Flock state = try_flock(old.get());
      if (state == Flock::kTaken && !is_same_file(old.get(), path_)) continue;
      const LockHolder holder = LockHolder::parse(read_all(old.get()));
      struct stat written {
      }, now{};
      ::fstat(old.get(), &written);
      ::fstat(mine.get(), &now);  // by the clock that stamped both files
      const milliseconds age = age_of(written, now);
      if (state == Flock::kBusy || is_alive(holder, state, age)) {
        remove();
        if (!self_.job.empty() && holder.job == self_.job) {
          file_.reset();
          return std::nullopt;
        }
        return sentence(holder, state, age);
      }
      if (::rename(temporary.c_str(), path_.c_str()) != 0) {
        const Error error = file_error("replace the lock", path_, errno);
        remove();
        throw Error(error);
      }
      if (self_.job.empty() || holder.job != self_.job) {
        log_warning(
            str_cat(folder_, ": took over the lock of ", holder.name(), ": that process is gone"));
      }
      return hold(std::move(mine));
    }
  }

  std::optional<std::string> hold(Descriptor file) REQUIRES(mutex_) {
    file_ = std::move(file);
    return std::nullopt;
  }

  Descriptor make_file(std::string& name) const {
    static std::atomic<uint64_t> counter{0};
    name = str_cat(path_, ".tmp-", ::getpid(), "-", counter++);
    ::unlink(name.c_str());  // of a process that had this number before
    Descriptor file(::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    const std::string text = self_.text();
    if (!file || !write_all(file.get(), text.data(), text.size())) {
      const Error error = file_error("make a lock in the folder", folder_, errno);
      ::unlink(name.c_str());
      throw Error(error);
    }
    try_flock(file.get());
    return file;
  }

  // Of a holder that has no flock on the file that we could see.
  bool is_alive(const LockHolder& holder, Flock state, milliseconds age) const {
    if (holder.is_of_same_namespace(self_)) return holder.runs();
    if (holder.is_of_same_host(self_) && state == Flock::kTaken) return false;
    return age < options_.lease;
  }

  std::string sentence(const LockHolder& holder, Flock state, milliseconds age) const {
    const bool only_lease = state != Flock::kBusy && !holder.is_of_same_host(self_);
    const auto seconds = [](milliseconds ms) { return std::max<int64_t>(0, ms.count() / 1000); };
    return str_cat(folder_, ": another training writes to this folder: ", holder.name(),
                   only_lease ? str_cat(", last seen ", seconds(age),
                                        " s ago (if it is gone, its lock ends in ",
                                        seconds(options_.lease - age) + 1, " s)")
                              : "",
                   "; wait for its end, or choose another folder with --output-dir");
  }

  void renew() {
    const MutexLock lock(mutex_);
    while (true) {
      const auto next = std::chrono::steady_clock::now() + options_.renewal;
      while (!ending_ && wake_.wait_until(mutex_, next)) {
      }
      if (ending_) return;
      look();
      if (file_) ::futimens(file_.get(), nullptr);
    }
  }

  // Whether the lock is still this job's; takes it when nobody has it.
  void look() REQUIRES(mutex_) {
    if (!lost_.empty() || (file_ && is_same_file(file_.get(), path_))) return;
    try {
      if (const auto holder = try_take()) {
        lost_ = str_cat(*holder, ". It took the lock while this process did not run, so this one ",
                        "ends without writing more");
        file_.reset();
      }
    } catch (const Error& error) {
      // The folder may be away for a while; what is written there says more.
      log_warning(error.what());
    }
  }

  const std::string folder_, path_;
  const FolderLockOptions options_;
  const LockHolder self_;
  Mutex mutex_;
  ConditionVariable wake_;
  bool ending_ GUARDED_BY(mutex_) = false;
  // Nothing: a process of the same job has the lock.
  Descriptor file_ GUARDED_BY(mutex_);
  // Why this process may not write any more; empty: it may.
  std::string lost_ GUARDED_BY(mutex_);
  std::thread renewal_;
};

FolderLock::FolderLock(const std::string& folder, FolderLockOptions options)
    : impl_(std::make_unique<Impl>(folder, std::move(options))) {}
FolderLock::~FolderLock() = default;

void FolderLock::check() const { impl_->check(); }

}  // namespace trireme::io

#include "core/io/event_file.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <deque>
#include <filesystem>
#include <limits>
#include <map>
#include <thread>

#include "core/base/logging.h"
#include "core/base/thread_annotations.h"
#include "core/io/atomic_file.h"
#include "core/io/event_reader.h"
#include "core/io/event_records.h"
#include "core/io/input_file.h"
#include "core/io/record_framing.h"
#include "core/io/varint.h"

namespace trireme::io {
namespace {

namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::seconds(60);  // with a disk that takes nothing
constexpr size_t kQueuedBytes = size_t{64} << 20;
constexpr size_t kWriteAt = size_t{4} << 20;  // so much is written before it is time

double seconds_since_1970() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// "events.out.tfevents.": ten digits, so that names sort by time.
constexpr std::string_view kPrefix = "events.out.tfevents.";

int64_t newest_second(const std::string& folder) {
  int64_t newest = 0;
  for (const std::string& path : event_files(folder)) {
    const std::string name = fs::path(path).filename();
    if (name.starts_with(kPrefix)) {
      newest = std::max<int64_t>(newest, std::atoll(name.c_str() + kPrefix.size()));
    }
  }
  return newest;
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

void append_event(std::string& out, double wall_time, int64_t step, std::string_view what) {
  out += '\x09';
  out.append(reinterpret_cast<const char*>(&wall_time), sizeof wall_time);
  if (step != 0) {
    out += '\x10';
    append_varint(out, static_cast<uint64_t>(step));
  }
  out += what;
}

}  // namespace

class EventWriter::Impl : public std::enable_shared_from_this<EventWriter::Impl> {
 public:
  Impl(const std::string& folder, EventWriterOptions options) : options_(std::move(options)) {
    create_directories(folder);
    open(folder);
    queue_.reserve(options_.queue_scalars);
    taken_.reserve(options_.queue_scalars);
    write_event(0, version_record());
    if (options_.start) go_on(folder, *options_.start);
    if (!pending_.empty() && !write_pending()) throw Error(*error_);
  }
  ~Impl() {
    if (fd_ >= 0) ::close(fd_);
  }

  // The thread keeps the object alive.
  void start() {
    // Signals are for the threads that wait for them.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    thread_ = std::thread([self = shared_from_this()] { self->run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_setname_np(thread_.native_handle(), "events");
  }

  const std::string& path() const { return path_; }

  Tag tag(std::string_view name, std::string_view description) EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    if (const auto found = tags_.find(name); found != tags_.end()) return found->second;
    const Tag tag = static_cast<Tag>(texts_.size());
    tags_.emplace(std::string(name), tag);
    texts_.push_back({scalar_record_prefix(name, description, true),
                      scalar_record_prefix(name, description, false), false});
    return tag;
  }

  void scalars(int64_t step, std::span<const Scalar> values) EXCLUDES(mutex_) {
    const double now = seconds_since_1970();
    const MutexLock lock(mutex_);
    if (ended_) return;
    for (const Scalar& value : values) {
      if (queue_.size() == options_.queue_scalars && !wait_for_room()) return;
      queue_.push_back({now, step, value.tag, value.value});
      if (queue_.size() == options_.queue_scalars / 2) wake_.notify_one();
    }
  }

  void add(int64_t step, std::string what) EXCLUDES(mutex_) {
    const double now = seconds_since_1970();
    const MutexLock lock(mutex_);
    while (!ended_ && queued_bytes_ > 0 && queued_bytes_ + what.size() > kQueuedBytes) {
      if (!wait_for_room()) return;
    }
    if (ended_ || (queue_.size() == options_.queue_scalars && !wait_for_room())) return;
    queued_bytes_ += what.size();
    records_.push_back(std::move(what));
    queue_.push_back({now, step, kIsRecord, 0});
    if (queued_bytes_ > kQueuedBytes / 2) wake_.notify_one();
  }

  void flush() EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    ++flushes_asked_;
    wake_.notify_one();
  }

  bool sync() EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const int64_t mine = ++flushes_asked_;
    wake_.notify_one();
    const auto deadline = SteadyClock::now() + kPatience;
    while (!ended_ && flushes_done_ < mine) {
      if (!done_.wait_until(mutex_, deadline)) give_up("write");
    }
    return !error_;
  }

  void close() EXCLUDES(mutex_) {
    if (!thread_.joinable()) return;
    bool is_over = true;
    {
      const MutexLock lock(mutex_);
      closing_ = true;
      wake_.notify_one();
      const auto deadline = SteadyClock::now() + kPatience;
      while (!over_) {
        if (!done_.wait_until(mutex_, deadline)) {
          give_up("close");
          is_over = over_;
          break;
        }
      }
    }
    // A thread that a disk holds goes when the disk lets it.
    is_over ? thread_.join() : thread_.detach();
  }

  std::optional<Error> error() const EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return error_;
  }

 private:
  struct Entry {
    double wall_time;
    int64_t step;
    Tag tag;  // kIsRecord: the next of records_
    float value;
  };
  struct TagText {
    std::string first, later;  // what stands between an event's step and the value
    bool was_written;
  };
  static constexpr Tag kIsRecord = std::numeric_limits<Tag>::max();

  void open(const std::string& folder) {
    static std::atomic<int> files{0};
    const std::string host = host_name();
    int64_t second =
        std::max(static_cast<int64_t>(seconds_since_1970()), newest_second(folder) + 1);
    for (int attempt = 0;; ++attempt, ++second) {
      std::array<char, 32> digits{};
      std::snprintf(digits.data(), digits.size(), "%010lld", static_cast<long long>(second));
      path_ = (fs::path(folder) / str_cat(kPrefix, digits.data(), ".", host, ".", ::getpid(), ".",
                                          files++, options_.suffix))
                  .string();
      fd_ = ::open(path_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0666);
      if (fd_ >= 0) return;
      if (errno != EEXIST || attempt == 100) throw file_error("create", path_, errno);
    }
  }

  void write_event(int64_t step, std::string_view what) {
    const size_t begin = pending_.size();
    pending_.resize(begin + kRecordHeaderBytes);
    append_event(pending_, seconds_since_1970(), step, what);
    close_record(pending_, begin);
  }

  // Says from which step on earlier values are out of date, and repeats those of them that stay.
  void go_on(const std::string& folder, const EventStart& start) {
    std::vector<std::string> earlier = event_files(folder);
    std::erase(earlier, path_);
    int64_t first = start.step;
    const auto keeps = [&](std::string_view tag, int64_t step) {
      return start.keeps ? start.keeps(tag, step) : step < start.step;
    };
    const auto visit = [&](const auto& see) {
      for (const std::string& path : earlier) {
        try {
          EventReader reader(path);
          for (Event event; reader.next(event);) see(event, reader.record());
        } catch (const Error& error) {
          log_warning(str_cat(error.what(), "; what this file has is not looked at"));
        }
      }
    };
    std::vector<int64_t> starts;
    visit([&](const Event& event, std::string_view) {
      if (event.kind == Event::Kind::kStart) starts.push_back(event.step);
      if (event.kind != Event::Kind::kSummary || event.step >= first) return;
      EventValues values(event.body);
      for (EventValue value; values.next(value);) {
        if (!keeps(value.tag, event.step)) first = event.step;
      }
    });
    write_event(first, start_record());
    // Of each start: the least step of it and those behind it, which ends what stands before.
    int64_t least = std::numeric_limits<int64_t>::max();
    for (auto at = starts.rbegin(); at != starts.rend(); ++at) *at = least = std::min(least, *at);
    size_t passed = 0;
    visit([&](const Event& event, std::string_view record) {
      if (event.kind == Event::Kind::kStart) ++passed;
      if (event.kind != Event::Kind::kSummary || event.step < first) return;
      if (passed < starts.size() && event.step >= starts[passed]) return;
      EventValues values(event.body);
      EventValue value;
      if (!values.next(value) || !keeps(value.tag, event.step)) return;
      const size_t begin = pending_.size();
      pending_.resize(begin + kRecordHeaderBytes);
      pending_ += record;
      close_record(pending_, begin);
      if (pending_.size() > kWriteAt && !write_pending()) throw Error(*error_);
    });
  }

  void run() EXCLUDES(mutex_) {
    auto next = SteadyClock::now();
    const auto interval = std::chrono::duration_cast<SteadyClock::duration>(
        std::chrono::duration<double>(options_.flush_seconds));
    next += interval;
    for (;;) {
      int64_t asked = 0;
      bool closing = false, due = false;
      {
        const MutexLock lock(mutex_);
        while (!closing_ && flushes_asked_ == flushes_done_ && !is_half_full() &&
               SteadyClock::now() < next) {
          wake_.wait_until(mutex_, next);
        }
        asked = flushes_asked_;
        closing = closing_;
        due = closing || asked != flushes_done_ || SteadyClock::now() >= next;
        std::swap(queue_, taken_);
        std::swap(records_, taken_records_);
        queued_bytes_ = 0;
        room_.notify_all();
      }
      bool fine = make_records();
      if (fine && due) {
        fine = write_pending();
        next = SteadyClock::now() + interval;
      }
      if (fine && closing && ::fdatasync(fd_) != 0 && errno != EINVAL && errno != EROFS) {
        fine = fail(file_error("write", path_, errno));
      }
      const MutexLock lock(mutex_);
      if (due) flushes_done_ = asked;
      if (closing || !fine) {
        ended_ = over_ = true;
        queue_.clear();
        records_.clear();
        queued_bytes_ = 0;
      }
      done_.notify_all();
      if (over_) {
        room_.notify_all();
        return;
      }
    }
  }

  bool is_half_full() const REQUIRES(mutex_) {
    return queue_.size() >= options_.queue_scalars / 2 || queued_bytes_ > kQueuedBytes / 2;
  }

  // Of what was taken; writes when there is much.
  bool make_records() EXCLUDES(mutex_) {
    refresh_texts();
    bool fine = true;
    for (const Entry& entry : taken_) {
      const size_t begin = pending_.size();
      pending_.resize(begin + kRecordHeaderBytes);
      if (entry.tag == kIsRecord) {
        append_event(pending_, entry.wall_time, entry.step, taken_records_.front());
        taken_records_.pop_front();
      } else {
        TagText& text = own_texts_[entry.tag];
        append_event(pending_, entry.wall_time, entry.step,
                     text.was_written ? text.later : text.first);
        text.was_written = true;
        pending_.append(reinterpret_cast<const char*>(&entry.value), sizeof entry.value);
      }
      close_record(pending_, begin);
      if (pending_.size() > kWriteAt && !write_pending()) {
        fine = false;
        break;
      }
    }
    taken_.clear();
    taken_records_.clear();
    return fine;
  }

  // The thread has its own, so that making records holds nobody up.
  void refresh_texts() EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    for (size_t i = own_texts_.size(); i < texts_.size(); ++i) own_texts_.push_back(texts_[i]);
  }

  // All of it, or none: the file ends behind a whole record.
  bool write_pending() {
    const char* at = pending_.data();
    size_t left = pending_.size();
    while (left > 0) {
      const ssize_t written = ::write(fd_, at, left);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) {
        const Error error = file_error("write", path_, written == 0 ? ENOSPC : errno);
        if (::ftruncate(fd_, static_cast<off_t>(file_bytes_)) != 0) {
          log_warning(str_cat(path_, ": cannot be cut behind its last whole record"));
        }
        return fail(error);
      }
      at += written;
      left -= static_cast<size_t>(written);
    }
    file_bytes_ += pending_.size();
    pending_.clear();
    return true;
  }

  bool fail(const Error& error) EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    note(error);
    return false;
  }
  void note(const Error& error) REQUIRES(mutex_) {
    if (error_) return;
    error_ = error;
    log_warning(str_cat(error.what(),
                        "; what TensorBoard shows of this run ends here, the training "
                        "goes on"));
  }
  void give_up(std::string_view what) REQUIRES(mutex_) {
    if (ended_) return;
    note({ErrorCode::kDeadlineExceeded,
          str_cat(path_, ": cannot ", what, ": the disk has taken nothing for ",
                  std::chrono::seconds(kPatience).count(), " s")});
    ended_ = true;
  }

  // Waits until the thread has emptied the queue. False: the writing has ended.
  bool wait_for_room() REQUIRES(mutex_) {
    const auto deadline = SteadyClock::now() + kPatience;
    wake_.notify_one();
    while (!ended_ && !queue_.empty()) {
      if (!room_.wait_until(mutex_, deadline)) give_up("write");
    }
    return !ended_;
  }

  const EventWriterOptions options_;
  std::string path_;
  std::thread thread_;

  // Of the thread, and before it runs of the constructor.
  int fd_ = -1;
  std::string pending_;      // records that are not in the file
  uint64_t file_bytes_ = 0;  // whole records
  std::vector<Entry> taken_;
  std::deque<std::string> taken_records_;
  std::vector<TagText> own_texts_;

  mutable Mutex mutex_;
  ConditionVariable wake_, room_, done_;  // the thread; who waits for room; who waits for a flush
  std::vector<Entry> queue_ GUARDED_BY(mutex_);
  std::deque<std::string> records_ GUARDED_BY(mutex_);
  size_t queued_bytes_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, Tag, std::less<>> tags_ GUARDED_BY(mutex_);
  std::vector<TagText> texts_ GUARDED_BY(mutex_);
  int64_t flushes_asked_ GUARDED_BY(mutex_) = 0, flushes_done_ GUARDED_BY(mutex_) = 0;
  bool closing_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;  // nothing is taken any more
  bool over_ GUARDED_BY(mutex_) = false;   // the thread is
  std::optional<Error> error_ GUARDED_BY(mutex_);
};

EventWriter::EventWriter(const std::string& folder, EventWriterOptions options)
    : impl_(std::make_shared<Impl>(folder, std::move(options))) {
  impl_->start();
}
EventWriter::~EventWriter() { close(); }

const std::string& EventWriter::path() const { return impl_->path(); }
EventWriter::Tag EventWriter::tag(std::string_view name, std::string_view description) {
  return impl_->tag(name, description);
}
void EventWriter::scalars(int64_t step, std::span<const Scalar> values) {
  impl_->scalars(step, values);
}
void EventWriter::add(int64_t step, std::string what) { impl_->add(step, std::move(what)); }
void EventWriter::flush() { impl_->flush(); }
bool EventWriter::sync() { return impl_->sync(); }
void EventWriter::close() { impl_->close(); }
std::optional<Error> EventWriter::error() const { return impl_->error(); }

}  // namespace trireme::io

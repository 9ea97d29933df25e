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
#include "core/io/crc32c.h"
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
    for (std::vector<Batch>* batches : {&batches_, &taken_batches_}) {
      batches->reserve(options_.queue_scalars);
    }
    for (std::vector<Scalar>* values : {&values_, &taken_values_}) {
      values->reserve(options_.queue_scalars);
    }
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

  Tag tag(std::string_view name) EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    if (const auto found = tags_.find(name); found != tags_.end()) return found->second;
    const Tag tag = static_cast<Tag>(texts_.size());
    tags_.emplace(std::string(name), tag);
    texts_.push_back(scalar_record_prefix(name));
    return tag;
  }

  void scalars(int64_t step, std::span<const Scalar> values) EXCLUDES(mutex_) {
    const double now = seconds_since_1970();
    const MutexLock lock(mutex_);
    while (!ended_ && !values.empty()) {
      const size_t room = options_.queue_scalars - values_.size();
      if (room == 0 || batches_.size() == options_.queue_scalars) {
        if (!wait_for_room()) return;
        continue;
      }
      const auto part = values.first(std::min(room, values.size()));
      const bool was_half_full = is_half_full();
      batches_.push_back({now, step, part.size()});
      values_.insert(values_.end(), part.begin(), part.end());
      values = values.subspan(part.size());
      if (!was_half_full && is_half_full()) wake_.notify_one();
    }
  }

  void add(int64_t step, std::string what) EXCLUDES(mutex_) {
    const double now = seconds_since_1970();
    const MutexLock lock(mutex_);
    while (!ended_ && (batches_.size() == options_.queue_scalars ||
                       (queued_bytes_ > 0 && queued_bytes_ + what.size() > kQueuedBytes))) {
      if (!wait_for_room()) return;
    }
    if (ended_) return;
    const bool was_half_full = is_half_full();
    queued_bytes_ += what.size();
    records_.push_back(std::move(what));
    batches_.push_back({now, step, kIsRecord});
    if (!was_half_full && is_half_full()) wake_.notify_one();
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
  struct Batch {
    double wall_time;
    int64_t step;
    size_t scalars;  // so many of the values; kIsRecord: the next of records_
  };
  static constexpr size_t kIsRecord = std::numeric_limits<size_t>::max();

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
    // Twice: TensorBoard takes the first that it sees in a folder for the start of the first file.
    write_event(first, start_record());
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
      if (pending_.size() > kWriteAt && !write_pending()) throw Error(*error());
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
        std::swap(batches_, taken_batches_);
        std::swap(values_, taken_values_);
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
        batches_.clear();
        values_.clear();
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
    const size_t half = options_.queue_scalars / 2;
    return values_.size() >= half || batches_.size() >= half || queued_bytes_ > kQueuedBytes / 2;
  }

  // Of what was taken; writes when there is much.
  bool make_records() EXCLUDES(mutex_) {
    refresh_texts();
    bool fine = true;
    std::span<const Scalar> values = taken_values_;
    for (const Batch& batch : taken_batches_) {
      if (batch.scalars == kIsRecord) {
        const size_t begin = pending_.size();
        pending_.resize(begin + kRecordHeaderBytes);
        append_event(pending_, batch.wall_time, batch.step, taken_records_.front());
        close_record(pending_, begin);
        taken_records_.pop_front();
      } else {
        append_scalars(batch, values.first(batch.scalars));
        values = values.subspan(batch.scalars);
      }
      if (pending_.size() > kWriteAt && !write_pending()) {
        fine = false;
        break;
      }
    }
    taken_batches_.clear();
    taken_values_.clear();
    taken_records_.clear();
    return fine;
  }

  // Records of one time and step: their first bytes and the checksum of these are worked out once.
  void append_scalars(const Batch& batch, std::span<const Scalar> values) {
    head_.clear();
    append_event(head_, batch.wall_time, batch.step, "");
    const uint32_t head_crc = crc32c(head_);
    size_t bytes = 0;
    for (const Scalar& scalar : values) {
      bytes += kRecordHeaderBytes + head_.size() + own_texts_[scalar.tag].size() +
               sizeof scalar.value + kRecordFooterBytes;
    }
    size_t at = pending_.size();
    pending_.resize(at + bytes);
    char* out = pending_.data() + at;
    for (const Scalar& scalar : values) {
      const std::string& text = own_texts_[scalar.tag];
      put_header(out, head_.size() + text.size() + sizeof scalar.value);
      out += kRecordHeaderBytes;
      std::memcpy(out, head_.data(), head_.size());
      out += head_.size();
      std::memcpy(out, text.data(), text.size());
      std::memcpy(out + text.size(), &scalar.value, sizeof scalar.value);
      const size_t rest = text.size() + sizeof scalar.value;
      const uint32_t crc = mask_crc(crc32c_extend(head_crc, out, rest));
      std::memcpy(out + rest, &crc, sizeof crc);
      out += rest + sizeof crc;
    }
  }

  // Few lengths come again and again.
  void put_header(char* out, size_t length) {
    if (length >= headers_.size()) return put_record_header(out, length);
    auto& header = headers_[length];
    if (header[0] == 0) put_record_header(header.data(), length);
    std::memcpy(out, header.data(), header.size());
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
    while (!ended_ && !batches_.empty()) {
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
  std::vector<Batch> taken_batches_;
  std::vector<Scalar> taken_values_;
  std::string head_;                                                 // of an event
  std::array<std::array<char, kRecordHeaderBytes>, 256> headers_{};  // by the record's length
  std::deque<std::string> taken_records_;
  std::vector<std::string> own_texts_;  // of tags

  mutable Mutex mutex_;
  ConditionVariable wake_, room_, done_;  // the thread; who waits for room; who waits for a flush
  std::vector<Batch> batches_ GUARDED_BY(mutex_);
  std::vector<Scalar> values_ GUARDED_BY(mutex_);
  std::deque<std::string> records_ GUARDED_BY(mutex_);
  size_t queued_bytes_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, Tag, std::less<>> tags_ GUARDED_BY(mutex_);
  // Of each tag: what stands between an event's step and the value.
  std::vector<std::string> texts_ GUARDED_BY(mutex_);
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
EventWriter::Tag EventWriter::tag(std::string_view name) { return impl_->tag(name); }
void EventWriter::scalars(int64_t step, std::span<const Scalar> values) {
  impl_->scalars(step, values);
}
void EventWriter::add(int64_t step, std::string what) { impl_->add(step, std::move(what)); }
void EventWriter::flush() { impl_->flush(); }
bool EventWriter::sync() { return impl_->sync(); }
void EventWriter::close() { impl_->close(); }
std::optional<Error> EventWriter::error() const { return impl_->error(); }

}  // namespace trireme::io

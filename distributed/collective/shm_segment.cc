#include "distributed/collective/shm_segment.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "core/base/futex.h"
#include "core/base/local_process.h"
#include "core/base/system_error.h"
#include "distributed/collective/board_communicator.h"

namespace trireme {

struct ShmSegment::Header {
  std::atomic<uint64_t> magic;  // last of all: the rest is there
  uint32_t version;
  uint32_t size;
  uint64_t identity;
  uint64_t bytes;
  uint64_t slot_bytes;
  int64_t creator;
  uint64_t creator_start;
  std::atomic<uint32_t> state;
};

struct ShmSegment::Member {
  std::atomic<uint32_t> joined;
  int64_t pid;
  uint64_t start;
  cpu_set_t cores;
};

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kMagic = 0x314d48535f455254;  // "TRE_SHM1"
constexpr uint32_t kVersion = 1;
constexpr size_t kPage = 4096;
constexpr std::chrono::milliseconds kLook{20};

// While gathering; all are there; given up for ranks that did not come; kLost + r: for rank r,
// which ended.
enum State : uint32_t { kGathering, kComplete, kAbandoned, kLost };

// FNV-1a over all that tells this group from any other.
uint64_t identity_of(const Group& group) {
  uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&hash](const void* data, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) {
      hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3;
    }
  };
  add(group.job_id.c_str(), group.job_id.size() + 1);
  add(group.secret.c_str(), group.secret.size() + 1);
  add(&group.generation, sizeof(group.generation));
  for (const Peer& peer : group.peers) {
    add(&peer.rank, sizeof(peer.rank));
    add(&peer.pid, sizeof(peer.pid));
  }
  return hash;
}

std::string hexadecimal(uint64_t value) {
  std::ostringstream out;
  out << std::hex << value;
  return out.str();
}

size_t rounded(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// Slots of all ranks together stay in the caches that the ranks have between them.
size_t slot_bytes_for(int size) { return size <= 16 ? 128 << 10 : 64 << 10; }

// shm_open() keeps its files there. Looked at by every rank, since those that only open would wait
// for a segment that nobody can make.
void require_shared_memory() {
  struct stat folder {};
  if (stat("/dev/shm", &folder) == 0 && S_ISDIR(folder.st_mode)) return;
  throw failed(
      "there is no /dev/shm, through which the workers of one host exchange gradients; mount it "
      "(mount -t tmpfs tmpfs /dev/shm) or set distributed.backend to \"grpc\"");
}

struct FileDescriptor {
  int fd;
  ~FileDescriptor() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace

ShmSegment::ShmSegment(const Group& group, const CommunicatorOptions& options)
    : name_(str_cat("/trireme-", hexadecimal(identity_of(group)))),
      identity_(identity_of(group)),
      size_(group.size()),
      slot_bytes_(slot_bytes_for(size_)),
      timeout_(options.timeout) {
  const size_t members = rounded(sizeof(Member) * static_cast<size_t>(size_));
  const size_t cells = rounded(sizeof(StageCell) * static_cast<size_t>(size_));
  bytes_ = kPage + members + cells + static_cast<size_t>(size_) * 4 * slot_bytes_;
  require_shared_memory();
  try {
    if (group.rank == 0) {
      create(group, options, Clock::now() + timeout_);
    } else {
      open(group, options, Clock::now() + timeout_);
    }
  } catch (...) {
    unmap();
    throw;
  }
}

ShmSegment::~ShmSegment() { unmap(); }

ShmSegment::Member& ShmSegment::member(int rank) const {
  return reinterpret_cast<Member*>(base_ + kPage)[rank];
}

StageCell* ShmSegment::cells() const {
  return reinterpret_cast<StageCell*>(base_ + kPage +
                                      rounded(sizeof(Member) * static_cast<size_t>(size_)));
}

std::byte* ShmSegment::input(int rank, int parity) const {
  std::byte* slots = base_ + bytes_ - static_cast<size_t>(size_) * 4 * slot_bytes_;
  return slots + (static_cast<size_t>(rank) * 4 + static_cast<size_t>(parity)) * slot_bytes_;
}

std::byte* ShmSegment::result(int rank, int parity) const { return input(rank, parity + 2); }

bool ShmSegment::is_gone(int rank) const {
  const Member& other = member(rank);
  return process_start_time(other.pid) != other.start;
}

int ShmSegment::cores() const {
  cpu_set_t all;
  CPU_ZERO(&all);
  for (int rank = 0; rank < size_; ++rank) CPU_OR(&all, &all, &member(rank).cores);
  return std::max(1, CPU_COUNT(&all));
}

void ShmSegment::introduce(int rank) const {
  Member& mine = member(rank);
  mine.pid = getpid();
  mine.start = process_start_time(getpid());
  CPU_ZERO(&mine.cores);
  sched_getaffinity(0, sizeof(mine.cores), &mine.cores);
  mine.joined.store(1, std::memory_order_release);
  futex_wake_all(mine.joined);
}

void ShmSegment::map(int fd) {
  void* base = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (base == MAP_FAILED) {
    throw Error(ErrorCode::kResourceExhausted,
                str_cat("mapping ", bytes_ >> 10, " KiB of shared memory ", name_, ": ",
                        std::strerror(errno)));
  }
  base_ = static_cast<std::byte*>(base);
}

void ShmSegment::unmap() {
  if (base_ != nullptr) munmap(base_, bytes_);
  base_ = nullptr;
}

void ShmSegment::create(const Group& group, const CommunicatorOptions& options,
                        TimePoint deadline) {
  // What is there under this name was left by a process that was killed: the name belongs to this
  // group, and only its rank 0 makes it.
  shm_unlink(name_.c_str());
  const FileDescriptor file{shm_open(name_.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600)};
  if (file.fd < 0) {
    const int error = errno;
    throw Error(code_of_errno(error),
                str_cat("making shared memory ", name_, " in /dev/shm: ", std::strerror(error),
                        error == EEXIST ? "; it belongs to another user: remove it"
                        : error == EACCES || error == EROFS
                            ? "; make /dev/shm writable for this user, or use another backend "
                              "(distributed.backend=grpc)"
                            : ""));
  }
  try {
    // Reserved now, since memory that is missing later would be a SIGBUS.
    int error = ftruncate(file.fd, static_cast<off_t>(bytes_)) == 0
                    ? posix_fallocate(file.fd, 0, static_cast<off_t>(bytes_))
                    : errno;
    if (error != 0) {
      throw Error(ErrorCode::kResourceExhausted,
                  str_cat("shared memory for ", size_, " ranks: expected ", bytes_ >> 10,
                          " KiB free in /dev/shm, found less (", std::strerror(error),
                          "); enlarge it (docker: --shm-size) or use another backend"));
    }
    map(file.fd);
    Header* head = header();
    head->version = kVersion;
    head->size = static_cast<uint32_t>(size_);
    head->identity = identity_;
    head->bytes = bytes_;
    head->slot_bytes = slot_bytes_;
    head->creator = getpid();
    head->creator_start = process_start_time(getpid());
    introduce(0);
    head->magic.store(kMagic, std::memory_order_release);

    for (int rank = 1; rank < size_; ++rank) {
      while (member(rank).joined.load(std::memory_order_acquire) == 0) {
        // Another rank's deadline may come a moment earlier, and it ends: for want of the same
        // ranks.
        throw_if_given_up(group);
        throw_if_one_ended(group);
        options.throw_if_interrupted();
        if (Clock::now() >= deadline) give_up(group);
        futex_wait(member(rank).joined, 0, kLook);
      }
    }
  } catch (...) {
    if (base_ != nullptr) end_gathering(kAbandoned);
    shm_unlink(name_.c_str());
    throw;
  }
  shm_unlink(name_.c_str());
  end_gathering(kComplete);
  throw_if_given_up(group);
}

void ShmSegment::open(const Group& group, const CommunicatorOptions& options, TimePoint deadline) {
  while (!try_open()) {
    options.throw_if_interrupted();
    if (Clock::now() >= deadline) give_up(group);
    if (process_has_ended(group.peers[0].pid)) {
      shm_unlink(name_.c_str());  // its maker cannot
      throw Error(ErrorCode::kUnavailable,
                  group.peers[0].to_string() + " ended before its ranks were connected");
    }
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  introduce(group.rank);
  std::atomic<uint32_t>& state = header()->state;
  while (state.load(std::memory_order_acquire) == kGathering) {
    if (is_gone(0) && state.load(std::memory_order_acquire) == kGathering) {
      shm_unlink(name_.c_str());  // its maker cannot
      throw Error(ErrorCode::kUnavailable,
                  group.peers[0].to_string() + " ended before its ranks were connected");
    }
    options.throw_if_interrupted();
    if (Clock::now() >= deadline) give_up(group);
    futex_wait(state, kGathering, kLook);
  }
  throw_if_given_up(group);
}

// False: not there, not ready, or of a process that is no more; to be tried again.
bool ShmSegment::try_open() {
  const FileDescriptor file{shm_open(name_.c_str(), O_RDWR | O_CLOEXEC, 0)};
  if (file.fd < 0) {
    if (errno == ENOENT) return false;
    const int error = errno;
    throw Error(code_of_errno(error),
                str_cat("opening shared memory ", name_, ": ", std::strerror(error)));
  }
  struct stat status {};
  if (fstat(file.fd, &status) != 0 || status.st_size == 0) return false;  // being made
  const auto expected = static_cast<off_t>(bytes_);
  if (status.st_size != expected || status.st_uid != geteuid()) {
    found_ = str_cat("expected ", expected, " bytes of user ", geteuid(), ", found ",
                     status.st_size, " of user ", status.st_uid);
    return false;
  }
  map(file.fd);
  const Header* head = header();
  const bool ready = head->magic.load(std::memory_order_acquire) == kMagic &&
                     head->state.load(std::memory_order_acquire) == kGathering &&
                     process_start_time(head->creator) == head->creator_start;
  const bool ours = head->version == kVersion && head->size == static_cast<uint32_t>(size_) &&
                    head->identity == identity_ && head->bytes == bytes_ &&
                    head->slot_bytes == slot_bytes_;
  if (ready && ours) return true;
  if (ready) {
    found_ = str_cat("expected version ", kVersion, " for ", size_, " ranks, found version ",
                     head->version, " for ", head->size);
  }
  unmap();
  return false;
}

void ShmSegment::throw_if_one_ended(const Group& group) const {
  for (int rank = 0; rank < size_; ++rank) {
    if (rank == group.rank) continue;
    const bool joined = member(rank).joined.load(std::memory_order_acquire) != 0;
    const int64_t pid = group.peers[static_cast<size_t>(rank)].pid;
    if (joined ? is_gone(rank) : process_has_ended(pid)) {
      end_gathering(kLost + static_cast<uint32_t>(rank));
      throw_if_given_up(group);
    }
  }
}

// The first to end it decides.
void ShmSegment::end_gathering(uint32_t state) const {
  uint32_t gathering = kGathering;
  header()->state.compare_exchange_strong(gathering, state, std::memory_order_acq_rel);
  futex_wake_all(header()->state);
}

void ShmSegment::throw_if_given_up(const Group& group) const {
  const uint32_t state = header()->state.load(std::memory_order_acquire);
  if (state == kGathering || state == kComplete) return;
  if (state == kAbandoned) give_up(group);
  const size_t lost = std::min<size_t>(state - kLost, group.peers.size() - 1);
  throw Error(ErrorCode::kUnavailable,
              group.peers[lost].to_string() + " ended while the ranks were connecting");
}

void ShmSegment::give_up(const Group& group) const {
  if (base_ != nullptr) end_gathering(kAbandoned);
  std::vector<int> late;
  for (int rank = 0; rank < size_; ++rank) {
    if (rank == group.rank) continue;
    // Without the segment there is only rank 0 to wait for.
    if (base_ == nullptr ? rank == 0 : member(rank).joined.load(std::memory_order_acquire) == 0) {
      late.push_back(rank);
    }
  }
  throw Error(ErrorCode::kDeadlineExceeded,
              str_cat("connecting through shared memory: ", list_of(group.peers, late),
                      " did not come within ", static_cast<double>(timeout_.count()) / 1000, " s",
                      base_ == nullptr && !found_.empty()
                          ? str_cat("; under its name ", name_, " is something else: ", found_)
                          : ""));
}

}  // namespace trireme

#include "ps/protocol/shm_ring.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <utility>

#include "core/base/error.h"
#include "core/base/futex.h"
#include "core/base/local_process.h"

namespace trireme::ps {
namespace {

constexpr uint64_t kMostRingBytes = uint64_t{1} << 30;
constexpr std::chrono::seconds kSleep{1};
// A file that could become shorter under the mapping would kill whoever touches it.
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace

std::string host_for_rings() { return str_cat(shared_memory_host_id(), "/", geteuid()); }

// What one side says; written by it alone, but for the last two.
struct ShmRing::Side {
  alignas(64) std::atomic<uint64_t> written;  // bytes since the beginning, into its way out
  alignas(64) std::atomic<uint64_t> taken;    // out of its way in
  alignas(64) std::atomic<uint32_t> bell;     // rung by the other side
  std::atomic<uint32_t> sleeping;
  std::atomic<uint32_t> wants_room;
};

struct ShmRing::Shared {
  uint64_t token;
  Side sides[2];  // of the maker, of the other
};

size_t ShmRing::total_bytes(uint64_t ring_bytes) { return sizeof(Shared) + 2 * ring_bytes; }

std::unique_ptr<ShmRing> ShmRing::make(uint64_t ring_bytes) {
  TRIREME_CHECK(ring_bytes > 0 && ring_bytes <= kMostRingBytes);
  const size_t bytes = total_bytes(ring_bytes);
  FileDescriptor file(memfd_create("trireme-ps", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (file.get() < 0 || ftruncate(file.get(), static_cast<off_t>(bytes)) != 0 ||
      fcntl(file.get(), F_ADD_SEALS, kSeals) != 0) {
    throw Error(ErrorCode::kResourceExhausted,
                str_cat("making ", bytes >> 10, " KiB of shared memory: ", std::strerror(errno)));
  }
  std::random_device random;
  std::unique_ptr<ShmRing> ring(new ShmRing);
  ring->offer_ = {.pid = getpid(),
                  .file = file.get(),
                  .ring_bytes = ring_bytes,
                  .token = (uint64_t{random()} << 32) ^ random()};
  ring->map(file.get());
  ring->shared_->token = ring->offer_.token;
  ring->mine_ = &ring->shared_->sides[0];
  ring->theirs_ = &ring->shared_->sides[1];
  ring->file_ = file.release();
  return ring;
}

std::unique_ptr<ShmRing> ShmRing::open(const ShmOffer& offer) {
  const std::string path = str_cat("/proc/", offer.pid, "/fd/", offer.file);
  if (offer.ring_bytes == 0 || offer.ring_bytes > kMostRingBytes) {
    throw invalid_argument("shared memory ", path, ": expected rings of 1 to ", kMostRingBytes,
                           " bytes, found ", offer.ring_bytes);
  }
  const FileDescriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    throw invalid_argument("cannot open shared memory ", path, ": ", std::strerror(errno));
  }
  const int seals = fcntl(file.get(), F_GET_SEALS);
  struct stat status {};
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(file.get(), &status) != 0 ||
      static_cast<uint64_t>(status.st_size) != total_bytes(offer.ring_bytes)) {
    throw invalid_argument("shared memory ", path, ": expected ", total_bytes(offer.ring_bytes),
                           " bytes that cannot become fewer, found ", status.st_size);
  }
  std::unique_ptr<ShmRing> ring(new ShmRing);
  ring->offer_ = offer;
  ring->map(file.get());
  if (ring->shared_->token != offer.token) {
    throw invalid_argument("shared memory ", path, " is another than was offered");
  }
  ring->mine_ = &ring->shared_->sides[1];
  ring->theirs_ = &ring->shared_->sides[0];
  std::swap(ring->out_, const_cast<std::byte*&>(ring->in_));
  return ring;
}

void ShmRing::map(int file) {
  const size_t bytes = total_bytes(offer_.ring_bytes);
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (base == MAP_FAILED) {
    throw Error(ErrorCode::kResourceExhausted,
                str_cat("mapping ", bytes >> 10, " KiB of shared memory: ", std::strerror(errno)));
  }
  shared_ = static_cast<Shared*>(base);
  out_ = static_cast<std::byte*>(base) + sizeof(Shared);
  in_ = out_ + offer_.ring_bytes;
}

ShmRing::~ShmRing() {
  if (shared_ != nullptr) munmap(shared_, total_bytes(offer_.ring_bytes));
  close_file();
}

void ShmRing::close_file() {
  if (file_ >= 0) ::close(std::exchange(file_, -1));
}

uint64_t ShmRing::room() const {
  const uint64_t under_way = written_ - theirs_->taken.load(std::memory_order_seq_cst);
  if (under_way > offer_.ring_bytes) {
    throw data_loss("shared memory: the other side took ", under_way, " bytes of a ring of ",
                    offer_.ring_bytes);
  }
  return offer_.ring_bytes - under_way;
}

bool ShmRing::has_room() const { return room() > 0; }

size_t ShmRing::write(std::span<const std::byte> bytes) {
  const auto count = static_cast<size_t>(std::min<uint64_t>(bytes.size(), room()));
  const uint64_t at = written_ % offer_.ring_bytes;
  const auto first = static_cast<size_t>(std::min<uint64_t>(count, offer_.ring_bytes - at));
  if (first > 0) std::memcpy(out_ + at, bytes.data(), first);
  if (count > first) std::memcpy(out_, bytes.data() + first, count - first);
  written_ += count;
  return count;
}

void ShmRing::publish() {
  mine_->written.store(written_, std::memory_order_seq_cst);
  wake_other();
}

void ShmRing::want_room() { mine_->wants_room.store(1, std::memory_order_seq_cst); }

std::span<const std::byte> ShmRing::readable() const {
  const uint64_t there = theirs_->written.load(std::memory_order_seq_cst) - taken_;
  if (there > offer_.ring_bytes) {
    throw data_loss("shared memory: the other side wrote ", there, " bytes into a ring of ",
                    offer_.ring_bytes);
  }
  const uint64_t at = taken_ % offer_.ring_bytes;
  return {in_ + at, static_cast<size_t>(std::min(there, offer_.ring_bytes - at))};
}

void ShmRing::taken(size_t bytes) {
  taken_ += bytes;
  mine_->taken.store(taken_, std::memory_order_seq_cst);
  if (theirs_->wants_room.load(std::memory_order_seq_cst) != 0 &&
      theirs_->wants_room.exchange(0, std::memory_order_seq_cst) != 0) {
    wake_other();
  }
}

// Whoever goes to sleep says so first and then looks again: so one of the two sees the other.
void ShmRing::wake_other() {
  if (theirs_->sleeping.load(std::memory_order_seq_cst) == 0) return;
  if (theirs_->sleeping.exchange(0, std::memory_order_seq_cst) == 0) return;
  theirs_->bell.fetch_add(1, std::memory_order_seq_cst);
  futex_wake_all(theirs_->bell);
}

uint32_t ShmRing::prepare_sleep() {
  const uint32_t heard = mine_->bell.load(std::memory_order_seq_cst);
  mine_->sleeping.store(1, std::memory_order_seq_cst);
  return heard;
}

void ShmRing::sleep(uint32_t prepared) {
  futex_wait(mine_->bell, prepared, kSleep);
  do_not_sleep();
}

void ShmRing::do_not_sleep() { mine_->sleeping.store(0, std::memory_order_seq_cst); }

void ShmRing::wake_self() {
  mine_->bell.fetch_add(1, std::memory_order_seq_cst);
  futex_wake_all(mine_->bell);
}

}  // namespace trireme::ps

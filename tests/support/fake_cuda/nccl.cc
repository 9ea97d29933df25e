// libnccl.so.2 for machines without a GPU: the ranks of a communicator, in one process or several,
// meet in a file of shared memory and compute with plain loops.
//
// Stricter than the real one: calls that differ between ranks, two ranks on one card, several ranks
// of a process outside of a group, all of which make the real one hang or fail far from the cause,
// are refused with a text (ncclGetLastError).
#include <fcntl.h>
#include <nccl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/tensor/dtype.h"
#include "tests/support/fake_cuda/enqueue.h"

namespace {

using trireme::fake_cuda::MemoryRange;

constexpr size_t kMaxRanks = 16;
// Of one rank's part in one call; the file is sparse.
constexpr size_t kSlotBytes = size_t{256} << 20;

struct RankState {
  std::atomic<uint64_t> arrived, posted, taken;  // numbers of calls; arrived: 1
  uint64_t signature;
  unsigned char card[16];
  int64_t pid;
};
struct Shared {
  RankState ranks[kMaxRanks];
};

enum class Kind : uint64_t { kAllReduce, kAllGather, kBroadcast };

thread_local std::string last_error;
thread_local int group_depth = 0;
std::mutex mutex;  // of live()

ncclResult_t refuse(ncclResult_t result, const std::string& why) {
  last_error = why;
  trireme::fake_cuda::complain("NCCL: " + why);
  return result;
}

size_t size_of(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8:
      return 1;
    case ncclFloat16:
    case ncclBfloat16:
      return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
      return 4;
    default:
      return 8;
  }
}

template <typename T, typename C = T>
void reduce_as(const std::vector<const void*>& from, void* to, size_t count, ncclRedOp_t op) {
  for (size_t i = 0; i < count; ++i) {
    C sum = static_cast<C>(static_cast<const T*>(from[0])[i]);
    for (size_t r = 1; r < from.size(); ++r) {
      const C other = static_cast<C>(static_cast<const T*>(from[r])[i]);
      sum = op == ncclMin   ? std::min(sum, other)
            : op == ncclMax ? std::max(sum, other)
                            : sum + other;
    }
    if (op == ncclAvg) sum = sum / static_cast<C>(from.size());
    static_cast<T*>(to)[i] = static_cast<T>(sum);
  }
}

void reduce(const std::vector<const void*>& from, void* to, size_t count, ncclDataType_t type,
            ncclRedOp_t op) {
  switch (type) {
    case ncclFloat32:
      return reduce_as<float>(from, to, count, op);
    case ncclFloat64:
      return reduce_as<double>(from, to, count, op);
    case ncclInt32:
      return reduce_as<int32_t>(from, to, count, op);
    case ncclInt64:
      return reduce_as<int64_t>(from, to, count, op);
    case ncclFloat16:
      return reduce_as<trireme::Half, float>(from, to, count, op);
    case ncclBfloat16:
      return reduce_as<trireme::BFloat16, float>(from, to, count, op);
    default:
      throw std::runtime_error("NCCL: this type is not reduced here");
  }
}

}  // namespace

struct ncclComm {
  Shared* shared = nullptr;
  int file = -1;
  int rank = 0, size = 0;
  std::string id;
  int card = -1;
  std::thread::id thread;  // that made it, and is to call
  uint64_t enqueued = 0;   // calls so far
  std::atomic<bool> aborted{false};
  std::string error;
  std::vector<void*> slots;  // by rank, mapped at first use

  RankState& mine() const { return shared->ranks[rank]; }
  void* slot(int of) {
    void*& address = slots[static_cast<size_t>(of)];
    if (address == nullptr) {
      const size_t at = (sizeof(Shared) + 4095) / 4096 * 4096;
      address = mmap(nullptr, kSlotBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file,
                     static_cast<off_t>(at + static_cast<size_t>(of) * kSlotBytes));
      if (address == MAP_FAILED) throw std::runtime_error("NCCL: cannot map shared memory");
    }
    return address;
  }
  bool all(const std::function<bool(const RankState&)>& test) const {
    return std::all_of(shared->ranks, shared->ranks + size, test);
  }
};

namespace {

// One call of one rank. post() copies what it gives into its slot as soon as the stream has come to
// it; when all have, run() takes what it needs.
struct Call {
  ncclComm* comm;
  uint64_t number;
  Kind kind;
  const void* send;
  void* receive;
  size_t count;
  ncclDataType_t type;
  ncclRedOp_t op;
  int root;
  uint64_t done_times = 0;  // a recording makes it again and again

  size_t bytes() const { return count * size_of(type); }
  uint64_t signature() const {
    return static_cast<uint64_t>(kind) | static_cast<uint64_t>(type) << 8 |
           static_cast<uint64_t>(op) << 16 | static_cast<uint64_t>(root) << 24 | count << 32;
  }
};

// The numbers are given when a call starts, not when it is recorded: streams keep the order.
struct Progress {
  std::shared_ptr<Call> call;
  uint64_t number = 0;  // of this time; 0: not begun
};

bool ready(Progress& progress) {
  Call& call = *progress.call;
  ncclComm& comm = *call.comm;
  if (comm.aborted) return true;
  RankState& mine = comm.mine();
  if (progress.number == 0) {
    const uint64_t before = mine.posted.load();
    // The slot is free when all have taken what was in it.
    if (!comm.all([&](const RankState& other) { return other.taken.load() >= before; })) {
      return false;
    }
    if (call.kind != Kind::kBroadcast || call.root == comm.rank) {
      if (call.bytes() > kSlotBytes) throw std::runtime_error("NCCL: a call of more than 256 MiB");
      std::memcpy(comm.slot(comm.rank), call.send, call.bytes());
    }
    mine.signature = call.signature();
    progress.number = before + 1;
    mine.posted.store(before + 1);
  }
  return comm.all([&](const RankState& other) { return other.posted.load() >= progress.number; });
}

void run(Progress& progress) {
  Call& call = *progress.call;
  ncclComm& comm = *call.comm;
  const uint64_t number = std::exchange(progress.number, 0);
  if (comm.aborted) return;
  for (int rank = 0; rank < comm.size; ++rank) {
    if (comm.shared->ranks[rank].signature == call.signature()) continue;
    throw std::runtime_error("NCCL: call " + std::to_string(number) + " of rank " +
                             std::to_string(comm.rank) + " is not what rank " +
                             std::to_string(rank) + " calls");
  }
  std::vector<const void*> all;
  for (int rank = 0; rank < comm.size; ++rank) {
    if (call.kind != Kind::kBroadcast || rank == call.root) all.push_back(comm.slot(rank));
  }
  switch (call.kind) {
    case Kind::kAllReduce:
      reduce(all, call.receive, call.count, call.type, call.op);
      break;
    case Kind::kAllGather:
      for (size_t rank = 0; rank < all.size(); ++rank) {
        std::memcpy(static_cast<char*>(call.receive) + rank * call.bytes(), all[rank],
                    call.bytes());
      }
      break;
    case Kind::kBroadcast:
      std::memcpy(call.receive, all[0], call.bytes());
      break;
  }
  comm.mine().taken.store(number);
}

// The communicators of this process that were not aborted.
std::vector<ncclComm*>& live() {
  static auto& comms = *new std::vector<ncclComm*>();
  return comms;
}

ncclResult_t enqueue(const char* name, Call call, cudaStream_t stream) {
  ncclComm& comm = *call.comm;
  if (comm.aborted) return refuse(ncclInvalidUsage, "a call on an aborted communicator");
  if (!comm.all([](const RankState& other) { return other.arrived.load() == 1; })) {
    return refuse(ncclInvalidUsage, "a call before all ranks are connected");
  }
  {
    const std::lock_guard lock(mutex);
    const auto here = std::count_if(live().begin(), live().end(), [&](const ncclComm* other) {
      return other->id == comm.id && other->thread == comm.thread;
    });
    if (here > 1 && group_depth == 0) {
      return refuse(ncclInvalidUsage,
                    "one thread calls for several ranks outside of ncclGroupStart/End");
    }
  }
  if (trireme::fake_cuda::current_card() != comm.card) {
    return refuse(ncclInvalidUsage, "the calling thread's context is of another card");
  }
  auto progress = std::make_shared<Progress>();
  progress->call = std::make_shared<Call>(call);
  const size_t out =
      call.kind == Kind::kAllGather ? call.bytes() * static_cast<size_t>(comm.size) : call.bytes();
  std::vector<MemoryRange> ranges = {{call.send, call.bytes(), "what is sent"},
                                     {call.receive, out, "what is received"}};
  const CUresult result = trireme::fake_cuda::enqueue_when(
      reinterpret_cast<CUstream>(stream), name, std::move(ranges),
      [progress] { return ready(*progress); }, [progress] { run(*progress); });
  if (result != CUDA_SUCCESS) return refuse(ncclUnhandledCudaError, "the stream does not take it");
  return ncclSuccess;
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

EXPORT ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::random_device random;
  std::memset(id, 0, sizeof(*id));
  std::snprintf(id->internal, sizeof(id->internal), "/trireme-fake-nccl-%08x%08x", random(),
                random());
  return ncclSuccess;
}

EXPORT ncclResult_t ncclCommInitRankConfig(ncclComm_t* out, int size, ncclUniqueId id, int rank,
                                           ncclConfig_t* config) {
  if (config == nullptr || config->magic != 0xcafebeef || config->size != sizeof(ncclConfig_t)) {
    return refuse(ncclInvalidArgument, "the configuration was not initialised");
  }
  if (size < 1 || size > static_cast<int>(kMaxRanks) || rank < 0 || rank >= size) {
    return refuse(ncclInvalidArgument,
                  "rank " + std::to_string(rank) + " of " + std::to_string(size));
  }
  auto comm = std::make_unique<ncclComm>();
  comm->rank = rank;
  comm->size = size;
  comm->id = id.internal;
  comm->thread = std::this_thread::get_id();
  comm->slots.resize(static_cast<size_t>(size));
  comm->card = trireme::fake_cuda::current_card();
  if (comm->card < 0) return refuse(ncclUnhandledCudaError, "no card is current");
  comm->file = shm_open(id.internal, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (comm->file < 0 ||
      ftruncate(comm->file, static_cast<off_t>(4096 * 16 + kMaxRanks * kSlotBytes)) != 0) {
    return refuse(ncclSystemError, "no shared memory");
  }
  comm->shared = static_cast<Shared*>(
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, comm->file, 0));
  if (comm->shared == MAP_FAILED) return refuse(ncclSystemError, "no shared memory");
  CUuuid uuid{};
  cuDeviceGetUuid(&uuid, comm->card);
  std::memcpy(comm->mine().card, uuid.bytes, sizeof(uuid.bytes));
  comm->mine().pid = getpid();
  comm->mine().arrived.store(1);
  // The last to come removes the name: nothing is left behind by whoever dies later.
  if (comm->all([](const RankState& other) { return other.arrived.load() == 1; })) {
    shm_unlink(id.internal);
  }
  {
    const std::lock_guard lock(mutex);
    live().push_back(comm.get());
  }
  *out = comm.release();
  return config->blocking == 0 ? ncclInProgress : ncclSuccess;
}

EXPORT ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  if (!comm->all([](const RankState& other) { return other.arrived.load() == 1; })) {
    *state = ncclInProgress;
    return ncclSuccess;
  }
  *state = ncclSuccess;
  for (int a = 0; a < comm->size; ++a) {
    for (int b = 0; b < a; ++b) {
      if (std::memcmp(comm->shared->ranks[a].card, comm->shared->ranks[b].card, 16) != 0) continue;
      *state = refuse(ncclInvalidUsage, "Duplicate GPU detected: rank " + std::to_string(b) +
                                            " and rank " + std::to_string(a));
    }
  }
  return ncclSuccess;
}

// The memory stays: what is enqueued still looks at it.
EXPORT ncclResult_t ncclCommAbort(ncclComm_t comm) {
  static auto& aborted = *new std::vector<ncclComm*>();
  comm->aborted = true;
  const std::lock_guard lock(mutex);
  aborted.push_back(comm);
  std::erase(live(), comm);
  return ncclSuccess;
}

EXPORT const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInProgress:
      return "NCCL operation in progress";
    default:
      return "unhandled cuda error";
  }
}
EXPORT const char* ncclGetLastError(ncclComm_t) { return last_error.c_str(); }

EXPORT ncclResult_t ncclGroupStart() {
  ++group_depth;
  return ncclSuccess;
}
EXPORT ncclResult_t ncclGroupEnd() {
  if (group_depth == 0) return refuse(ncclInvalidUsage, "ncclGroupEnd without a start");
  --group_depth;
  return ncclSuccess;
}

EXPORT ncclResult_t ncclAllReduce(const void* send, void* receive, size_t count,
                                  ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,
                                  cudaStream_t stream) {
  return enqueue("ncclAllReduce", {comm, 0, Kind::kAllReduce, send, receive, count, type, op, 0},
                 stream);
}
EXPORT ncclResult_t ncclAllGather(const void* send, void* receive, size_t count,
                                  ncclDataType_t type, ncclComm_t comm, cudaStream_t stream) {
  return enqueue("ncclAllGather",
                 {comm, 0, Kind::kAllGather, send, receive, count, type, ncclSum, 0}, stream);
}
EXPORT ncclResult_t ncclBroadcast(const void* send, void* receive, size_t count,
                                  ncclDataType_t type, int root, ncclComm_t comm,
                                  cudaStream_t stream) {
  return enqueue("ncclBroadcast",
                 {comm, 0, Kind::kBroadcast, send, receive, count, type, ncclSum, root}, stream);
}

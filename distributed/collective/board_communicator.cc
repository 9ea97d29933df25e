#include "distributed/collective/board_communicator.h"

#include <utility>

namespace trireme {
namespace {

// A call in 64 bits, so that it is published by one store: kind, dtype, detail, then as much of the
// count and of the call's number as fits.
struct PackedCall {
  static constexpr uint64_t kCountMask = (uint64_t{1} << 40) - 1;
  static uint64_t pack(CallKind kind, DType dtype, int detail, int64_t count, uint64_t number) {
    return (static_cast<uint64_t>(kind) << 61) | (static_cast<uint64_t>(dtype) << 57) |
           ((static_cast<uint64_t>(detail) & 0x3ff) << 47) | ((number & 0x7f) << 40) |
           (static_cast<uint64_t>(count) & kCountMask);
  }
  static std::string text(uint64_t call) {
    static constexpr const char* kNames[] = {"all_reduce", "reduce_scatter", "all_gather",
                                             "broadcast", "barrier"};
    const uint64_t kind = call >> 61, dtype = (call >> 57) & 0xf;
    if (kind > 4 || dtype > static_cast<uint64_t>(DType::kString)) return "an unknown call";
    if (kind == static_cast<uint64_t>(CallKind::kBarrier)) return "barrier";
    return str_cat(kNames[kind], " of ", call & kCountMask, " ", name(static_cast<DType>(dtype)),
                   " (option ", (call >> 47) & 0x3ff, ")");
  }
};

}  // namespace

std::string list_of(const std::vector<Peer>& peers, const std::vector<int>& ranks) {
  std::string list;
  for (const int rank : ranks) {
    if (!list.empty()) list += ", ";
    list += peers[static_cast<size_t>(rank)].to_string();
  }
  return list;
}

BoardCommunicator::BoardCommunicator(Group group, CommunicatorOptions options, StageCell* cells,
                                     int cores)
    : Communicator(std::move(group), options), board_(cells, rank(), size(), cores) {}

void BoardCommunicator::begin_call(CallKind kind, TensorSpan data, int detail) {
  throw_if_aborted();
  ++calls_;
  call_ = PackedCall::pack(kind, data.dtype, detail, data.count, calls_);
  checked_ = false;
  board_.cell(rank()).call[calls_ & 1].store(call_, std::memory_order_relaxed);
}

void BoardCommunicator::wait() {
  while (!board_.wait_briefly()) {
    throw_if_aborted();
    throw_if_lost();
    if (Clock::now() >= deadline()) throw_late();
  }
  if (!checked_) check_calls();
}

void BoardCommunicator::check_calls() {
  checked_ = true;
  for (int peer = 0; peer < size(); ++peer) {
    const uint64_t theirs = board_.cell(peer).call[calls_ & 1].load(std::memory_order_relaxed);
    if (theirs == call_) continue;
    throw data_loss(group().peers[static_cast<size_t>(peer)].to_string(), " is in another call",
                    where(), ": it makes ", PackedCall::text(theirs), ", this rank ",
                    PackedCall::text(call_),
                    "; all ranks must make the same calls in the same order");
  }
}

void BoardCommunicator::throw_if_lost() const {
  const std::vector<int> missing = board_.missing();
  for (const int peer : missing) {
    if (is_gone(peer) && !board_.farewell_of(peer)) {
      throw Error(
          ErrorCode::kUnavailable,
          str_cat(group().peers[static_cast<size_t>(peer)].to_string(), " is gone", where()));
    }
  }
  throw_farewell_of(missing);
}

void BoardCommunicator::throw_farewell() const {
  std::vector<int> all;
  for (int peer = 0; peer < size(); ++peer) all.push_back(peer);
  throw_farewell_of(all);
}

void BoardCommunicator::throw_farewell_of(const std::vector<int>& ranks) const {
  for (const int peer : ranks) {
    if (const auto cause = board_.farewell_of(peer)) {
      throw Error(cause->code(), str_cat(cause->what(), "; found by ",
                                         group().peers[static_cast<size_t>(peer)].to_string()));
    }
  }
}

void BoardCommunicator::throw_late() const {
  const std::vector<int> late = board_.last();
  throw Error(ErrorCode::kDeadlineExceeded,
              str_cat(list_of(group().peers, late), late.size() == 1 ? " has" : " have",
                      " not arrived after ", static_cast<double>(options().timeout.count()) / 1000,
                      " s", where()));
}

void BoardCommunicator::wake() {
  if (const auto cause = fault()) board_.say_farewell(*cause);
  board_.wake_all();
}

void BoardCommunicator::leave() {
  board_.say_farewell(
      Error(ErrorCode::kUnavailable,
            group().peers[static_cast<size_t>(rank())].to_string() + " has left the group"));
  board_.wake_all();
}

}  // namespace trireme

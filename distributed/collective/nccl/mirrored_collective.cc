#include "distributed/collective/nccl/mirrored_collective.h"

#include <algorithm>

#include "core/device/cuda/cuda.h"
#include "distributed/collective/nccl/rank_sum.h"

namespace trireme {

MirroredGroup::MirroredGroup(std::span<Device* const> devices, std::chrono::milliseconds timeout)
    : devices_(devices.begin(), devices.end()), calls_(devices.size()) {
  std::vector<int> known;  // cards, in the order of cards_
  for (size_t rank = 0; rank < devices_.size(); ++rank) {
    const int card = cuda_card_of(*devices_[rank]);
    const auto at = std::ranges::find(known, card);
    if (at == known.end()) {
      known.push_back(card);
      cards_.push_back({static_cast<int>(rank)});
    } else {
      cards_[static_cast<size_t>(at - known.begin())].push_back(static_cast<int>(rank));
    }
    events_.push_back(
        std::make_unique<cuda::CudaEvent>(static_cast<cuda::CudaDevice&>(*devices_[rank])));
  }
  if (cards_.size() == 1) return;
  std::vector<Device*> leaders;
  for (const auto& ranks : cards_) leaders.push_back(devices_[static_cast<size_t>(ranks[0])]);
  ncclUniqueId id;
  if (auto failure = nccl_error(nccl().ncclGetUniqueId(&id), nullptr, "making a group of GPUs")) {
    throw Error(*failure);
  }
  comms_ = NcclComm::make(id, static_cast<int>(leaders.size()), 0, leaders, timeout);
  gathered_.resize(cards_.size());
}

MirroredGroup::~MirroredGroup() { stop(); }

std::string MirroredGroup::description() const {
  if (cards_.size() == 1) return str_cat(devices_.size(), " GPUs of one card");
  const std::string nccl = str_cat("NCCL ", nccl_version(), ", ", cards_.size(), " cards");
  if (cards_.size() == devices_.size()) return nccl;
  return str_cat(nccl, ", ", devices_.size(), " GPUs");
}

void MirroredGroup::add(int rank, const DeviceReduction& what, cuda::CudaStream& stream) {
  Call& call = calls_[static_cast<size_t>(rank)];
  TRIREME_CHECK(call.stream == nullptr, "rank ", rank, " reduces twice before rank ", called_,
                " others did: ", *what.label);
  call = {what, &stream};
  if (++called_ < calls_.size()) return;
  enqueue_all();
  for (Call& each : calls_) each = {};
  called_ = 0;
}

void MirroredGroup::gather_streams(const std::vector<int>& ranks) {
  Call& first = calls_[static_cast<size_t>(ranks[0])];
  for (size_t i = 1; i < ranks.size(); ++i) {
    cuda::CudaEvent& event = *events_[static_cast<size_t>(ranks[i])];
    calls_[static_cast<size_t>(ranks[i])].stream->record(event);
    first.stream->wait(event);
  }
}

void MirroredGroup::release_streams(const std::vector<int>& ranks) {
  if (ranks.size() == 1) return;
  cuda::CudaEvent& event = *events_[static_cast<size_t>(ranks[0])];
  calls_[static_cast<size_t>(ranks[0])].stream->record(event);
  for (size_t i = 1; i < ranks.size(); ++i) {
    calls_[static_cast<size_t>(ranks[i])].stream->wait(event);
  }
}

void MirroredGroup::enqueue_all() {
  const DeviceReduction& what = calls_[0].what;
  for (const Call& call : calls_) {
    TRIREME_CHECK(call.what.count == what.count && call.what.dtype == what.dtype &&
                      call.what.op == what.op && call.what.summation == what.summation,
                  *what.label, " and ", *call.what.label, " are not one reduction");
  }
  if (what.count == 0) return;
  const bool one_card = cards_.size() == 1;
  const bool tree = what.summation == Summation::kTree && what.op == ReduceOp::kSum && !one_card;
  if (tree) return tree_between_cards();
  // A mean is made at the end, where the number of all is known.
  DeviceReduction part = what;
  if (!one_card && what.op == ReduceOp::kMean) part.op = ReduceOp::kSum;
  for (const auto& ranks : cards_) {
    if (ranks.size() == 1) continue;
    gather_streams(ranks);
    RankPointers data;
    for (int rank : ranks) data.add(calls_[static_cast<size_t>(rank)].what.data);
    RankPointers to;
    to.add(data.at[0]);
    calls_[static_cast<size_t>(ranks[0])].stream->device().make_current();
    rank_sum(data, one_card ? data : to, part, *calls_[static_cast<size_t>(ranks[0])].stream);
    if (one_card) release_streams(ranks);
  }
  if (!one_card) reduce_between_cards(part);
}

void MirroredGroup::reduce_between_cards(const DeviceReduction& what) {
  ncclResult_t result = nccl().ncclGroupStart();
  for (size_t card = 0; card < cards_.size(); ++card) {
    const Call& call = calls_[static_cast<size_t>(cards_[card][0])];
    call.stream->device().make_current();
    result = nccl().ncclAllReduce(call.what.data, call.what.data, static_cast<size_t>(what.count),
                                  nccl_type(what.dtype), nccl_op(what.op), comms_[card]->raw(),
                                  call.stream->raw());
    comms_[card]->finish(result == ncclInProgress ? ncclSuccess : result, *what.label);
  }
  result = nccl().ncclGroupEnd();
  for (const auto& comm : comms_) comm->finish(result, *what.label);
  for (const auto& ranks : cards_) {
    const Call& first = calls_[static_cast<size_t>(ranks[0])];
    if (ranks.size() == 1) continue;
    for (size_t i = 1; i < ranks.size(); ++i) {
      first.stream->copy(calls_[static_cast<size_t>(ranks[i])].what.data, first.what.data,
                         static_cast<size_t>(what.count) * size_of(what.dtype),
                         CopyKind::kDeviceToDevice);
    }
    release_streams(ranks);
  }
}

// Every card gets what all ranks have, and adds it in the one order. A card's first rank sends for
// the others: round by round, what is the i-th on its card.
void MirroredGroup::tree_between_cards() {
  const DeviceReduction& what = calls_[0].what;
  const size_t bytes = static_cast<size_t>(what.count) * size_of(what.dtype);
  size_t rounds = 0;
  for (const auto& ranks : cards_) rounds = std::max(rounds, ranks.size());
  for (size_t card = 0; card < cards_.size(); ++card) {
    gather_streams(cards_[card]);
    const size_t needed = bytes * rounds * cards_.size();
    if (!gathered_[card] || gathered_[card]->bytes() < needed) {
      gathered_[card] = devices_[static_cast<size_t>(cards_[card][0])]->allocate(needed);
    }
  }
  const auto slot = [&](size_t card, size_t round, size_t of_card) {
    return static_cast<char*>(gathered_[card]->data()) + (round * cards_.size() + of_card) * bytes;
  };
  for (size_t round = 0; round < rounds; ++round) {
    ncclResult_t result = nccl().ncclGroupStart();
    for (size_t card = 0; card < cards_.size(); ++card) {
      const auto& ranks = cards_[card];
      // A card with fewer ranks than others sends its last one again, which nobody reads.
      const Call& call = calls_[static_cast<size_t>(ranks[std::min(round, ranks.size() - 1)])];
      const Call& first = calls_[static_cast<size_t>(ranks[0])];
      first.stream->device().make_current();
      result = nccl().ncclAllGather(call.what.data, slot(card, round, 0),
                                    static_cast<size_t>(what.count), nccl_type(what.dtype),
                                    comms_[card]->raw(), first.stream->raw());
      comms_[card]->finish(result == ncclInProgress ? ncclSuccess : result, *what.label);
    }
    result = nccl().ncclGroupEnd();
    for (const auto& comm : comms_) comm->finish(result, *what.label);
  }
  for (size_t card = 0; card < cards_.size(); ++card) {
    std::vector<void*> by_rank(calls_.size());
    for (size_t other = 0; other < cards_.size(); ++other) {
      for (size_t i = 0; i < cards_[other].size(); ++i) {
        by_rank[static_cast<size_t>(cards_[other][i])] = slot(card, i, other);
      }
    }
    RankPointers from, to;
    for (void* address : by_rank) from.add(address);
    for (int rank : cards_[card]) to.add(calls_[static_cast<size_t>(rank)].what.data);
    cuda::CudaStream& stream = *calls_[static_cast<size_t>(cards_[card][0])].stream;
    stream.device().make_current();
    rank_sum(from, to, what, stream);
    release_streams(cards_[card]);
  }
}

std::optional<Error> MirroredGroup::poll() const {
  for (const auto& comm : comms_) {
    if (auto failure = comm->error(description())) return failure;
  }
  return std::nullopt;
}

void MirroredGroup::stop() noexcept {
  for (const auto& comm : comms_) comm->abort();
}

DeviceCollectives make_mirrored_collectives(std::span<Device* const> devices,
                                            std::chrono::milliseconds timeout) {
  const auto group = std::make_shared<MirroredGroup>(devices, timeout);
  DeviceCollectives collectives;
  for (size_t rank = 0; rank < devices.size(); ++rank) {
    collectives.push_back(
        std::make_unique<MirroredCollective>(group, static_cast<int>(rank), timeout));
  }
  return collectives;
}

}  // namespace trireme

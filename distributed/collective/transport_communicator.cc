#include "distributed/collective/transport_communicator.h"

#include <cstring>
#include <utility>

#include "distributed/collective/doubling.h"

namespace trireme {
namespace {

// Up to here latency counts more than the bytes that recursive doubling sends in excess.
constexpr size_t kSmallBytes = 64 << 10;
// Of small groups: a block that is gathered in one round, a tensor that is broadcast along a
// binomial tree.
constexpr size_t kSmallBlockBytes = 16 << 10;
// Of large groups: from here on a block is worth a step of a ring of its own.
constexpr size_t kRingBlockBytes = 512 << 10;

// Whether the log2 n times that the root of a binomial tree sends the tensor take longer than its
// first chunk does along a chain.
bool chain_is_quicker(const TransportCall& call, size_t bytes) {
  if (call.size <= kMeshRanks) return bytes > kSmallBlockBytes;
  size_t rounds = 0;
  for (int ranks = 1; ranks < call.size; ranks *= 2) ++rounds;
  return bytes * (rounds - 1) > static_cast<size_t>(call.size - 2) * call.chunk_bytes;
}

}  // namespace

TransportCommunicator::TransportCommunicator(Group group, CommunicatorOptions options,
                                             std::unique_ptr<Transport> transport)
    : Communicator(std::move(group), options), transport_(std::move(transport)) {}

TransportCommunicator::~TransportCommunicator() = default;

std::string TransportCommunicator::description() const {
  return str_cat(transport_->description(), ", ", size(), size() == 1 ? " rank" : " ranks");
}

template <typename Body>
void TransportCommunicator::run_call(Body body) {
  try {
    throw_if_aborted();
    body(TransportCall{.transport = *transport_,
                       .rank = rank(),
                       .size = size(),
                       .deadline = deadline(),
                       .scratch = scratch_});
  } catch (const Error& error) {
    throw_if_aborted();  // its cause is the first one, and says all
    throw Error(error.code(), error.what() + where());
  }
}

void TransportCommunicator::do_all_reduce(TensorSpan data, ReduceOp op, Summation summation) {
  run_call([&](const TransportCall& call) {
    if (data.bytes() <= kSmallBytes) {
      recursive_doubling_all_reduce(call, data, op);
      if (op == ReduceOp::kMean) divide_by(data.dtype, data.data, data.count, size());
      return;
    }
    reduce_large(call, data, op, summation);
  });
}

void TransportCommunicator::reduce_large(const TransportCall& call, TensorSpan data, ReduceOp op,
                                         Summation summation) {
  const Blocks blocks = even_blocks(data.count, size());
  const bool large_group = size() > kMeshRanks;
  const bool by_ring =
      summation == Summation::kAny &&
      (!large_group || static_cast<size_t>(blocks.stride) * size_of(data.dtype) >= kRingBlockBytes);
  TensorSpan mine = part(data, blocks.begin(rank()), blocks.size(rank()));
  if (by_ring) {
    ring_reduce_scatter(call, data, blocks, op);
  } else if (large_group) {
    mine = halving_reduce_scatter(call, data, op);
  } else {
    direct_reduce_scatter(call, data, blocks, mine, op);
  }
  if (op == ReduceOp::kMean) divide_by(data.dtype, mine.data, mine.count, size());
  if (large_group && !by_ring) {
    doubling_all_gather(call, data);
  } else {
    ring_all_gather(call, data, blocks);
  }
}

void TransportCommunicator::do_reduce_scatter(TensorSpan in, TensorSpan out, ReduceOp op) {
  run_call([&](const TransportCall& call) {
    const Blocks blocks{in.count, out.count};
    if (size() <= kMeshRanks) {
      direct_reduce_scatter(call, in, blocks, out, op);
    } else {
      copy_.resize(std::max(copy_.size(), in.bytes()));
      std::memcpy(copy_.data(), in.data, in.bytes());
      const TensorSpan all{copy_.data(), in.count, in.dtype};
      if (out.bytes() >= kRingBlockBytes) {
        ring_reduce_scatter(call, all, blocks, op);
      } else if (in.bytes() <= kSmallBytes) {
        recursive_doubling_all_reduce(call, all, op);
      } else {
        // The halves of the tensor end with other ranks than its blocks are for.
        halving_reduce_scatter(call, all, op);
        doubling_all_gather(call, all);
      }
      std::memcpy(out.data, part(all, blocks.begin(rank()), out.count).data, out.bytes());
    }
    if (op == ReduceOp::kMean) divide_by(out.dtype, out.data, out.count, size());
  });
}

void TransportCommunicator::do_all_gather(TensorSpan in, TensorSpan out) {
  run_call([&](const TransportCall& call) {
    const Blocks blocks{out.count, in.count};
    const TensorSpan mine = part(out, blocks.begin(rank()), in.count);
    if (mine.data != in.data) std::memcpy(mine.data, in.data, in.bytes());
    const bool large_group = size() > kMeshRanks;
    if (in.bytes() > (large_group ? kRingBlockBytes : kSmallBlockBytes)) {
      ring_all_gather(call, out, blocks);
    } else if (large_group) {
      bruck_all_gather(call, out, blocks);
    } else {
      direct_all_gather(call, out, blocks);
    }
  });
}

void TransportCommunicator::do_broadcast(TensorSpan data, int root) {
  run_call([&](const TransportCall& call) {
    if (chain_is_quicker(call, data.bytes())) {
      chain_broadcast(call, data, root);
    } else {
      binomial_broadcast(call, data, root);
    }
  });
}

void TransportCommunicator::do_barrier() {
  run_call([&](const TransportCall& call) { dissemination_barrier(call, sequence()); });
}

void TransportCommunicator::wake() {
  if (const auto cause = fault()) transport_->abort(*cause);
}

}  // namespace trireme

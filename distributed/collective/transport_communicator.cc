#include "distributed/collective/transport_communicator.h"

#include <cstring>
#include <utility>

namespace trireme {
namespace {

// Up to here latency counts more than the bytes that recursive doubling sends in excess.
constexpr size_t kSmallBytes = 64 << 10;
// A block that is gathered in one round, a tensor that is broadcast along a binomial tree.
constexpr size_t kSmallBlockBytes = 16 << 10;

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
    const Blocks blocks = even_blocks(data.count, size());
    const TensorSpan mine = part(data, blocks.begin(rank()), blocks.size(rank()));
    if (summation == Summation::kTree) {
      direct_reduce_scatter(call, data, blocks, mine, op);
    } else {
      ring_reduce_scatter(call, data, blocks, op);
    }
    if (op == ReduceOp::kMean) divide_by(data.dtype, mine.data, mine.count, size());
    ring_all_gather(call, data, blocks);
  });
}

void TransportCommunicator::do_reduce_scatter(TensorSpan in, TensorSpan out, ReduceOp op) {
  run_call([&](const TransportCall& call) {
    direct_reduce_scatter(call, in, {in.count, out.count}, out, op);
    if (op == ReduceOp::kMean) divide_by(out.dtype, out.data, out.count, size());
  });
}

void TransportCommunicator::do_all_gather(TensorSpan in, TensorSpan out) {
  run_call([&](const TransportCall& call) {
    const Blocks blocks{out.count, in.count};
    const TensorSpan mine = part(out, blocks.begin(rank()), in.count);
    if (mine.data != in.data) std::memcpy(mine.data, in.data, in.bytes());
    if (in.bytes() <= kSmallBlockBytes) {
      direct_all_gather(call, out, blocks);
    } else {
      ring_all_gather(call, out, blocks);
    }
  });
}

void TransportCommunicator::do_broadcast(TensorSpan data, int root) {
  run_call([&](const TransportCall& call) {
    if (data.bytes() <= kSmallBlockBytes) {
      binomial_broadcast(call, data, root);
    } else {
      chain_broadcast(call, data, root);
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

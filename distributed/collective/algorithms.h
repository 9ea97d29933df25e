// Collectives made of messages: each function is one algorithm over a Transport.
//
// Called by the communicator's thread on every rank of the group with the same arguments; which of
// them is called is TransportCommunicator's choice. Each function ends with finish_sends(), and
// calls it in between only where every rank is sure to take what was sent to it, so a transport
// needs no buffers. kMean adds; the caller divides. Errors are the transport's.
#pragma once

#include <cstddef>
#include <vector>

#include "distributed/collective/communicator.h"
#include "distributed/collective/reduce.h"
#include "distributed/collective/transport.h"

namespace trireme {

struct TransportCall {
  Transport& transport;
  int rank = 0;
  int size = 1;
  Transport::TimePoint deadline;
  std::vector<std::byte>& scratch;  // grows as needed; kept from call to call
  size_t chunk_bytes = 512 << 10;   // of a message where transfers are pipelined
};

// For small tensors: ceil(log2 n) rounds with the whole tensor; in large groups that are no power
// of two up to as many again, since no rank may serve many. Forms sums along the tree that
// combine_tree() defines, so it serves Summation::kTree as well.
void recursive_doubling_all_reduce(const TransportCall& call, TensorSpan data, ReduceOp op);

// Afterwards the own block of `data` is reduced and the rest is undefined. n-1 steps of a ring;
// chunks are reduced while the next ones are under way.
void ring_reduce_scatter(const TransportCall& call, TensorSpan data, Blocks blocks, ReduceOp op);

// For small groups: every rank sends each block to its owner, who combines along the tree into
// `out`; that may be the own block of `in`, and the rest of `in` stays as it is.
void direct_reduce_scatter(const TransportCall& call, TensorSpan in, Blocks blocks, TensorSpan out,
                           ReduceOp op);

// The own block of `data` goes to all others, n-1 steps of a ring, in chunks.
void ring_all_gather(const TransportCall& call, TensorSpan data, Blocks blocks);
// The same in one round of n-1 messages, for small blocks and groups.
void direct_all_gather(const TransportCall& call, TensorSpan data, Blocks blocks);

// A binomial tree, ceil(log2 n) rounds, in chunks.
void binomial_broadcast(const TransportCall& call, TensorSpan data, int root);
// From rank to rank in chunks: n-1 hops, but no rank sends a chunk twice.
void chain_broadcast(const TransportCall& call, TensorSpan data, int root);

// ceil(log2 n) rounds. The messages carry `sequence`: throws Error{kDataLoss} when another rank is
// in another call.
void dissemination_barrier(const TransportCall& call, uint64_t sequence);

}  // namespace trireme

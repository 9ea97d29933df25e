#include "distributed/collective/algorithms.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/base/error.h"
#include "distributed/collective/doubling.h"

namespace trireme {
namespace {

std::byte* scratch_of(const TransportCall& call, size_t bytes) {
  if (call.scratch.size() < bytes) call.scratch.resize(bytes);
  return call.scratch.data();
}

// Cuts `data` into messages of at most `elements` and gives each to `body`.
template <typename Body>
void for_chunks(TensorSpan data, int64_t elements, Body body) {
  for (int64_t begin = 0; begin < data.count; begin += elements) {
    body(part(data, begin, std::min(elements, data.count - begin)));
  }
}

int64_t chunk_elements(const TransportCall& call, DType dtype) {
  return std::max<int64_t>(1, static_cast<int64_t>(call.chunk_bytes / size_of(dtype)));
}

TensorSpan block(TensorSpan data, Blocks blocks, int rank) {
  return part(data, blocks.begin(rank), blocks.size(rank));
}

// The first `have` of the `ranks` ranks from `first` on have `data`; afterwards all of them. Both
// sides of each message stand a power of two apart.
void pass_on(const TransportCall& call, int first, int ranks, int have, void* data, size_t bytes) {
  const int index = call.rank - first;
  for (int width = static_cast<int>(std::bit_floor(static_cast<unsigned>(have))); width < ranks;
       width *= 2) {
    if (index < width && index + width >= have) {
      call.transport.start_send(call.rank + width, data, bytes);
    } else if (index >= std::max(width, have) && index < 2 * width) {
      call.transport.receive(call.rank - width, data, bytes, call.deadline);
    }
  }
}

}  // namespace

void recursive_doubling_all_reduce(const TransportCall& call, TensorSpan data, ReduceOp op) {
  std::byte* other = scratch_of(call, data.bytes());
  for (int distance = 1; distance < call.size; distance *= 2) {
    const int left = call.rank / (2 * distance) * (2 * distance);
    const int right = left + distance;
    if (right >= call.size) continue;  // nobody to combine this block with
    const int right_size = std::min(distance, call.size - right);
    // A short right block serves several ranks of the left one, but needs each value only once.
    const bool fans_out = call.size <= kMeshRanks;
    if (call.rank < right) {
      const int index = call.rank - left;
      if (index < right_size) call.transport.start_send(right + index, data.data, data.bytes());
      if (index < right_size || fans_out) {
        call.transport.receive(right + index % right_size, other, data.bytes(), call.deadline);
      }
      if (!fans_out) pass_on(call, left, distance, right_size, other, data.bytes());
      call.transport.finish_sends(call.deadline);
      combine(data.dtype, op, data.data, data.data, other, data.count);
    } else {
      const int index = call.rank - right;
      const int end = fans_out ? right : left + index + 1;
      for (int to = left + index; to < end; to += right_size) {
        call.transport.start_send(to, data.data, data.bytes());
      }
      call.transport.receive(left + index, other, data.bytes(), call.deadline);
      call.transport.finish_sends(call.deadline);
      combine(data.dtype, op, data.data, other, data.data, data.count);
    }
  }
}

void ring_reduce_scatter(const TransportCall& call, TensorSpan data, Blocks blocks, ReduceOp op) {
  const int n = call.size;
  const int next = (call.rank + 1) % n;
  const int previous = (call.rank + n - 1) % n;
  const int64_t elements = chunk_elements(call, data.dtype);
  std::byte* incoming = scratch_of(
      call, static_cast<size_t>(std::min(elements, blocks.size(0))) * size_of(data.dtype));
  // Block b starts at rank b + 1 and ends, complete, at rank b.
  for_chunks(block(data, blocks, previous), elements,
             [&](TensorSpan chunk) { call.transport.start_send(next, chunk.data, chunk.bytes()); });
  for (int step = 2; step <= n; ++step) {
    const int arriving = (call.rank + 2 * n - step) % n;
    for_chunks(block(data, blocks, arriving), elements, [&](TensorSpan chunk) {
      call.transport.receive(previous, incoming, chunk.bytes(), call.deadline);
      reduce_into(data.dtype, op, chunk.data, incoming, chunk.count);
      if (arriving != call.rank) call.transport.start_send(next, chunk.data, chunk.bytes());
    });
  }
  call.transport.finish_sends(call.deadline);
}

void direct_reduce_scatter(const TransportCall& call, TensorSpan in, Blocks blocks, TensorSpan out,
                           ReduceOp op) {
  const int n = call.size;
  // All pieces of one chunk are in memory at once.
  const size_t width = size_of(in.dtype);
  const int64_t elements =
      std::max<int64_t>(1024, chunk_elements(call, in.dtype) / std::max(1, n - 1));
  const int64_t longest = blocks.size(0);
  const size_t piece_bytes = static_cast<size_t>(std::min(elements, longest)) * width;
  std::byte* pieces = scratch_of(call, piece_bytes * static_cast<size_t>(n));
  std::vector<const void*> leaves(static_cast<size_t>(n));

  for (int64_t begin = 0; begin < longest; begin += elements) {
    const auto chunk_of = [&](int owner) {
      const int64_t from = std::min(begin, blocks.size(owner));
      return part(in, blocks.begin(owner) + from, std::min(elements, blocks.size(owner) - from));
    };
    // Each rank begins with another owner, so that no one gets everything at once.
    for (int i = 1; i < n; ++i) {
      const int owner = (call.rank + i) % n;
      const TensorSpan chunk = chunk_of(owner);
      if (chunk.count > 0) call.transport.start_send(owner, chunk.data, chunk.bytes());
    }
    const TensorSpan mine = chunk_of(call.rank);
    if (mine.count == 0) continue;
    for (int i = 1; i < n; ++i) {
      const int from = (call.rank + n - i) % n;
      std::byte* piece = pieces + piece_bytes * static_cast<size_t>(from);
      call.transport.receive(from, piece, mine.bytes(), call.deadline);
      leaves[static_cast<size_t>(from)] = piece;
    }
    leaves[static_cast<size_t>(call.rank)] = mine.data;
    combine_tree(in.dtype, op, part(out, begin, mine.count).data, leaves, mine.count);
  }
  call.transport.finish_sends(call.deadline);
}

void ring_all_gather(const TransportCall& call, TensorSpan data, Blocks blocks) {
  const int n = call.size;
  const int next = (call.rank + 1) % n;
  const int previous = (call.rank + n - 1) % n;
  const int64_t elements = chunk_elements(call, data.dtype);
  for_chunks(block(data, blocks, call.rank), elements,
             [&](TensorSpan chunk) { call.transport.start_send(next, chunk.data, chunk.bytes()); });
  for (int step = 1; step < n; ++step) {
    const int arriving = (call.rank + n - step) % n;
    for_chunks(block(data, blocks, arriving), elements, [&](TensorSpan chunk) {
      call.transport.receive(previous, chunk.data, chunk.bytes(), call.deadline);
      if (step < n - 1) call.transport.start_send(next, chunk.data, chunk.bytes());
    });
  }
  call.transport.finish_sends(call.deadline);
}

void direct_all_gather(const TransportCall& call, TensorSpan data, Blocks blocks) {
  const int n = call.size;
  const TensorSpan mine = block(data, blocks, call.rank);
  for (int i = 1; i < n && mine.count > 0; ++i) {
    call.transport.start_send((call.rank + i) % n, mine.data, mine.bytes());
  }
  for (int i = 1; i < n; ++i) {
    const int from = (call.rank + n - i) % n;
    const TensorSpan theirs = block(data, blocks, from);
    if (theirs.count > 0) {
      call.transport.receive(from, theirs.data, theirs.bytes(), call.deadline);
    }
  }
  call.transport.finish_sends(call.deadline);
}

void binomial_broadcast(const TransportCall& call, TensorSpan data, int root) {
  const int n = call.size;
  const int position = (call.rank - root + n) % n;
  const auto rank_at = [&](int at) { return (at + root) % n; };
  // A position receives from the one without its highest bit, then serves those with a higher one.
  int bit = 1;
  while (bit <= position) bit *= 2;
  for_chunks(data, chunk_elements(call, data.dtype), [&](TensorSpan chunk) {
    if (position > 0) {
      call.transport.receive(rank_at(position - bit / 2), chunk.data, chunk.bytes(), call.deadline);
    }
    for (int next = bit; position + next < n; next *= 2) {
      call.transport.start_send(rank_at(position + next), chunk.data, chunk.bytes());
    }
  });
  call.transport.finish_sends(call.deadline);
}

void chain_broadcast(const TransportCall& call, TensorSpan data, int root) {
  const int n = call.size;
  const int position = (call.rank - root + n) % n;
  for_chunks(data, chunk_elements(call, data.dtype), [&](TensorSpan chunk) {
    if (position > 0) {
      call.transport.receive((call.rank + n - 1) % n, chunk.data, chunk.bytes(), call.deadline);
    }
    if (position < n - 1) {
      call.transport.start_send((call.rank + 1) % n, chunk.data, chunk.bytes());
    }
  });
  call.transport.finish_sends(call.deadline);
}

void dissemination_barrier(const TransportCall& call, uint64_t sequence) {
  for (int distance = 1; distance < call.size; distance *= 2) {
    const int from = (call.rank + call.size - distance) % call.size;
    call.transport.start_send((call.rank + distance) % call.size, &sequence, sizeof(sequence));
    uint64_t theirs = 0;
    call.transport.receive(from, &theirs, sizeof(theirs), call.deadline);
    call.transport.finish_sends(call.deadline);
    if (theirs != sequence) {
      throw data_loss("rank ", from, " is in collective call ", theirs, ", this rank in ", sequence,
                      ": both must make the same calls in the same order");
    }
  }
}

}  // namespace trireme

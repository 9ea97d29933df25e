#include "distributed/collective/doubling.h"

#include <algorithm>
#include <bit>
#include <set>

namespace trireme {
namespace {

int power_below(int n) { return static_cast<int>(std::bit_floor(static_cast<unsigned>(n))); }

// A group as blocks of powers of two of ranks, descending: 13 ranks are [0, 8), [8, 12), [12, 13).
// Each begins at a multiple of its size, and the tree over all ranks is
// block 0 + (block 1 + (block 2 + …)).
struct RankBlock {
  int begin = 0;
  int size = 0;
  bool holds(int rank) const { return rank >= begin && rank < begin + size; }
};

std::vector<RankBlock> blocks_of(int ranks) {
  std::vector<RankBlock> blocks;
  for (int begin = 0; begin < ranks;) {
    blocks.push_back({begin, power_below(ranks - begin)});
    begin += blocks.back().size;
  }
  return blocks;
}

// What each rank of a block owns: the tensor is halved once for each bit of the rank's index in its
// block, the lowest bit first. A bit that is 1 means the upper half.
class Halves {
 public:
  Halves(TensorSpan data, int ranks)
      : data_(data), parts_(power_below(ranks)), cut_(even_blocks(data.count, parts_)) {}

  // What is left to the rank with this index when its bits below `width` have been looked at.
  TensorSpan of(int index, int width) const {
    int begin = 0, parts = parts_;
    for (int bit = 1; bit < width; bit *= 2) {
      parts /= 2;
      if ((index & bit) != 0) begin += parts;
    }
    return part(data_, cut_.begin(begin), cut_.begin(begin + parts) - cut_.begin(begin));
  }

 private:
  const TensorSpan data_;
  const int parts_;
  const Blocks cut_;
};

template <typename Body>
void for_chunks(const TransportCall& call, TensorSpan data, Body body) {
  const auto elements =
      std::max<int64_t>(1, static_cast<int64_t>(call.chunk_bytes / size_of(data.dtype)));
  for (int64_t begin = 0; begin < data.count; begin += elements) {
    body(part(data, begin, std::min(elements, data.count - begin)));
  }
}

void send(const TransportCall& call, int to, TensorSpan data) {
  for_chunks(call, data,
             [&](TensorSpan chunk) { call.transport.start_send(to, chunk.data, chunk.bytes()); });
}

void receive(const TransportCall& call, int from, TensorSpan data) {
  for_chunks(call, data, [&](TensorSpan chunk) {
    call.transport.receive(from, chunk.data, chunk.bytes(), call.deadline);
  });
}

std::byte* scratch_of(const TransportCall& call, size_t bytes) {
  if (call.scratch.size() < bytes) call.scratch.resize(bytes);
  return call.scratch.data();
}

// Inside one block: afterwards each rank has the block's sum of what it owns.
void reduce_inside(const TransportCall& call, const Halves& halves, const RankBlock& block,
                   ReduceOp op) {
  const int index = call.rank - block.begin;
  for (int distance = 1; distance < block.size; distance *= 2) {
    const int partner = index ^ distance;
    const TensorSpan mine = halves.of(index, 2 * distance);
    send(call, block.begin + partner, halves.of(partner, 2 * distance));
    std::byte* const incoming = scratch_of(call, std::min(call.chunk_bytes, mine.bytes()));
    for_chunks(call, mine, [&](TensorSpan chunk) {
      call.transport.receive(block.begin + partner, incoming, chunk.bytes(), call.deadline);
      const bool left = index < partner;
      combine(chunk.dtype, op, chunk.data, left ? chunk.data : incoming,
              left ? incoming : chunk.data, chunk.count);
    });
  }
}

// The sum of all blocks after `left` lies in `right`, the next one; afterwards that of `left` and
// all after it lies in `left`.
void join_blocks(const TransportCall& call, TensorSpan data, const Halves& halves,
                 const RankBlock& left, const RankBlock& right, ReduceOp op) {
  if (right.holds(call.rank)) {
    const int index = call.rank - right.begin;
    send(call, left.begin + index, halves.of(index, right.size));
  }
  if (!left.holds(call.rank)) return;
  // The first ranks get what their partners own, and pass on to those behind them what is theirs.
  const int index = call.rank - left.begin;
  const TensorSpan other{scratch_of(call, data.bytes()), data.count, data.dtype};
  const Halves others(other, call.size);
  if (index < right.size) receive(call, right.begin + index, others.of(index, right.size));
  for (int width = right.size; width < left.size; width *= 2) {
    if (index < width) {
      send(call, left.begin + index + width, others.of(index + width, 2 * width));
    } else if (index < 2 * width) {
      receive(call, left.begin + index - width, others.of(index, 2 * width));
    }
  }
  const TensorSpan mine = halves.of(index, left.size);
  combine(mine.dtype, op, mine.data, mine.data, others.of(index, left.size).data, mine.count);
  call.transport.finish_sends(call.deadline);  // the scratch is used again
}

// The elements of `count` blocks from `first` on, around the end: two pieces at most.
template <typename Body>
void for_cyclic(TensorSpan data, Blocks blocks, int size, int first, int count, Body body) {
  const int straight = std::min(count, size - first);
  const auto piece = [&](int from, int to) {
    const TensorSpan elements =
        part(data, blocks.begin(from), blocks.begin(to) - blocks.begin(from));
    if (elements.count > 0) body(elements);
  };
  piece(first, first + straight);
  piece(0, count - straight);
}

}  // namespace

std::vector<int> partners_of(int rank, int size) {
  std::set<int> partners;
  if (size <= kMeshRanks) {
    for (int other = 0; other < size; ++other) partners.insert(other);
  }
  for (int distance = 1; distance < size; distance *= 2) {
    partners.insert((rank + distance) % size);
    partners.insert((rank + size - distance) % size);
  }
  partners.erase(rank);
  return {partners.begin(), partners.end()};
}

TensorSpan halving_reduce_scatter(const TransportCall& call, TensorSpan data, ReduceOp op) {
  const Halves halves(data, call.size);
  const std::vector<RankBlock> blocks = blocks_of(call.size);
  for (const RankBlock& block : blocks) {
    if (block.holds(call.rank)) reduce_inside(call, halves, block, op);
  }
  for (size_t i = blocks.size() - 1; i > 0; --i) {
    join_blocks(call, data, halves, blocks[i - 1], blocks[i], op);
  }
  call.transport.finish_sends(call.deadline);
  const bool owns = blocks.front().holds(call.rank);
  return owns ? halves.of(call.rank, blocks.front().size) : part(data, 0, 0);
}

void doubling_all_gather(const TransportCall& call, TensorSpan data) {
  const Halves halves(data, call.size);
  const int owners = power_below(call.size);
  if (call.rank >= owners) {
    receive(call, call.rank - owners, data);
    return;
  }
  for (int distance = owners / 2; distance >= 1; distance /= 2) {
    const int partner = call.rank ^ distance;
    send(call, partner, halves.of(call.rank, 2 * distance));
    receive(call, partner, halves.of(partner, 2 * distance));
  }
  if (call.rank + owners < call.size) send(call, call.rank + owners, data);
  call.transport.finish_sends(call.deadline);
}

void bruck_all_gather(const TransportCall& call, TensorSpan data, Blocks blocks) {
  const int n = call.size;
  for (int distance = 1; distance < n; distance *= 2) {
    const int count = std::min(distance, n - distance);
    const int to = (call.rank + n - distance) % n;
    const int from = (call.rank + distance) % n;
    for_cyclic(data, blocks, n, call.rank, count,
               [&](TensorSpan piece) { call.transport.start_send(to, piece.data, piece.bytes()); });
    for_cyclic(data, blocks, n, from, count, [&](TensorSpan piece) {
      call.transport.receive(from, piece.data, piece.bytes(), call.deadline);
    });
  }
  call.transport.finish_sends(call.deadline);
}

}  // namespace trireme

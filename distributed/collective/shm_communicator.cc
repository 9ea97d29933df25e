#include "distributed/collective/shm_communicator.h"

#include <cstring>
#include <utility>

namespace trireme {
namespace {

// Up to here every rank reduces everything by itself: one exchange instead of two.
constexpr size_t kFlatBytes = 8 << 10;
// Of what is reduced between two looks at the next: stays in the first-level cache.
constexpr int64_t kPartBytes = 8 << 10;

}  // namespace

ShmCommunicator::ShmCommunicator(Group group, CommunicatorOptions options,
                                 std::unique_ptr<ShmSegment> segment)
    : BoardCommunicator(std::move(group), options, segment->cells(), segment->cores()),
      segment_(std::move(segment)),
      leaves_(static_cast<size_t>(size())),
      shifted_(static_cast<size_t>(size())) {}

ShmCommunicator::~ShmCommunicator() { leave(); }

std::string ShmCommunicator::description() const {
  return str_cat("shm, ", size(), size() == 1 ? " rank" : " ranks", " on one host");
}

template <typename Put, typename Take, typename Collect>
void ShmCommunicator::pass_chunks(int64_t chunks, bool collects, Put put, Take take,
                                  Collect collect) {
  const auto parity = [&](int64_t chunk) { return static_cast<int>((chunks_ + chunk) & 1); };
  put(0, parity(0));
  publish();
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    wait();  // all have put this chunk and taken the one before
    if (collects && chunk > 0) collect(chunk - 1, parity(chunk - 1));
    if (chunk + 1 < chunks) put(chunk + 1, parity(chunk + 1));
    take(chunk, parity(chunk));
    if (collects || chunk + 1 < chunks) publish();
  }
  if (collects) {
    wait();
    collect(chunks - 1, parity(chunks - 1));
  }
  // Slots of this parity are used again after the next wait only, when all have come so far; those
  // of the other parity are free already.
  chunks_ += chunks;
}

void ShmCommunicator::reduce_leaves(TensorSpan out, ReduceOp op, std::byte* copy) {
  const auto step = static_cast<int64_t>(static_cast<size_t>(kPartBytes) / size_of(out.dtype));
  for (int64_t begin = 0; begin < out.count; begin += step) {
    const TensorSpan piece = part(out, begin, std::min(step, out.count - begin));
    const size_t offset = static_cast<size_t>(begin) * size_of(out.dtype);
    for (size_t i = 0; i < leaves_.size(); ++i) {
      shifted_[i] = static_cast<const std::byte*>(leaves_[i]) + offset;
    }
    combine_tree(piece.dtype, op, piece.data, shifted_, piece.count);
    if (op == ReduceOp::kMean) divide_by(piece.dtype, piece.data, piece.count, size());
    if (copy != nullptr) std::memcpy(copy + offset, piece.data, piece.bytes());
  }
}

void ShmCommunicator::flat_all_reduce(TensorSpan data, ReduceOp op) {
  pass_chunks(
      1, false,
      [&](int64_t, int parity) {
        std::memcpy(segment_->input(rank(), parity), data.data, data.bytes());
      },
      [&](int64_t, int parity) {
        for (int peer = 0; peer < size(); ++peer) {
          leaves_[static_cast<size_t>(peer)] =
              peer == rank() ? data.data : segment_->input(peer, parity);
        }
        reduce_leaves(data, op, nullptr);
      },
      [](int64_t, int) {});
}

void ShmCommunicator::do_all_reduce(TensorSpan data, ReduceOp op, Summation /*always the tree*/) {
  begin_call(CallKind::kAllReduce, data, static_cast<int>(op));
  if (data.bytes() <= kFlatBytes) return flat_all_reduce(data, op);
  const size_t width = size_of(data.dtype);
  const auto step = static_cast<int64_t>(segment_->slot_bytes() / width);
  const auto chunk_of = [&](int64_t chunk) {
    return part(data, chunk * step, std::min(step, data.count - chunk * step));
  };
  const auto block_of = [&](TensorSpan chunk, int owner) {
    const Blocks blocks = even_blocks(chunk.count, size());
    return part(chunk, blocks.begin(owner), blocks.size(owner));
  };
  const auto offset_of = [&](TensorSpan chunk, int owner) {
    return static_cast<size_t>(even_blocks(chunk.count, size()).begin(owner)) * width;
  };
  pass_chunks((data.count + step - 1) / step, true,
              [&](int64_t k, int parity) {
                const TensorSpan chunk = chunk_of(k);
                for (int owner = 0; owner < size(); ++owner) {
                  if (owner == rank()) continue;  // read where it is
                  const TensorSpan block = block_of(chunk, owner);
                  std::memcpy(segment_->input(rank(), parity) + offset_of(chunk, owner), block.data,
                              block.bytes());
                }
              },
              [&](int64_t k, int parity) {
                const TensorSpan chunk = chunk_of(k);
                const TensorSpan mine = block_of(chunk, rank());
                for (int peer = 0; peer < size(); ++peer) {
                  leaves_[static_cast<size_t>(peer)] =
                      peer == rank() ? mine.data
                                     : segment_->input(peer, parity) + offset_of(chunk, rank());
                }
                reduce_leaves(mine, op, segment_->result(rank(), parity));
              },
              [&](int64_t k, int parity) {
                const TensorSpan chunk = chunk_of(k);
                for (int i = 1; i < size(); ++i) {
                  const int owner = (rank() + i) % size();
                  const TensorSpan block = block_of(chunk, owner);
                  std::memcpy(block.data, segment_->result(owner, parity), block.bytes());
                }
              });
}

void ShmCommunicator::do_reduce_scatter(TensorSpan in, TensorSpan out, ReduceOp op) {
  begin_call(CallKind::kReduceScatter, in, static_cast<int>(op));
  const size_t width = size_of(in.dtype);
  const auto step = std::max<int64_t>(
      1, static_cast<int64_t>(segment_->slot_bytes() / width / static_cast<size_t>(size())));
  const auto piece_of = [&](TensorSpan block, int64_t k) {
    return part(block, k * step, std::min(step, block.count - k * step));
  };
  const auto slot_of = [&](int giver, int owner, int parity) {
    return segment_->input(giver, parity) + static_cast<size_t>(owner * step) * width;
  };
  pass_chunks((out.count + step - 1) / step, false,
              [&](int64_t k, int parity) {
                for (int owner = 0; owner < size(); ++owner) {
                  if (owner == rank()) continue;
                  const TensorSpan piece = piece_of(part(in, out.count * owner, out.count), k);
                  std::memcpy(slot_of(rank(), owner, parity), piece.data, piece.bytes());
                }
              },
              [&](int64_t k, int parity) {
                for (int peer = 0; peer < size(); ++peer) {
                  leaves_[static_cast<size_t>(peer)] =
                      peer == rank() ? piece_of(part(in, out.count * peer, out.count), k).data
                                     : slot_of(peer, rank(), parity);
                }
                reduce_leaves(piece_of(out, k), op, nullptr);
              },
              [](int64_t, int) {});
}

void ShmCommunicator::do_all_gather(TensorSpan in, TensorSpan out) {
  begin_call(CallKind::kAllGather, in);
  const auto step = static_cast<int64_t>(segment_->slot_bytes() / size_of(in.dtype));
  const auto piece_of = [&](TensorSpan block, int64_t k) {
    return part(block, k * step, std::min(step, block.count - k * step));
  };
  const TensorSpan own = part(out, in.count * rank(), in.count);
  if (own.data != in.data) std::memcpy(own.data, in.data, in.bytes());
  pass_chunks((in.count + step - 1) / step, false,
              [&](int64_t k, int parity) {
                const TensorSpan piece = piece_of(own, k);
                std::memcpy(segment_->input(rank(), parity), piece.data, piece.bytes());
              },
              [&](int64_t k, int parity) {
                for (int i = 1; i < size(); ++i) {
                  const int peer = (rank() + i) % size();
                  const TensorSpan piece = piece_of(part(out, in.count * peer, in.count), k);
                  std::memcpy(piece.data, segment_->input(peer, parity), piece.bytes());
                }
              },
              [](int64_t, int) {});
}

void ShmCommunicator::do_broadcast(TensorSpan data, int root) {
  begin_call(CallKind::kBroadcast, data, root);
  const auto step = static_cast<int64_t>(segment_->slot_bytes() / size_of(data.dtype));
  const auto piece_of = [&](int64_t k) {
    return part(data, k * step, std::min(step, data.count - k * step));
  };
  pass_chunks((data.count + step - 1) / step, false,
              [&](int64_t k, int parity) {
                const TensorSpan piece = piece_of(k);
                if (rank() == root) {
                  std::memcpy(segment_->input(root, parity), piece.data, piece.bytes());
                }
              },
              [&](int64_t k, int parity) {
                const TensorSpan piece = piece_of(k);
                if (rank() != root) {
                  std::memcpy(piece.data, segment_->input(root, parity), piece.bytes());
                }
              },
              [](int64_t, int) {});
}

void ShmCommunicator::do_barrier() {
  begin_call(CallKind::kBarrier, {});
  publish();
  wait();
}

}  // namespace trireme

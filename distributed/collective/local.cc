// Communicators for threads of one process: each rank reads and writes the others' tensors in
// place.
#include <sched.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <utility>

#include "distributed/collective/board_communicator.h"
#include "distributed/collective/make_communicator.h"
#include "distributed/collective/reduce.h"

namespace trireme {
namespace {

// What the ranks of one group share; lives as long as any of them.
struct LocalGroup {
  explicit LocalGroup(int size)
      : cells(std::make_unique<StageCell[]>(static_cast<size_t>(size))),
        tensors(static_cast<size_t>(size)) {}
  std::unique_ptr<StageCell[]> cells;
  std::vector<void*> tensors;  // of the call under way, by rank; ordered by the stages
  // A rank that gives up takes its tensor away: first no other may begin to use it, then those that
  // do must be done.
  std::atomic<bool> given_up{false};
  std::atomic<int> users{0};
};

struct Use {
  explicit Use(LocalGroup& group) : group_(group) { group_.users.fetch_add(1); }
  ~Use() {
    if (group_.users.fetch_sub(1) == 1 && group_.given_up.load()) group_.users.notify_all();
  }
  Use(const Use&) = delete;

 private:
  LocalGroup& group_;
};

int count_cores() {
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof(cores), &cores) == 0 ? CPU_COUNT(&cores) : 1;
}

// A part that stays in the first-level cache while it is written to every rank.
constexpr int64_t kPartBytes = 8192;

class LocalCommunicator final : public BoardCommunicator {
 public:
  LocalCommunicator(Group group, const CommunicatorOptions& options,
                    std::shared_ptr<LocalGroup> shared)
      : BoardCommunicator(std::move(group), options, shared->cells.get(), count_cores()),
        shared_(std::move(shared)),
        leaves_(static_cast<size_t>(size())) {}
  ~LocalCommunicator() override { leave(); }

  std::string description() const override {
    return str_cat("local, ", size(), size() == 1 ? " thread" : " threads", " of one process");
  }

 protected:
  // Every rank reduces one block and writes it into the tensors of all.
  void do_all_reduce(TensorSpan data, ReduceOp op, Summation /*always the tree*/) override {
    share(CallKind::kAllReduce, data, static_cast<int>(op), [&] {
      const Blocks blocks = even_blocks(data.count, size());
      const auto step = static_cast<int64_t>(kPartBytes / size_of(data.dtype));
      const int64_t end = blocks.begin(rank() + 1);
      for (int64_t begin = blocks.begin(rank()); begin < end; begin += step) {
        const TensorSpan mine = part(data, begin, std::min(step, end - begin));
        reduce(mine, begin, op);
        for (int peer = 0; peer < size(); ++peer) {
          if (peer != rank()) std::memcpy(at(peer, data.dtype, begin), mine.data, mine.bytes());
        }
      }
    });
  }

  void do_reduce_scatter(TensorSpan in, TensorSpan out, ReduceOp op) override {
    share(CallKind::kReduceScatter, in, static_cast<int>(op),
          [&] { reduce(out, out.count * rank(), op); });
  }

  void do_all_gather(TensorSpan in, TensorSpan out) override {
    share(CallKind::kAllGather, in, 0, [&] {
      for (int peer = 0; peer < size(); ++peer) {
        const TensorSpan to = part(out, in.count * peer, in.count);
        const void* from = at(peer, in.dtype, 0);
        if (from != to.data) std::memcpy(to.data, from, to.bytes());
      }
    });
  }

  void do_broadcast(TensorSpan data, int root) override {
    share(CallKind::kBroadcast, data, root, [&] {
      if (rank() != root) std::memcpy(data.data, at(root, data.dtype, 0), data.bytes());
    });
  }

  void do_barrier() override {
    begin_call(CallKind::kBarrier, {});
    publish();
    wait();
  }

 private:
  // Runs `body` when the tensors of all ranks are there, and returns when nobody uses them any
  // more.
  template <typename Body>
  void share(CallKind kind, TensorSpan tensor, int detail, Body body) {
    try {
      begin_call(kind, tensor, detail);
      shared_->tensors[static_cast<size_t>(rank())] = tensor.data;
      publish();
      wait();
      {
        const Use use(*shared_);
        if (!shared_->given_up.load()) body();
      }
      if (shared_->given_up.load()) throw_farewell();
      publish();
      wait();
    } catch (const Error& error) {
      abort(error);
      shared_->given_up.store(true);
      while (const int users = shared_->users.load()) shared_->users.wait(users);
      throw;
    }
  }

  void* at(int peer, DType dtype, int64_t begin) const {
    return static_cast<std::byte*>(shared_->tensors[static_cast<size_t>(peer)]) +
           static_cast<size_t>(begin) * size_of(dtype);
  }

  // `out`: the elements of all tensors from `begin` on, reduced.
  void reduce(TensorSpan out, int64_t begin, ReduceOp op) {
    for (int peer = 0; peer < size(); ++peer) {
      leaves_[static_cast<size_t>(peer)] = at(peer, out.dtype, begin);
    }
    combine_tree(out.dtype, op, out.data, leaves_, out.count);
    if (op == ReduceOp::kMean) divide_by(out.dtype, out.data, out.count, size());
  }

  const std::shared_ptr<LocalGroup> shared_;
  std::vector<const void*> leaves_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_local_group(int size,
                                                            const CommunicatorOptions& options) {
  TRIREME_CHECK(size > 0, "a group of ", size);
  auto shared = std::make_shared<LocalGroup>(size);
  Group group;
  group.generation = 1;
  group.job_id = "local";
  for (int rank = 0; rank < size; ++rank) {
    group.peers.push_back({.rank = rank,
                           .host = "this process",
                           .host_id = "",
                           .pid = static_cast<int64_t>(getpid()),
                           .address = ""});
  }
  std::vector<std::unique_ptr<Communicator>> communicators;
  for (int rank = 0; rank < size; ++rank) {
    group.rank = rank;
    communicators.push_back(std::make_unique<LocalCommunicator>(group, options, shared));
  }
  return communicators;
}

}  // namespace trireme

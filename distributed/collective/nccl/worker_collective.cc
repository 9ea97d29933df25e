#include <algorithm>
#include <array>
#include <cstring>
#include <functional>

#include "core/base/logging.h"
#include "core/device/cuda/cuda.h"
#include "distributed/collective/host_layout.h"
#include "distributed/collective/nccl/nccl_collective.h"
#include "distributed/collective/nccl/staged_collective.h"

namespace trireme {
namespace {

// What every rank tells every other before they decide, all alike.
struct Card {
  int64_t identity;            // equal for ranks on one card
  int64_t has_nccl;            // 0: see problem
  std::array<int64_t, 16> id;  // ncclUniqueId, if this rank is to lead
  char problem[232];
};
static_assert(sizeof(ncclUniqueId) == sizeof(Card::id) && sizeof(Card) % sizeof(int64_t) == 0);

std::vector<Card> exchange(Device& device, Communicator& host) {
  Card mine{};
  const std::string card =
      host.group().peers[static_cast<size_t>(host.rank())].host_id + cuda_card_identity(device);
  mine.identity = static_cast<int64_t>(std::hash<std::string>{}(card));
  const std::string problem = nccl_problem();
  mine.has_nccl = problem.empty() ? 1 : 0;
  std::strncpy(mine.problem, problem.c_str(), sizeof(mine.problem) - 1);
  if (mine.has_nccl == 1) {
    ncclUniqueId id;
    make_cuda_current(device);
    if (auto failure = nccl_error(nccl().ncclGetUniqueId(&id), nullptr, "beginning with NCCL")) {
      throw Error(*failure);
    }
    std::memcpy(mine.id.data(), &id, sizeof(id));
  }
  constexpr int64_t kWords = sizeof(Card) / sizeof(int64_t);
  std::vector<Card> cards(static_cast<size_t>(host.size()));
  const std::string label = "who has which GPU";
  host.set_label(label, 0);
  host.all_gather({&mine, kWords, DType::kInt64},
                  {cards.data(), kWords * host.size(), DType::kInt64});
  return cards;
}

// Why NCCL cannot connect these ranks; empty when it can.
std::string why_not(const std::vector<Card>& cards, const Group& group) {
  for (size_t rank = 0; rank < cards.size(); ++rank) {
    const std::string who = group.peers[rank].to_string();
    if (cards[rank].has_nccl == 0) return who + ": " + cards[rank].problem;
    for (size_t other = 0; other < rank; ++other) {
      if (cards[other].identity == cards[rank].identity) {
        return str_cat(group.peers[other].to_string(), " and ", who,
                       " are on one card, which NCCL refuses");
      }
    }
  }
  return "";
}

std::unique_ptr<NcclComm> connect(Device& device, const Card& leader, int size, int rank,
                                  const WorkerCollectiveOptions& options) {
  ncclUniqueId id;
  std::memcpy(&id, leader.id.data(), sizeof(id));
  Device* const devices[] = {&device};
  auto comms =
      NcclComm::make(id, size, rank, devices, options.timeout, options.connect.interrupted);
  return std::move(comms[0]);
}

// NCCL inside each host, a communicator of the hosts between their first ranks.
class HierarchicalCollective final : public DeviceCollective {
 public:
  HierarchicalCollective(Device& device, std::unique_ptr<NcclComm> inner,
                         std::unique_ptr<Communicator> between, bool nests,
                         std::chrono::milliseconds timeout)
      : DeviceCollective(timeout),
        nests_(nests),
        inner_comm_(inner.get()),
        inner_(device, std::move(inner), timeout),
        between_(std::move(between)) {
    if (between_) outer_.emplace(device, *between_, timeout);
  }
  ~HierarchicalCollective() override { stop(); }

  std::string description() const override {
    return str_cat("inside: ", inner_.description(),
                   "; between: ", outer_ ? outer_->description() : "through the host's first rank");
  }

  void all_reduce(const DeviceReduction& what, Stream& stream) override {
    throw_if_aborted();
    TRIREME_CHECK(what.op != ReduceOp::kMean, "means are made of sums");
    if (what.summation == Summation::kTree && !nests_) {
      throw invalid_argument(
          *what.label,
          ": a deterministic sum over hosts needs the same power of two of ranks on each host; use "
          "the backend nccl or auto");
    }
    inner_.all_reduce(what, stream);
    if (outer_) {
      outer_->set_step(step());
      outer_->all_reduce(what, stream);
    }
    auto& cuda_stream = static_cast<cuda::CudaStream&>(stream);
    inner_comm_->finish(
        nccl().ncclBroadcast(what.data, what.data, static_cast<size_t>(what.count),
                             nccl_type(what.dtype), 0, inner_comm_->raw(), cuda_stream.raw()),
        *what.label);
  }

 protected:
  std::optional<Error> poll() override {
    if (between_) {
      if (auto failure = between_->fault()) return failure;
    }
    return inner_comm_->error(inner_.description());
  }
  void stop() noexcept override {
    const auto cause = fault();
    if (between_ && cause) between_->abort(*cause);
    inner_comm_->abort();
  }

 private:
  const bool nests_;
  NcclComm* const inner_comm_;
  NcclCollective inner_;
  const std::unique_ptr<Communicator> between_;
  std::optional<StagedCollective> outer_;
};

std::unique_ptr<DeviceCollective> make_hierarchical(Device& device, const std::vector<Card>& cards,
                                                    const Group& group,
                                                    const WorkerCollectiveOptions& options) {
  const HostLayout layout(group);
  std::unique_ptr<Communicator> between;
  if (layout.leads() && layout.hosts.size() > 1) {
    std::vector<int> leaders;
    for (const auto& ranks : layout.hosts) leaders.push_back(ranks.front());
    between = options.between->connect(subgroup(group, leaders, layout.my_host, "/gpu_leaders"),
                                       options.connect);
  }
  auto inner = connect(device, cards[static_cast<size_t>(layout.mine().front())],
                       static_cast<int>(layout.mine().size()), layout.my_index, options);
  return std::make_unique<HierarchicalCollective>(device, std::move(inner), std::move(between),
                                                  layout.nests_in_tree(), options.timeout);
}

}  // namespace

std::unique_ptr<DeviceCollective> make_worker_collective(Device& device, Communicator& host,
                                                         const WorkerCollectiveOptions& options) {
  const bool asks_for_nccl = options.backend.starts_with("nccl");
  if (!asks_for_nccl && options.backend != "auto") {
    return std::make_unique<StagedCollective>(device, host, options.timeout);
  }
  const std::vector<Card> cards = exchange(device, host);
  const std::string problem = why_not(cards, host.group());
  if (!problem.empty()) {
    if (asks_for_nccl) throw invalid_argument("--backend ", options.backend, ": ", problem);
    if (host.rank() == 0) {
      log_info(str_cat("collectives of GPUs: auto chose pinned memory and ", host.description(),
                       ", since ", problem));
    }
    return std::make_unique<StagedCollective>(device, host, options.timeout);
  }
  std::unique_ptr<DeviceCollective> collective;
  if (options.backend.starts_with("nccl+")) {
    collective = make_hierarchical(device, cards, host.group(), options);
  } else {
    collective = std::make_unique<NcclCollective>(
        device, connect(device, cards[0], host.size(), host.rank(), options), options.timeout);
  }
  if (host.rank() == 0) log_info("collectives of GPUs: " + collective->description());
  return collective;
}

}  // namespace trireme

#include "distributed/collective/hierarchical.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "distributed/collective/reduce.h"

namespace trireme {
namespace {

// By how much a phase is more patient than the one before.
constexpr std::chrono::milliseconds kGrace{300};

class HierarchicalEndpoint final : public CollectiveEndpoint {
 public:
  HierarchicalEndpoint(std::unique_ptr<CollectiveEndpoint> inner,
                       std::unique_ptr<CollectiveEndpoint> outer)
      : inner_(std::move(inner)), outer_(std::move(outer)) {}

  std::string address() const override { return outer_->address(); }
  std::string host_id() const override { return inner_->host_id(); }

  std::unique_ptr<Communicator> connect(const Group& group,
                                        const CommunicatorOptions& options) override {
    const HostLayout layout(group);
    if (layout.hosts.size() == 1) return inner_->connect(group, options);
    if (layout.most_ranks() == 1) return outer_->connect(group, options);
    HierarchicalCommunicator::Parts parts;
    if (layout.mine().size() > 1) {
      parts.inner = inner_->connect(subgroup(group, layout.mine(), layout.my_index, ""), options);
    }
    try {
      if (layout.leads()) {
        std::vector<int> leaders;
        for (const auto& ranks : layout.hosts) leaders.push_back(ranks.front());
        parts.outer =
            outer_->connect(subgroup(group, leaders, layout.my_host, "/leaders"), options);
      }
      if (!layout.nests_in_tree()) parts.flat = outer_->connect(group, options);
    } catch (const Error& error) {
      if (parts.inner) parts.inner->abort(error);  // those who wait below hear why
      throw;
    }
    if (parts.inner) {
      // Connected is whoever's leader is.
      parts.inner->set_timeout(options.timeout + 2 * kGrace);
      parts.inner->barrier();
    }
    return std::make_unique<HierarchicalCommunicator>(group, options, std::move(parts));
  }

 private:
  const std::unique_ptr<CollectiveEndpoint> inner_;
  const std::unique_ptr<CollectiveEndpoint> outer_;
};

}  // namespace

std::unique_ptr<CollectiveEndpoint> make_hierarchical_endpoint(
    std::unique_ptr<CollectiveEndpoint> inner, std::unique_ptr<CollectiveEndpoint> outer) {
  return std::make_unique<HierarchicalEndpoint>(std::move(inner), std::move(outer));
}

HierarchicalCommunicator::HierarchicalCommunicator(Group group, CommunicatorOptions options,
                                                   Parts parts)
    : Communicator(std::move(group), options), layout_(this->group()), parts_(std::move(parts)) {
  if (parts_.outer) parts_.outer->set_timeout(options.timeout + kGrace);
}

HierarchicalCommunicator::~HierarchicalCommunicator() = default;

std::string HierarchicalCommunicator::description() const {
  return str_cat(
      size(), " ranks on ", layout_.hosts.size(),
      " hosts; inside: ", parts_.inner ? parts_.inner->description() : "this rank alone",
      "; between: ", parts_.outer ? parts_.outer->description() : "through the host's first rank",
      parts_.flat ? "; tree sums: " + parts_.flat->description() : "");
}

template <typename Body>
void HierarchicalCommunicator::inside(Body body) {
  if (!parts_.inner) return;
  throw_if_aborted();
  parts_.inner->set_timeout(options().timeout);
  if (label() != nullptr) parts_.inner->set_label(*label(), step());
  body(*parts_.inner);
}

template <typename Body>
void HierarchicalCommunicator::between(Body body) {
  if (!parts_.outer) return;
  throw_if_aborted();
  if (label() != nullptr) parts_.outer->set_label(*label(), step());
  body(*parts_.outer);
}

template <typename Body>
void HierarchicalCommunicator::inside_at_last(Body body) {
  if (!parts_.inner) return;
  throw_if_aborted();
  parts_.inner->set_timeout(options().timeout + 2 * kGrace);
  if (label() != nullptr) parts_.inner->set_label(*label(), step());
  body(*parts_.inner);
}

void HierarchicalCommunicator::reduce_to_all(TensorSpan data, ReduceOp op, Summation summation) {
  const ReduceOp partial = op == ReduceOp::kMean ? ReduceOp::kSum : op;
  inside([&](Communicator& inner) { inner.all_reduce(data, partial, summation); });
  between([&](Communicator& outer) { outer.all_reduce(data, partial, summation); });
  if (op == ReduceOp::kMean && layout_.leads()) {
    divide_by(data.dtype, data.data, data.count, size());
  }
  inside_at_last([&](Communicator& inner) { inner.broadcast(data, 0); });
}

void HierarchicalCommunicator::do_all_reduce(TensorSpan data, ReduceOp op, Summation summation) {
  if (summation == Summation::kTree && parts_.flat) {
    if (label() != nullptr) parts_.flat->set_label(*label(), step());
    return parts_.flat->all_reduce(data, op, summation);
  }
  reduce_to_all(data, op, summation);
}

void HierarchicalCommunicator::do_reduce_scatter(TensorSpan in, TensorSpan out, ReduceOp op) {
  scratch_.resize(std::max(scratch_.size(), in.bytes()));
  std::memcpy(scratch_.data(), in.data, in.bytes());
  const TensorSpan whole{scratch_.data(), in.count, in.dtype};
  reduce_to_all(whole, op, Summation::kAny);
  std::memcpy(out.data, part(whole, out.count * rank(), out.count).data, out.bytes());
}

void HierarchicalCommunicator::do_all_gather(TensorSpan in, TensorSpan out) {
  // Every host sends room for as many blocks as the fullest one has.
  const auto room = static_cast<int64_t>(layout_.most_ranks());
  const auto hosts = static_cast<int64_t>(layout_.hosts.size());
  const size_t host_bytes = in.bytes() * static_cast<size_t>(room);
  scratch_.resize(std::max(scratch_.size(), host_bytes * static_cast<size_t>(hosts)));
  const TensorSpan all{scratch_.data(), in.count * room * hosts, in.dtype};
  const TensorSpan ours = part(all, in.count * room * layout_.my_host, in.count * room);
  if (parts_.inner) {
    const auto members = static_cast<int64_t>(layout_.mine().size());
    inside([&](Communicator& inner) { inner.all_gather(in, part(ours, 0, in.count * members)); });
  } else {
    std::memcpy(ours.data, in.data, in.bytes());
  }
  between([&](Communicator& outer) { outer.all_gather(ours, all); });
  for (int64_t host = 0; host < hosts && layout_.leads(); ++host) {
    const std::vector<int>& ranks = layout_.hosts[static_cast<size_t>(host)];
    for (size_t i = 0; i < ranks.size(); ++i) {
      const int64_t from = in.count * (host * room + static_cast<int64_t>(i));
      std::memcpy(part(out, in.count * ranks[i], in.count).data, part(all, from, in.count).data,
                  in.bytes());
    }
  }
  inside_at_last([&](Communicator& inner) { inner.broadcast(out, 0); });
}

void HierarchicalCommunicator::do_broadcast(TensorSpan data, int root) {
  int root_host = 0, root_index = 0;
  for (size_t host = 0; host < layout_.hosts.size(); ++host) {
    const std::vector<int>& ranks = layout_.hosts[host];
    const auto found = std::find(ranks.begin(), ranks.end(), root);
    if (found == ranks.end()) continue;
    root_host = static_cast<int>(host);
    root_index = static_cast<int>(found - ranks.begin());
  }
  if (layout_.my_host == root_host) {
    inside([&](Communicator& inner) { inner.broadcast(data, root_index); });
  }
  between([&](Communicator& outer) { outer.broadcast(data, root_host); });
  if (layout_.my_host != root_host) {
    inside_at_last([&](Communicator& inner) { inner.broadcast(data, 0); });
  }
}

void HierarchicalCommunicator::do_barrier() {
  inside([](Communicator& inner) { inner.barrier(); });
  between([](Communicator& outer) { outer.barrier(); });
  inside_at_last([](Communicator& inner) { inner.barrier(); });
}

void HierarchicalCommunicator::wake() {
  const auto cause = fault();
  if (!cause) return;
  if (parts_.inner) parts_.inner->abort(*cause);
  if (parts_.outer) parts_.outer->abort(*cause);
  if (parts_.flat) parts_.flat->abort(*cause);
}

}  // namespace trireme

#include "distributed/collective/mpi_communicator.h"

#define OMPI_SKIP_MPICXX  // the C API only
#include <mpi.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "distributed/collective/mpi_session.h"
#include "distributed/collective/mpi_transport.h"
#include "distributed/collective/reduce.h"
#include "distributed/collective/transport_communicator.h"

namespace trireme {
namespace {

constexpr int kRollTag = 2;
// After a deadline: how long the others may take to answer the roll.
constexpr std::chrono::milliseconds kRollPatience{200};
constexpr int64_t kMostBytes = int64_t{1} << 29;  // of one MPI call, whose count is an int

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(const Group& group, const CommunicatorOptions& options, MPI_Comm communicator)
      : Communicator(group, options),
        communicator_(communicator),
        session_(MpiSession::get()),
        messages_(this->group(), options, make_mpi_transport(this->group(), &communicator_)) {}

  ~MpiCommunicator() override {
    // After a fault the others do not come to MPI_Finalize.
    if (const auto cause = fault()) session_.give_up(cause->what());
    if (session_.is_whole()) MPI_Comm_free(&communicator_);
  }

  std::string description() const override {
    return str_cat("mpi, ", size(), size() == 1 ? " rank" : " ranks");
  }

 protected:
  void do_all_reduce(TensorSpan data, ReduceOp op, Summation summation) override {
    by_messages([&](Communicator& messages) { messages.all_reduce(data, op, summation); });
  }

  void do_reduce_scatter(TensorSpan in, TensorSpan out, ReduceOp op) override {
    by_messages([&](Communicator& messages) { messages.reduce_scatter(in, out, op); });
  }

  void do_all_gather(TensorSpan in, TensorSpan out) override {
    if (in.bytes() > static_cast<size_t>(kMostBytes)) {
      by_messages([&](Communicator& messages) { messages.all_gather(in, out); });
      return;
    }
    const bool in_place = in.data == part(out, in.count * rank(), in.count).data;
    const int bytes = static_cast<int>(in.bytes());
    wait("MPI_Iallgather", [&](MPI_Request* request) {
      return MPI_Iallgather(in_place ? MPI_IN_PLACE : in.data, bytes, MPI_BYTE, out.data, bytes,
                            MPI_BYTE, communicator_, request);
    });
  }

  void do_broadcast(TensorSpan data, int root) override {
    const auto most = kMostBytes / static_cast<int64_t>(size_of(data.dtype));
    for (int64_t begin = 0; begin < data.count; begin += most) {
      const TensorSpan some = part(data, begin, std::min(most, data.count - begin));
      wait("MPI_Ibcast", [&](MPI_Request* request) {
        return MPI_Ibcast(some.data, static_cast<int>(some.bytes()), MPI_BYTE, root, communicator_,
                          request);
      });
    }
  }

  void do_barrier() override {
    wait("MPI_Ibarrier",
         [&](MPI_Request* request) { return MPI_Ibarrier(communicator_, request); });
  }

  void wake() override {
    if (const auto cause = fault()) messages_.abort(*cause);
  }

 private:
  template <typename Start>
  void wait(const char* call, Start start) {
    session_.require_whole();
    MPI_Request request = MPI_REQUEST_NULL;
    MpiSession::check(start(&request), call);
    bool finished = false;
    const auto over = [&] {
      int done = 0;
      MpiSession::check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), call);
      return (finished = done != 0) || aborted();
    };
    const bool in_time = MpiSession::poll(over, deadline());
    if (finished) return;
    if (!in_time) throw_late();
    session_.give_up(fault()->what());
    throw_if_aborted();
  }

  template <typename Body>
  void by_messages(Body body) {
    messages_.set_timeout(options().timeout);
    if (label() != nullptr) messages_.set_label(*label(), step());
    try {
      body(messages_);
    } catch (const Error& error) {
      throw_if_aborted();
      if (error.code() == ErrorCode::kDeadlineExceeded) throw_late();
      session_.give_up(error.what());
      throw;
    }
  }

  // Every rank whose deadline has passed tells all others so; who says nothing is not in the call.
  [[noreturn]] void throw_late() {
    // Their memory, like the requests, is left to MPI.
    auto* mine = new uint64_t(sequence());
    std::vector<bool> is_here(static_cast<size_t>(size()), false);
    is_here[static_cast<size_t>(rank())] = true;
    for (int to = 0; to < size(); ++to) {
      MPI_Request request = MPI_REQUEST_NULL;
      if (to != rank()) MPI_Isend(mine, 1, MPI_UINT64_T, to, kRollTag, communicator_, &request);
    }
    MpiSession::poll(
        [&] {
          int some = 0;
          MPI_Status status;
          MPI_Iprobe(MPI_ANY_SOURCE, kRollTag, communicator_, &some, &status);
          if (some != 0) {
            uint64_t theirs = 0;
            MPI_Recv(&theirs, 1, MPI_UINT64_T, status.MPI_SOURCE, kRollTag, communicator_,
                     MPI_STATUS_IGNORE);
            is_here[static_cast<size_t>(status.MPI_SOURCE)] = theirs == sequence();
          }
          return std::ranges::all_of(is_here, std::identity()) || aborted();
        },
        Clock::now() + kRollPatience);
    std::string who;
    for (int one = 0; one < size(); ++one) {
      if (is_here[static_cast<size_t>(one)]) continue;
      who += (who.empty() ? "" : ", ") + group().peers[static_cast<size_t>(one)].to_string();
    }
    const std::string text =
        who.empty() ? str_cat("all ranks came, but MPI did not finish by the deadline", where())
                    : str_cat(who, " has not come by the deadline", where());
    session_.give_up(text);
    throw Error(ErrorCode::kDeadlineExceeded, text);
  }

  MPI_Comm communicator_;
  MpiSession& session_;
  TransportCommunicator messages_;
};

// What members tell each other before they make the communicator, which has no deadline.
struct Hello {
  int64_t generation = 0;
  uint64_t job = 0;  // and which part of the group
  int32_t size = 0, index = 0;
  bool operator==(const Hello&) const = default;
};

uint64_t fingerprint(const std::string& text) {
  uint64_t hash = 14695981039346656037U;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return hash;
}

void barrier_of(const Group& group, int tag, MpiSession::Clock::time_point deadline) {
  const auto n = static_cast<size_t>(group.size());
  const auto hello_of = [&](size_t index) {
    return Hello{group.generation, fingerprint(group.job_id), group.size(),
                 static_cast<int32_t>(index)};
  };
  // Owned by MPI until all is over.
  auto* mine = new Hello(hello_of(static_cast<size_t>(group.rank)));
  auto* theirs = new std::vector<Hello>(n);
  std::vector<MPI_Request> requests(2 * n, MPI_REQUEST_NULL);
  for (size_t i = 0; i < n; ++i) {
    if (static_cast<int>(i) == group.rank) continue;
    const int peer = group.peers[i].rank;
    MpiSession::check(
        MPI_Irecv(&(*theirs)[i], sizeof(Hello), MPI_BYTE, peer, tag, MPI_COMM_WORLD, &requests[i]),
        "MPI_Irecv");
    MpiSession::check(
        MPI_Isend(mine, sizeof(Hello), MPI_BYTE, peer, tag, MPI_COMM_WORLD, &requests[n + i]),
        "MPI_Isend");
  }
  const auto all_here = [&] {
    int all = 0;
    MpiSession::check(
        MPI_Testall(static_cast<int>(requests.size()), requests.data(), &all, MPI_STATUSES_IGNORE),
        "MPI_Testall");
    return all != 0;
  };
  if (!MpiSession::poll(all_here, deadline)) {
    std::string who;
    for (size_t i = 0; i < n; ++i) {
      if (static_cast<int>(i) == group.rank || (*theirs)[i] == hello_of(i)) continue;
      who += (who.empty() ? "" : ", ") + group.peers[i].to_string();
    }
    const std::string text = who + " has not come to the group by the deadline";
    MpiSession::get().give_up(text);
    throw Error(ErrorCode::kDeadlineExceeded, text);
  }
  const std::unique_ptr<Hello> own_mine(mine);
  const std::unique_ptr<std::vector<Hello>> own_theirs(theirs);
  for (size_t i = 0; i < n; ++i) {
    const Hello& hello = (*theirs)[i];
    if (static_cast<int>(i) == group.rank || hello == hello_of(i)) continue;
    throw Error(ErrorCode::kUnavailable,
                str_cat(group.peers[i].to_string(), " is in generation ", hello.generation,
                        " with ", hello.size, " ranks, this rank in ", group.generation, " with ",
                        group.size(), "; MPI cannot go on with members lost: start the job again"));
  }
}

}  // namespace

std::unique_ptr<Communicator> connect_mpi(const Group& group, const CommunicatorOptions& options) {
  MpiSession& session = MpiSession::get();
  session.require_whole();
  std::vector<int> ranks;
  for (const Peer& peer : group.peers) ranks.push_back(peer.rank);
  if (const int mine = ranks[static_cast<size_t>(group.rank)]; mine != session.world_rank()) {
    throw Error(group.generation > 1 ? ErrorCode::kUnavailable : ErrorCode::kInvalidArgument,
                str_cat("this process is rank ", session.world_rank(), " of MPI, but rank ", mine,
                        " of the job; MPI cannot change its members: start the job again with one "
                        "mpirun for all ranks"));
  }
  for (const Peer& peer : group.peers) {
    if (peer.rank >= 0 && peer.rank < session.world_size()) continue;
    throw invalid_argument(peer.to_string(), " is not one of the ", session.world_size(),
                           " ranks of MPI; start all of them with one mpirun");
  }
  // Parts of a group meet beside it.
  const int tag =
      16 + static_cast<int>((fingerprint(group.job_id) ^ static_cast<uint64_t>(group.generation)) %
                            16384);
  barrier_of(group, tag, MpiSession::Clock::now() + options.timeout);
  MPI_Group world = MPI_GROUP_NULL;
  MPI_Group part = MPI_GROUP_NULL;
  MpiSession::check(MPI_Comm_group(MPI_COMM_WORLD, &world), "MPI_Comm_group");
  MpiSession::check(MPI_Group_incl(world, group.size(), ranks.data(), &part), "MPI_Group_incl");
  MPI_Comm communicator = MPI_COMM_NULL;
  MpiSession::check(MPI_Comm_create_group(MPI_COMM_WORLD, part, tag, &communicator),
                    "MPI_Comm_create_group");
  MPI_Group_free(&part);
  MPI_Group_free(&world);
  MPI_Comm_set_errhandler(communicator, MPI_ERRORS_RETURN);
  return std::make_unique<MpiCommunicator>(group, options, communicator);
}

}  // namespace trireme

#include "distributed/collective/mpi_endpoint.h"

#define OMPI_SKIP_MPICXX  // the C API only
#include <mpi.h>

#include <chrono>

#include "core/base/error.h"
#include "core/base/local_process.h"
#include "distributed/collective/mpi_communicator.h"
#include "distributed/collective/mpi_session.h"

namespace trireme {
namespace {

constexpr std::chrono::seconds kBootstrapTimeout{120};
constexpr uint64_t kMostText = 1 << 20;

class MpiEndpoint final : public CollectiveEndpoint {
 public:
  MpiEndpoint() { MpiSession::get(); }
  std::string address() const override { return ""; }
  std::string host_id() const override { return shared_memory_host_id(); }
  std::unique_ptr<Communicator> connect(const Group& group,
                                        const CommunicatorOptions& options) override {
    return connect_mpi(group, options);
  }
};

void broadcast(void* data, int bytes) {
  MPI_Request request = MPI_REQUEST_NULL;
  MpiSession::check(MPI_Ibcast(data, bytes, MPI_BYTE, 0, MPI_COMM_WORLD, &request), "MPI_Ibcast");
  const auto over = [&] {
    int done = 0;
    MpiSession::check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Ibcast");
    return done != 0;
  };
  if (MpiSession::poll(over, MpiSession::Clock::now() + kBootstrapTimeout)) return;
  const std::string text = "rank 0 of MPI has told nothing by the deadline";
  MpiSession::get().give_up(text);
  throw Error(ErrorCode::kDeadlineExceeded, text);
}

}  // namespace

std::unique_ptr<CollectiveEndpoint> make_mpi_endpoint(const EndpointOptions& /*options*/) {
  return std::make_unique<MpiEndpoint>();
}

std::string mpi_broadcast_from_rank0(const std::string& text) {
  MpiSession& session = MpiSession::get();
  session.require_whole();
  uint64_t size = text.size();
  broadcast(&size, sizeof(size));
  if (size > kMostText) throw data_loss("rank 0 of MPI tells ", size, " bytes");
  std::string result = session.world_rank() == 0 ? text : std::string(size, ' ');
  if (size > 0) broadcast(result.data(), static_cast<int>(size));
  return result;
}

int mpi_world_rank() { return MpiSession::get().world_rank(); }

int mpi_world_size() { return MpiSession::get().world_size(); }

void mpi_end_with_error(const std::string& why) noexcept {
  int initialised = 0, finalised = 0;
  MPI_Initialized(&initialised);
  MPI_Finalized(&finalised);
  if (initialised != 0 && finalised == 0) MpiSession::get().give_up(why);
}

}  // namespace trireme

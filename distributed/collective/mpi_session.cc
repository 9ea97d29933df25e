#include "distributed/collective/mpi_session.h"

#define OMPI_SKIP_MPICXX  // the C API only
#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <thread>

#include "core/base/logging.h"

namespace trireme {
namespace {

constexpr std::chrono::microseconds kSpin{50};
constexpr std::chrono::milliseconds kYield{20};
constexpr std::chrono::microseconds kSleep{50};

// Outside of a launcher MPI_Init would start one, or hang in the attempt.
bool was_launched() {
  constexpr std::array names = {"OMPI_COMM_WORLD_SIZE", "PMIX_NAMESPACE", "PMI_SIZE"};
  return std::ranges::any_of(names, [](const char* name) { return std::getenv(name) != nullptr; });
}

}  // namespace

void MpiSession::check(int status, const char* call) {
  if (status == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(status, text.data(), &length);
  throw failed(call, ": ", std::string(text.data(), static_cast<size_t>(length)));
}

MpiSession& MpiSession::get() {
  static MpiSession session;
  return session;
}

MpiSession::MpiSession() {
  int initialised = 0;
  int finalised = 0;
  MPI_Initialized(&initialised);
  MPI_Finalized(&finalised);
  if (finalised != 0) throw invalid_argument("the mpi backend was asked for after MPI_Finalize");
  int threads = MPI_THREAD_SINGLE;
  if (initialised == 0) {
    if (!was_launched()) {
      throw invalid_argument(
          "the mpi backend was asked for, but MPI did not start this process; start it with mpirun "
          "-np N (or srun --mpi=pmix)");
    }
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &threads), "MPI_Init_thread");
    mine_ = true;
  } else {
    check(MPI_Query_thread(&threads), "MPI_Query_thread");
  }
  if (threads < MPI_THREAD_SERIALIZED) {
    throw invalid_argument("the mpi backend needs MPI_THREAD_SERIALIZED, this MPI gives level ",
                           threads, " of ", MPI_THREAD_SINGLE, " to ", MPI_THREAD_MULTIPLE);
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  check(MPI_Comm_rank(MPI_COMM_WORLD, &world_rank_), "MPI_Comm_rank");
  check(MPI_Comm_size(MPI_COMM_WORLD, &world_size_), "MPI_Comm_size");
}

MpiSession::~MpiSession() {
  int finalised = 0;
  MPI_Finalized(&finalised);
  if (mine_ && is_whole() && finalised == 0) MPI_Finalize();
}

void MpiSession::require_whole() const {
  if (is_whole()) return;
  throw Error(ErrorCode::kUnavailable,
              str_cat("MPI cannot go on after a call was given up (", broken_,
                      "); start the job again, or use the grpc backend, which can"));
}

void MpiSession::give_up(const std::string& why) {
  if (is_whole()) broken_ = why.empty() ? "for no reason given" : why;
}

void MpiSession::pause(Clock::duration waited) {
  if (waited < kSpin) return;
  if (waited < kYield) {
    sched_yield();
  } else {
    std::this_thread::sleep_for(kSleep);
  }
}

}  // namespace trireme

#include "distributed/collective/mpi_transport.h"

#define OMPI_SKIP_MPICXX  // the C API only
#include <mpi.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <vector>

#include "core/base/thread_annotations.h"
#include "distributed/collective/mpi_session.h"

namespace trireme {
namespace {

constexpr int kTag = 1;
constexpr size_t kMostBytes = size_t{1} << 30;  // of one MPI message, whose count is an int

class MpiTransport final : public Transport {
 public:
  MpiTransport(const Group& group, MPI_Comm communicator)
      : group_(group), communicator_(communicator), session_(MpiSession::get()) {}

  std::string description() const override { return "mpi messages"; }

  void start_send(int to, const void* data, size_t bytes) override {
    session_.require_whole();
    const auto* from = static_cast<const std::byte*>(data);
    do {
      const size_t part = std::min(bytes, kMostBytes);
      MPI_Request request = MPI_REQUEST_NULL;
      MpiSession::check(
          MPI_Isend(from, static_cast<int>(part), MPI_BYTE, to, kTag, communicator_, &request),
          "MPI_Isend");
      sends_.push_back(request);
      from += part;
      bytes -= part;
    } while (bytes > 0);
  }

  void finish_sends(TimePoint deadline) override {
    const bool sent = wait(
        [this] {
          int all = 0;
          MpiSession::check(MPI_Testall(static_cast<int>(sends_.size()), sends_.data(), &all,
                                        MPI_STATUSES_IGNORE),
                            "MPI_Testall");
          return all != 0;
        },
        deadline, "a message was not taken by its receiver");
    if (!sent) throw Error(ErrorCode::kDeadlineExceeded, "a message was not taken by the deadline");
    sends_.clear();
  }

  void receive(int from, void* data, size_t bytes, TimePoint deadline) override {
    session_.require_whole();
    auto* to = static_cast<std::byte*>(data);
    const std::string& name = group_.peers[static_cast<size_t>(from)].to_string();
    do {
      const size_t part = std::min(bytes, kMostBytes);
      MPI_Request request = MPI_REQUEST_NULL;
      MpiSession::check(
          MPI_Irecv(to, static_cast<int>(part), MPI_BYTE, from, kTag, communicator_, &request),
          "MPI_Irecv");
      MPI_Status status;
      int result = MPI_SUCCESS;
      const bool arrived = wait(
          [&] {
            int done = 0;
            result = MPI_Test(&request, &done, &status);
            return done != 0 || result != MPI_SUCCESS;
          },
          deadline, "nothing came from " + name);
      if (!arrived) {
        throw Error(ErrorCode::kDeadlineExceeded,
                    str_cat(name, " is late: nothing came from it by the deadline"));
      }
      int kind = MPI_SUCCESS;
      if (result != MPI_SUCCESS) MPI_Error_class(result, &kind);
      int count = 0;
      if (kind == MPI_SUCCESS) MPI_Get_count(&status, MPI_BYTE, &count);
      if (kind == MPI_ERR_TRUNCATE || (kind == MPI_SUCCESS && count != static_cast<int>(part))) {
        throw data_loss("expected a message of ", part, " bytes from ", name, ", found ",
                        kind == MPI_SUCCESS ? "one of " + std::to_string(count) : "a longer one",
                        ": all ranks must make the same calls in the same order");
      }
      MpiSession::check(result, "MPI_Test");
      to += part;
      bytes -= part;
    } while (bytes > 0);
  }

  void abort(const Error& cause) override {
    MutexLock lock(mutex_);
    if (!cause_) cause_ = cause;
    aborted_.store(true, std::memory_order_release);
  }

 private:
  // False at the deadline. What is under way is given up then, and when aborted.
  template <typename Done>
  bool wait(Done done, TimePoint deadline, const std::string& why) {
    session_.require_whole();
    bool finished = false;
    const auto over = [&] {
      return (finished = done()) || aborted_.load(std::memory_order_acquire);
    };
    if (!MpiSession::poll(over, deadline)) return false;  // the roll is called first
    if (finished) return true;
    session_.give_up(why);
    MutexLock lock(mutex_);
    throw *cause_;
  }

  const Group& group_;
  const MPI_Comm communicator_;
  MpiSession& session_;
  std::vector<MPI_Request> sends_;
  std::atomic<bool> aborted_{false};
  Mutex mutex_;
  std::optional<Error> cause_ GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<Transport> make_mpi_transport(const Group& group, const void* communicator) {
  return std::make_unique<MpiTransport>(group, *static_cast<const MPI_Comm*>(communicator));
}

}  // namespace trireme

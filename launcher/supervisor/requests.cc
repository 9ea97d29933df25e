#include "launcher/supervisor/requests.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/error.h"

namespace trireme {

SupervisorRequests::SupervisorRequests() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (event_ < 0) throw failed("cannot make an event: ", std::strerror(errno));
}

SupervisorRequests::~SupervisorRequests() { ::close(event_); }

void SupervisorRequests::post(SupervisorRequest request) {
  MutexLock lock(mutex_);
  requests_.push_back(std::move(request));
  const uint64_t one = 1;
  (void)!write(event_, &one, sizeof one);
}

std::vector<SupervisorRequest> SupervisorRequests::take() {
  MutexLock lock(mutex_);
  uint64_t count = 0;
  (void)!read(event_, &count, sizeof count);
  return std::exchange(requests_, {});
}

}  // namespace trireme

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "distributed/connection/pending_stream.h"

namespace trireme {
namespace {

class PlainStream final : public PendingStream {
 public:
  explicit PlainStream(int socket) : socket_(socket) {}
  ~PlainStream() override {
    if (socket_ >= 0) close(socket_);
  }

  int descriptor() const override { return socket_; }
  Want handshake() override { return Want::kNothing; }
  size_t read(void* data, size_t bytes) override {
    return count(recv(socket_, data, bytes, MSG_DONTWAIT), true);
  }
  size_t write(const void* data, size_t bytes) override {
    return count(send(socket_, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL), false);
  }
  int release() override { return std::exchange(socket_, -1); }

 private:
  static size_t count(ssize_t result, bool end_is_zero) {
    if (result > 0) return static_cast<size_t>(result);
    if (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return 0;
    const bool ended = result == 0 && end_is_zero;
    throw Error(ErrorCode::kUnavailable,
                ended ? "the peer closed the connection" : std::strerror(errno));
  }

  int socket_;
};

}  // namespace

std::unique_ptr<PendingStream> make_plain_stream(int socket) {
  return std::make_unique<PlainStream>(socket);
}

}  // namespace trireme

#include "distributed/connection/relay_connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace trireme {
namespace {

using Result = TlsChannel::Result;

// After so many rounds the next connection of the thread has its turn.
constexpr int kRounds = 4;
constexpr std::chrono::seconds kCloseWithin(10);

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK; }

// How many bytes came; 0: none now, or never again (then `end.ended`).
size_t receive(RelayConnection::End& end, char* data, size_t bytes) {
  while (true) {
    const ssize_t count = recv(end.descriptor, data, bytes, MSG_DONTWAIT);
    if (count > 0) {
      // It had no more; the next byte is an event.
      if (static_cast<size_t>(count) < bytes && !end.hung_up) end.readable = false;
      return static_cast<size_t>(count);
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && would_block()) {
      end.readable = false;
    } else {
      end.ended = true;
    }
    return 0;
  }
}

// How many bytes went. 0: the descriptor takes none now (then not `writable`), or never again (then
// `broken`).
size_t deliver_to(RelayConnection::End& end, const char* data, size_t bytes) {
  while (true) {
    const ssize_t count = send(end.descriptor, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count > 0) return static_cast<size_t>(count);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && would_block()) {
      end.writable = false;
    } else {
      end.broken = true;
    }
    return 0;
  }
}

}  // namespace

RelayConnection::RelayConnection(int network, int grpc, std::unique_ptr<TlsChannel> channel)
    : network_{.connection = this, .descriptor = network},
      grpc_{.connection = this, .descriptor = grpc},
      channel_(std::move(channel)) {}

RelayConnection::~RelayConnection() {
  close(network_.descriptor);
  close(grpc_.descriptor);
}

RelayConnection::State RelayConnection::move_bytes(Scratch& scratch) {
  ByteQueue &incoming = channel_->incoming, &outgoing = channel_->outgoing;
  if (incoming.empty()) incoming.swap(scratch.incoming);
  if (outgoing.empty()) outgoing.swap(scratch.outgoing);
  // Its end may stand behind bytes that cannot be read yet, since the network takes none.
  if (grpc_.hung_up) close_soon();
  const bool more_out = move_out(scratch);
  const bool more_in = move_in(scratch);
  const State state = state_after(more_out || more_in);
  if (incoming.empty()) incoming.swap(scratch.incoming);
  if (outgoing.empty()) outgoing.swap(scratch.outgoing);
  if (decrypted_.empty()) ByteQueue().swap(decrypted_);
  return state;
}

RelayConnection::State RelayConnection::state_after(bool more) {
  if (network_.ended && decrypted_.empty()) return State::kEnded;
  if (grpc_.ended && channel_->outgoing.empty()) {
    if (!std::exchange(told_end_, true)) {
      channel_->close();
      send_outgoing();
    }
    if (channel_->outgoing.empty()) return State::kEnded;
  }
  return more ? State::kMore : State::kWaiting;
}

// What gRPC wrote is still sent; it reads nothing any more.
void RelayConnection::close_soon() {
  if (close_by_ == Clock::time_point::max()) close_by_ = Clock::now() + kCloseWithin;
  decrypted_.clear();
}

void RelayConnection::give_up() {
  const linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(network_.descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void RelayConnection::send_outgoing() {
  ByteQueue& queue = channel_->outgoing;
  while (!queue.empty() && network_.writable && !network_.broken) {
    queue.take(deliver_to(network_, queue.data(), queue.size()));
  }
  if (network_.broken) queue.clear();
}

// From gRPC to the network. Whether there is more to do at once.
bool RelayConnection::move_out(Scratch& scratch) {
  for (int round = 0; round < kRounds; ++round) {
    send_outgoing();
    if (!channel_->outgoing.empty() || grpc_.ended || !grpc_.readable) return false;
    const size_t count = receive(grpc_, scratch.bytes.get(), Scratch::kBytes);
    if (grpc_.ended) close_soon();
    if (count > 0 && !network_.broken &&
        channel_->encrypt(scratch.bytes.get(), count) != Result::kDone) {
      network_.broken = network_.ended = true;
    }
  }
  send_outgoing();
  return channel_->outgoing.empty() && grpc_.readable && !grpc_.ended;
}

void RelayConnection::deliver_decrypted() {
  while (!decrypted_.empty() && grpc_.writable && !grpc_.broken) {
    decrypted_.take(deliver_to(grpc_, decrypted_.data(), decrypted_.size()));
  }
  if (!grpc_.broken) return;
  grpc_.readable = true;  // its end is found by reading what it wrote before
  close_soon();
}

// From the network to gRPC.
bool RelayConnection::move_in(Scratch& scratch) {
  for (int round = 0; round < kRounds; ++round) {
    deliver_decrypted();
    if (!decrypted_.empty() || grpc_.broken || grpc_.ended || network_.ended) return false;
    size_t count = 0;
    const Result result = channel_->decrypt(scratch.bytes.get(), Scratch::kBytes, &count);
    // Straight to gRPC; what it does not take is kept.
    const size_t taken = count == 0 ? 0 : deliver_to(grpc_, scratch.bytes.get(), count);
    if (taken < count) decrypted_.append(scratch.bytes.get() + taken, count - taken);
    if (result == Result::kDone) continue;  // there may be more in what came
    if (result != Result::kNeedsInput) {
      network_.ended = network_.broken = true;
    } else if (!network_.readable) {
      deliver_decrypted();
      return false;
    } else {
      char* const space = channel_->incoming.space(Scratch::kBytes);
      channel_->incoming.added(receive(network_, space, Scratch::kBytes));
    }
  }
  deliver_decrypted();
  return decrypted_.empty() && !grpc_.broken && !grpc_.ended && !network_.ended;
}

}  // namespace trireme

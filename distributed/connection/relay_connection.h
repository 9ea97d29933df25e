// One connection of the TLS relay: a TLS socket on one side, gRPC's socket pair on the other.
// Private to this folder. Used by one thread.
#pragma once

#include <chrono>
#include <memory>

#include "distributed/connection/tls_channel.h"

namespace trireme {

class RelayConnection {
 public:
  using Clock = std::chrono::steady_clock;
  enum class State {
    kMore,     // there is more to do at once, after the others had their turn
    kWaiting,  // for one of its descriptors
    kEnded
  };

  // An end of it as epoll knows it. Events come once for each change, so what is known stays known
  // until a call says that it is over.
  struct End {
    RelayConnection* connection;
    int descriptor;
    bool readable = true, writable = true;
    bool watched_for_writing = true;  // its thread's
    bool hung_up = false;             // a short read does not mean that nothing follows
    bool ended = false;               // nothing more comes from it
    bool broken = false;              // it takes nothing any more, but may still bring something
  };

  // Takes both descriptors.
  RelayConnection(int network, int grpc, std::unique_ptr<TlsChannel> channel);
  ~RelayConnection();
  RelayConnection(const RelayConnection&) = delete;

  End& network() { return network_; }
  End& grpc() { return grpc_; }

  // Memory that all connections of a thread share: one that waits for its descriptors, and has
  // nothing that they did not take, holds none.
  struct Scratch {
    static constexpr size_t kBytes = 256 << 10;
    std::unique_ptr<char[]> bytes{new char[kBytes]};
    ByteQueue incoming, outgoing;
  };
  State move_bytes(Scratch& scratch);

  // Whether all that gRPC wrote has gone to the network's socket. For the end of the process.
  bool is_drained() const {
    return network_.ended || network_.broken ||
           (channel_->outgoing.empty() && (grpc_.ended || !grpc_.readable));
  }
  // When a connection that gRPC has closed is given up.
  Clock::time_point close_by() const { return close_by_; }
  // What has not been sent is dropped, by the kernel as well: the peer sees a reset.
  void give_up();

  bool is_queued = false;  // its thread's

 private:
  State state_after(bool more);
  bool move_out(Scratch& scratch);
  bool move_in(Scratch& scratch);
  void send_outgoing();
  void deliver_decrypted();
  void close_soon();

  End network_, grpc_;
  std::unique_ptr<TlsChannel> channel_;
  ByteQueue decrypted_;    // what gRPC has not taken yet
  bool told_end_ = false;  // the peer knows that nothing follows
  Clock::time_point close_by_ = Clock::time_point::max();
};

}  // namespace trireme

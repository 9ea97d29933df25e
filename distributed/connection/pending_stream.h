// A connected socket before gRPC has it: bytes in the clear, or through TLS.
//
// What both ends say before they trust each other goes through it; after that release() gives gRPC
// a descriptor that carries bytes in the clear on this side. Nothing blocks. One thread at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace trireme {

class PendingStream {
 public:
  enum class Want { kNothing, kRead, kWrite };

  virtual ~PendingStream() = default;  // closes the connection, unless it was released

  virtual int descriptor() const = 0;  // to poll
  // To be called before the first byte, and again when the descriptor is ready for what it wants;
  // kNothing: bytes may go. Throws Error{kInvalidArgument} when one end does not trust the other,
  // with one sentence for people; kUnavailable when the peer is gone.
  virtual Want handshake() = 0;
  // How many bytes went, at most `bytes`; 0: the descriptor is not ready, or (TLS) wants more
  // first. Throws Error{kUnavailable} when the peer is gone.
  virtual size_t read(void* data, size_t bytes) = 0;
  virtual size_t write(const void* data, size_t bytes) = 0;
  // Once, when nothing is in flight: the descriptor for gRPC, non-blocking; its owner closes it,
  // and shutdown() on it breaks the connection off.
  virtual int release() = 0;
};

// Takes the descriptor of a connected socket.
std::unique_ptr<PendingStream> make_plain_stream(int socket);

// What this task shows its peers, and whom it believes: made once for a task. Any thread.
class Encryption {
 public:
  virtual ~Encryption() = default;
  // The end that dialled `host` (a name or an address, without a port), whose certificate must say
  // so, and the end that accepted a connection of `peer` (for messages). They take the descriptor.
  virtual std::unique_ptr<PendingStream> client(int socket, const std::string& host) const = 0;
  virtual std::unique_ptr<PendingStream> server(int socket, const std::string& peer) const = 0;
  // Connections between two loopback addresses go in the clear unless this says otherwise.
  virtual bool covers_loopback() const { return false; }
};

// How a task proves that it belongs to a job, to every server of the job and they to it.
struct Security {
  std::string secret;                                      // empty: only on loopback
  std::shared_ptr<const Encryption> encryption = nullptr;  // null: bytes go in the clear
};

}  // namespace trireme

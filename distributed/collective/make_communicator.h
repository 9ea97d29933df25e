// Communicators by name: "local", "shm", "grpc", "mpi", their combination by host, or "auto".
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "distributed/collective/communicator.h"
#include "distributed/connection/pending_stream.h"

namespace trireme {

// What a process needs before it knows its peers: the port on which its peers will reach it. Lives
// as long as the task; every generation connects through it. connect() is called by one thread at a
// time.
class CollectiveEndpoint {
 public:
  virtual ~CollectiveEndpoint() = default;
  // For Peer::address; empty when the backend needs none.
  virtual std::string address() const = 0;
  // For Peer::host_id: equal for all processes that share this machine's memory.
  virtual std::string host_id() const = 0;
  // The communicator of a generation; returns when all its members are connected. Throws
  // Error{kInvalidArgument} when the backend cannot serve the group (shm across hosts), naming the
  // peers.
  virtual std::unique_ptr<Communicator> connect(const Group& group,
                                                const CommunicatorOptions& options) = 0;
};

struct EndpointOptions {
  // "auto": shm on one host; otherwise grpc between hosts, shm inside where several ranks share
  // one. "shm", "grpc", "mpi", "shm+grpc", "shm+mpi".
  std::string backend = "auto";
  std::string listen = "127.0.0.1";  // bound by grpc, and what peers connect to
  std::string secret;
  std::shared_ptr<const Encryption> encryption = nullptr;  // of connections between hosts
};

// Names for --backend.
std::vector<std::string> collective_backends();

// Throws Error{kInvalidArgument} for an unknown backend, listing those that are built.
std::unique_ptr<CollectiveEndpoint> make_endpoint(const EndpointOptions& options);

// `size` communicators of one process, one for each thread that will be a rank.
std::vector<std::unique_ptr<Communicator>> make_local_group(
    int size, const CommunicatorOptions& options = {});

}  // namespace trireme

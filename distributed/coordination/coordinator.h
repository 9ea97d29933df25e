// The Coordinator: where the tasks of a job meet, and who knows which of them is late.
//
// A gRPC server in the launcher, else in rank 0. It forms generations: each is a group of workers
// that passed the handshake. A worker that is lost ends the generation for all of them, within a
// moment when its connection breaks, at the deadline when it is only silent; the survivors and
// whoever joins form the next one.
//
// start() and stop() are called by the owner; everything else happens on the server's threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/base/error.h"
#include "distributed/connection/pending_stream.h"
#include "distributed/coordination/launchers.h"

namespace trireme {

struct CoordinatorOptions {
  std::string listen = "127.0.0.1";
  int port = 0;  // 0: any that is free
  std::string secret;
  std::shared_ptr<const Encryption> encryption = nullptr;
  std::string job_id;
  std::string run;  // the id of this launch of the job; empty: it draws one
  int world_size = 1;
  int min_workers = 0;  // go on with fewer after a loss; 0: wait for all
  // How long the first generation, and one after a loss, waits for its members.
  std::chrono::milliseconds join_timeout{120'000};
  // A collective that is later than this is reported, again each time as much has passed.
  std::chrono::milliseconds stall_warning{10'000};
  // A collective that is later than this ends the generation.
  std::chrono::milliseconds collective_timeout{60'000};
  // A member whose connection lives but that has not been heard of for so long counts as missing.
  std::chrono::milliseconds heartbeat_timeout{2'000};
  // One line for people: joins, refusals, stalls, losses. Null: standard error through log_info.
  std::function<void(const std::string&)> log;
  // Starts a task again that hangs: see Launchers::replace(). Null: whoever was added as a
  // launcher.
  std::function<bool(const HungTask&)> replace;
  // A task was told to stop; called for each that says so. Null: whoever was added as a launcher.
  std::function<void(const StoppedTask&)> stop;
};

class Coordinator {
 public:
  // Throws Error{kInvalidArgument} naming the address when it cannot be bound; one that is taken is
  // tried for a few seconds.
  explicit Coordinator(CoordinatorOptions options);
  ~Coordinator();  // refuses who still waits, closes all connections
  Coordinator(const Coordinator&) = delete;

  std::string address() const;  // "host:port"
  std::string run() const;      // see CoordinatorOptions
  int64_t generation() const;   // of the group that runs or ran last; 0: none yet
  // The workers that are members now.
  int members() const;

  // A task cannot do its part, and no restart mends that: all tasks of the job end with `error`,
  // those that come later, too. Any thread.
  void fail(const Error& error);
  int told_of_failure() const;  // how many have been answered so

  // The launcher of this machine, until the coordinator goes.
  void add_launcher(Launcher launcher);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme

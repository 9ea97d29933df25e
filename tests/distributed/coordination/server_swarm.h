// Many parameter servers without tables, and workers that watch them, in a few threads.
//
// Each has a connection and a stream of its own and speaks the directory's protocol as a
// DirectoryClient does: it announces itself, beats, follows the views, and says when the backup of
// its slot is in sync, which it is at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "distributed/coordination/server_view.h"

namespace trireme::testing {

class ServerSwarm {
 public:
  // All come at once. `address`: of the coordinator.
  ServerSwarm(const std::string& address, const std::string& secret, int servers, int replicas,
              int watchers);
  ~ServerSwarm();  // all say goodbye
  ServerSwarm(const ServerSwarm&) = delete;

  // The connection of a server breaks, without a goodbye.
  void lose(int server);
  // Its next incarnation comes, with snapshots of the slots that it had.
  void bring_back(int server);

  // Waits for a view that fits, at a watcher, then until all tasks that are there have the same
  // one. Throws Error{kDeadlineExceeded} saying how many have it.
  using Fits = std::function<bool(const ServerView&)>;
  ServerView wait_for(const Fits& fits, std::chrono::milliseconds timeout) const;
  // Those that have another view than this one, by what they are.
  std::vector<std::string> with_another_view(const ServerView& view) const;
  // Messages that all have got, and their bytes.
  struct Traffic {
    int64_t messages = 0, bytes = 0;
  };
  Traffic traffic() const;
  // What tasks could not follow: a change that did not fit, or the end of a stream.
  std::vector<std::string> faults() const;
  // As if what this watcher has were another view: the next change cannot fit.
  void spoil(int watcher);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// All slots have a primary, and with two replicas a backup that is in sync.
bool is_whole(const ServerView& view, int replicas);

}  // namespace trireme::testing

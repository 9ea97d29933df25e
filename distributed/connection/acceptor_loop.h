// What an Acceptor's thread does: accepts, lets peers prove themselves, hands them over.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "distributed/connection/acceptor.h"
#include "distributed/connection/greeting.h"
#include "distributed/connection/refusal_log.h"

namespace trireme {

class AcceptorLoop {
 public:
  struct Events {
    // Takes the descriptor; false: it was closed, because there are too few left.
    std::function<bool(int fd, const std::string& peer)> on_welcome;
    std::function<void()> on_refused;
    std::function<void()>
        on_short;  // of descriptors: lets go of those of connections that are over
    std::function<void(size_t count)> on_unproven;
  };

  // Borrows the descriptors: sockets that listen, and an eventfd that ends run().
  AcceptorLoop(const AcceptorOptions& options, const std::string& address, std::vector<int> sockets,
               int stop, Events events);
  ~AcceptorLoop();
  AcceptorLoop(const AcceptorLoop&) = delete;

  void run();

 private:
  using Clock = std::chrono::steady_clock;

  // One peer that has proved nothing yet.
  struct Unproven {
    Unproven(int fd, const AcceptorOptions& options);
    ~Unproven();

    int fd;  // until there is a stream
    std::unique_ptr<PendingStream> stream;
    GreetingServer greeting;
    Clock::time_point accepted, deadline;
    std::string host, peer;
    bool is_local = false;
    bool has_spoken = false;
    bool is_leaving = false;  // refused and told so: until it has read that
    uint32_t waits_for = 0;   // the events that epoll has
  };
  using Place = std::map<uint64_t, std::unique_ptr<Unproven>>::iterator;

  void accept_all(int socket);
  void admit(int fd, const sockaddr_storage& from);
  // When all places are taken.
  static Clock::time_point keeps_place_until(const Unproven& one);
  Place first_to_go();  // REQUIRES: there is one
  // Makes room when there is none. False: not now.
  bool has_room();
  // Nobody is accepted for a moment: the machine has run out of something.
  void pause(const std::string& why);
  void listen_again(Clock::time_point now);
  void advance(Place place);
  // What it waits for next; 0: it is to be closed.
  uint32_t talk(Unproven& one);
  bool choose_stream(Unproven& one);
  uint32_t leave(Unproven& one);
  void hand_over(Place place);
  void close_late(Clock::time_point now);
  void close_one(Place place);
  void refused(const Unproven& one, const std::string& kind, const std::string& why);
  int milliseconds_to_wait(Clock::time_point now);

  const AcceptorOptions& options_;
  const std::vector<int> sockets_;
  const int stop_;
  const Events events_;
  const size_t most_unproven_;
  RefusalLog log_;
  int epoll_ = -1;
  bool listening_ = true;
  Clock::time_point listens_again_ = Clock::time_point::min();
  Clock::time_point told_short_ = Clock::time_point::min();
  uint64_t next_ = 0;
  std::map<uint64_t, std::unique_ptr<Unproven>> unproven_;  // the oldest first
};

}  // namespace trireme

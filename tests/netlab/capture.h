// What goes over a link of tests/support/local_network, as somebody on the network would see it.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <thread>

namespace trireme::testing {

class Capture {
 public:
  // Of all packets to and from host 1 of the network. Throws Error when it cannot listen.
  explicit Capture(const std::string& network);
  ~Capture();

  // Ends it: the bytes of each direction of each TCP connection, in order, by
  // "10.78.0.1:29400 -> 10.78.0.2:41234". From the first byte up to the first that was not seen.
  std::map<std::string, std::string> stop();

 private:
  void run();

  int socket_ = -1;
  std::atomic<bool> ends_{false};
  std::map<std::string, std::map<uint32_t, std::string>> segments_;
  std::map<std::string, uint32_t> first_;  // the sequence number of the first byte
  std::thread thread_;
};

}  // namespace trireme::testing

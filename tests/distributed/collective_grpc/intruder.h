// A well-formed gRPC client of the data port that knows the secret, with whatever it says of
// itself.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace trireme::testing {

class Intruder {
 public:
  using Metadata = std::vector<std::pair<std::string, std::string>>;

  // Throws what dial() throws.
  Intruder(const std::string& address, const std::string& secret, const Metadata& metadata);
  ~Intruder();

  bool is_welcome();  // waits for the answer
  void send(const std::string& message);
  std::string finish();  // "CODE: message" of the status with which the server ends the call

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trireme::testing

// One end of a connection as a process of its own, to be killed or stopped:
//   rpc_program serve PORT            echoes; "hold" is never answered
//   rpc_program call PORT tcp|shm     calls "hold" and waits
#include <unistd.h>

#include <cstring>
#include <iostream>
#include <mutex>
#include <string>
#include <vector>

#include "ps/protocol/rpc.h"

namespace {

using namespace trireme::ps;

Message text(const std::string& words) {
  const auto bytes = std::as_bytes(std::span(words));
  return own({bytes.begin(), bytes.end()});
}

int serve(int port) {
  std::mutex mutex;
  std::vector<std::unique_ptr<Responder>> held;
  const auto server = make_rpc_server(
      {.port = port, .secret = "s", .job_id = "j"},
      [&](Message request, std::unique_ptr<Responder> responder) {
        if (request.bytes.size() == 4 && std::memcmp(request.bytes.data(), "hold", 4) == 0) {
          const std::lock_guard lock(mutex);
          held.push_back(std::move(responder));
        } else {
          responder->answer({{std::move(request)}});
        }
      });
  std::cerr << "ready\n";
  while (true) pause();
}

int hold(const std::string& address, bool shared_memory) {
  const auto connection = connect_rpc(
      {.address = address, .secret = "s", .job_id = "j", .shared_memory = shared_memory});
  connection->call({{text("hold")}}, std::chrono::hours(1), [](RpcResult) {});
  std::cerr << "ready\n";
  while (true) pause();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  if (std::string(argv[1]) == "serve") return serve(std::stoi(argv[2]));
  return hold("127.0.0.1:" + std::string(argv[2]), std::string(argv[3]) == "shm");
}

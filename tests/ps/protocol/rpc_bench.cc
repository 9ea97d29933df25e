// Round trips and throughput of the transports of parameter servers, between two processes:
// rpc_bench [tcp|shm [CASE]] prints one line a case, or those whose name holds CASE.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <future>
#include <string>
#include <string_view>
#include <thread>

#include "ps/protocol/rpc.h"

namespace {

using namespace trireme::ps;
using Clock = std::chrono::steady_clock;

std::string wanted;  // part of a case's name

// Answers with as many bytes as the first word of the request says.
void serve(int out) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::vector<std::byte> bytes(size_t{64} << 20);
  const Message source = own(std::move(bytes));
  const auto server = make_rpc_server(
      {.secret = "s", .job_id = "j"}, [&](Message request, std::unique_ptr<Responder> responder) {
        uint64_t size = 0;
        std::memcpy(&size, request.bytes.data(), sizeof(size));
        responder->answer({{{source.owner, source.bytes.first(size)}}});
      });
  const std::string line = server->address() + "\n";
  if (write(out, line.data(), line.size()) < 0) return;
  pause();
}

void measure(RpcConnection& connection, const char* name, size_t up, size_t down, int under_way,
             int calls) {
  if (std::string_view(name).find(wanted) == std::string_view::npos) return;
  std::vector<std::byte> bytes(std::max<size_t>(up, 8));
  const uint64_t size = down;
  std::memcpy(bytes.data(), &size, sizeof(size));
  const Message request = own(std::move(bytes));
  std::atomic<int> left = calls, finished = 0;
  std::promise<void> all;
  std::function<void()> next = [&] {
    if (left.fetch_sub(1) <= 0) return;
    connection.call({{request}}, std::chrono::seconds(60), [&](RpcResult result) {
      if (result.error) std::printf("%s\n", result.error->what());
      next();
      if (finished.fetch_add(1) + 1 == calls) all.set_value();
    });
  };
  const auto begin = Clock::now();
  for (int i = 0; i < under_way; ++i) next();
  all.get_future().wait();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  std::printf("%-28s %8.2f us a call  %7.2f GB/s\n", name, seconds / calls * 1e6,
              static_cast<double>(up + down) * calls / seconds / 1e9);
}

}  // namespace

int main(int argc, char** argv) {
  int ends[2];
  if (pipe(ends) != 0) return 1;
  const pid_t child = fork();
  if (child == 0) {
    serve(ends[1]);
    return 0;
  }
  char address[200] = {};
  if (read(ends[0], address, sizeof(address) - 1) <= 0) return 1;
  address[std::strlen(address) - 1] = '\0';
  const bool shm = argc > 1 && std::string(argv[1]) == "shm";
  if (argc > 2) wanted = argv[2];
  for (const int connections : {1, 2}) {
    const auto connection = connect_rpc({.address = address,
                                         .secret = "s",
                                         .job_id = "j",
                                         .shared_memory = shm,
                                         .connections = connections});
    std::printf("%s, %d connections\n", connection->peer().c_str(), connections);
    measure(*connection, "small, 1 under way", 8, 8, 1, 20000);
    measure(*connection, "small, 16 under way", 8, 8, 16, 100000);
    measure(*connection, "256 KiB up, 8 under way", 256 << 10, 8, 8, 20000);
    measure(*connection, "256 KiB down, 8 under way", 8, 256 << 10, 8, 20000);
    measure(*connection, "16 MiB up, 2 under way", 16 << 20, 8, 2, 200);
    measure(*connection, "16 MiB down, 2 under way", 8, 16 << 20, 2, 200);
    measure(*connection, "16 MiB down, 1 under way", 8, 16 << 20, 1, 200);
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

#include "distributed/collective/folder_rendezvous.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "core/base/error.h"

namespace trireme {
namespace {

using Clock = std::chrono::steady_clock;

std::string file_of(const std::string& folder, int rank) { return str_cat(folder, "/rank-", rank); }

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "?";
}

// A line for each field. Moved into place when complete, so that nobody reads half of it.
void write_peer(const std::string& folder, const Peer& peer) {
  const std::string path = file_of(folder, peer.rank);
  const std::string unfinished = path + ".new";
  std::ofstream(unfinished) << peer.host << '\n'
                            << peer.host_id << '\n'
                            << peer.pid << '\n'
                            << peer.address << '\n';
  std::filesystem::rename(unfinished, path);
}

bool read_peer(const std::string& folder, int rank, Peer& peer) {
  std::ifstream file(file_of(folder, rank));
  if (!file) return false;
  peer.rank = rank;
  std::getline(file, peer.host);
  std::getline(file, peer.host_id);
  file >> peer.pid;
  file.ignore();
  std::getline(file, peer.address);
  return true;
}

}  // namespace

Group meet_in_folder(const std::string& folder, int rank, int size,
                     const CollectiveEndpoint& endpoint, std::chrono::milliseconds timeout,
                     const std::string& host_id) {
  Group group;
  group.generation = 1;
  group.rank = rank;
  group.job_id = folder;
  group.peers.resize(static_cast<size_t>(size));
  write_peer(folder, {.rank = rank,
                      .host = host_name(),
                      .host_id = host_id.empty() ? endpoint.host_id() : host_id,
                      .pid = getpid(),
                      .address = endpoint.address()});
  const auto deadline = Clock::now() + timeout;
  for (int peer = 0; peer < size; ++peer) {
    while (!read_peer(folder, peer, group.peers[static_cast<size_t>(peer)])) {
      if (Clock::now() >= deadline) {
        std::string late;
        for (int other = peer; other < size; ++other) {
          if (!std::filesystem::exists(file_of(folder, other))) late += str_cat(" ", other);
        }
        throw Error(ErrorCode::kDeadlineExceeded,
                    str_cat("ranks that did not come to ", folder, ":", late));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  return group;
}

}  // namespace trireme

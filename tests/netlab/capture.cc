#include "tests/netlab/capture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#include "core/base/error.h"

namespace trireme::testing {
namespace {

// A socket belongs to the network namespace of the thread that makes it.
int open_in(const std::string& name_space, const std::string& interface) {
  int result = -1;
  std::thread([&] {
    const int fd = open(("/var/run/netns/" + name_space).c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) return;
    close(fd);
    const int packets = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_IP));
    const int bytes = 64 << 20;
    setsockopt(packets, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
    if (bind(packets, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) result = packets;
  }).join();
  if (result < 0) throw failed("nothing can be captured on ", interface, " of ", name_space);
  return result;
}

std::string address_text(uint32_t address, uint16_t port) {
  std::array<char, INET_ADDRSTRLEN> text{};
  inet_ntop(AF_INET, &address, text.data(), text.size());
  return str_cat(text.data(), ":", ntohs(port));
}

}  // namespace

Capture::Capture(const std::string& network)
    : socket_(open_in("trireme-" + network + "-switch", "port1")), thread_([this] { run(); }) {}

Capture::~Capture() {
  if (thread_.joinable()) stop();
}

void Capture::run() {
  std::vector<char> packet(1 << 18);
  while (!ends_) {
    pollfd end{socket_, POLLIN, 0};
    if (poll(&end, 1, 20) <= 0) continue;
    const ssize_t count = recv(socket_, packet.data(), packet.size(), MSG_DONTWAIT);
    if (count < static_cast<ssize_t>(sizeof(ether_header) + sizeof(iphdr) + sizeof(tcphdr))) {
      continue;
    }
    ether_header ethernet{};
    std::memcpy(&ethernet, packet.data(), sizeof ethernet);
    iphdr ip{};
    std::memcpy(&ip, packet.data() + sizeof ethernet, sizeof ip);
    if (ntohs(ethernet.ether_type) != ETHERTYPE_IP || ip.protocol != IPPROTO_TCP) continue;
    const size_t tcp_at = sizeof ethernet + 4 * ip.ihl;
    tcphdr tcp{};
    std::memcpy(&tcp, packet.data() + tcp_at, sizeof tcp);
    const size_t from = tcp_at + 4 * tcp.doff;
    // Short frames are padded.
    const size_t to = std::min(static_cast<size_t>(count), sizeof ethernet + ntohs(ip.tot_len));
    const std::string name =
        address_text(ip.saddr, tcp.source) + " -> " + address_text(ip.daddr, tcp.dest);
    if (tcp.syn) first_[name] = ntohl(tcp.seq) + 1;
    if (to <= from) continue;
    std::string& segment = segments_[name][ntohl(tcp.seq)];
    if (segment.size() < to - from) segment.assign(packet.data() + from, to - from);
  }
}

std::map<std::string, std::string> Capture::stop() {
  ends_ = true;
  thread_.join();
  close(socket_);
  std::map<std::string, std::string> streams;
  for (const auto& [name, segments] : segments_) {
    const auto first = first_.find(name);
    if (first == first_.end()) continue;
    std::string& stream = streams[name];
    // Relative to the first byte: sequence numbers wrap around.
    std::map<uint32_t, const std::string*> ordered;
    for (const auto& [at, bytes] : segments) ordered[at - first->second] = &bytes;
    for (const auto& [at, bytes] : ordered) {
      if (at > stream.size()) break;
      if (at + bytes->size() > stream.size()) stream += bytes->substr(stream.size() - at);
    }
  }
  return streams;
}

}  // namespace trireme::testing

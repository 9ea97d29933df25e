#include "tests/support/http_client.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <sstream>
#include <utility>

#include "core/base/error.h"

namespace trireme::testing {

using Clock = std::chrono::steady_clock;

HttpClient::HttpClient(const std::string& address) {
  const size_t colon = address.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
  inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0 || connect(socket_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    if (socket_ >= 0) close(socket_);
    throw Error(ErrorCode::kUnavailable, "nobody answers at " + address);
  }
}

HttpClient::~HttpClient() {
  if (socket_ >= 0) close(socket_);
}

HttpClient::HttpClient(HttpClient&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)), in_(std::move(other.in_)) {}

bool HttpClient::send(const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t count = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count < 0) return false;
    sent += static_cast<size_t>(count);
  }
  return true;
}

bool HttpClient::read_some(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  pollfd poll_for{.fd = socket_, .events = POLLIN, .revents = 0};
  if (left <= 0 || poll(&poll_for, 1, static_cast<int>(left)) <= 0) return false;
  std::array<char, 65536> bytes;
  const ssize_t count = recv(socket_, bytes.data(), bytes.size(), 0);
  if (count <= 0) return false;
  in_.append(bytes.data(), static_cast<size_t>(count));
  return true;
}

HttpAnswer HttpClient::receive(std::chrono::milliseconds within, bool after_head) {
  const auto deadline = Clock::now() + within;
  const auto need = [&](auto is_there) {
    while (!is_there()) {
      if (!read_some(deadline)) {
        throw Error(ErrorCode::kUnavailable, "no whole answer, only: " + in_.substr(0, 200));
      }
    }
  };
  size_t end = std::string::npos;
  need([&] { return (end = in_.find("\r\n\r\n")) != std::string::npos; });
  HttpAnswer answer;
  std::istringstream lines(in_.substr(0, end));
  std::string line;
  std::getline(lines, line);
  answer.status = std::atoi(line.substr(line.find(' ')).c_str());
  while (std::getline(lines, line)) {
    if (line.ends_with('\r')) line.pop_back();
    const size_t colon = line.find(": ");
    std::string name = line.substr(0, colon);
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    answer.headers[name] = line.substr(colon + 2);
  }
  const size_t bytes = after_head ? 0 : std::stoul(answer.headers.at("content-length"));
  need([&] { return in_.size() >= end + 4 + bytes; });
  answer.body = in_.substr(end + 4, bytes);
  in_.erase(0, end + 4 + bytes);
  return answer;
}

bool HttpClient::is_closed_within(std::chrono::milliseconds time) {
  const auto deadline = Clock::now() + time;
  while (read_some(deadline)) in_.clear();
  return Clock::now() < deadline;
}

HttpAnswer http_get(const std::string& address, const std::string& path,
                    std::chrono::milliseconds within) {
  HttpClient client(address);
  client.send("GET " + path + " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
  return client.receive(within);
}

}  // namespace trireme::testing

// A plain client of HTTP over a real socket, for tests that say every byte themselves.
#pragma once

#include <chrono>
#include <map>
#include <string>

namespace trireme::testing {

struct HttpAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

class HttpClient {
 public:
  // Connects to "127.0.0.1:PORT". Throws Error when nobody listens.
  explicit HttpClient(const std::string& address);
  ~HttpClient();
  HttpClient(HttpClient&& other) noexcept;
  HttpClient(const HttpClient&) = delete;

  // False when the other end has closed the connection.
  bool send(const std::string& bytes);
  // The next answer; its body is Content-Length bytes, or none `after_head`. Throws Error when the
  // connection ends or the time is over before.
  HttpAnswer receive(std::chrono::milliseconds within = std::chrono::seconds(5),
                     bool after_head = false);
  // Whether the other end closes the connection within this time; what it sends is dropped.
  bool is_closed_within(std::chrono::milliseconds time);

 private:
  bool read_some(std::chrono::steady_clock::time_point deadline);  // false: closed, or too late

  int socket_ = -1;
  std::string in_;
};

// One GET on a connection of its own.
HttpAnswer http_get(const std::string& address, const std::string& path = "/metrics",
                    std::chrono::milliseconds within = std::chrono::seconds(5));

}  // namespace trireme::testing

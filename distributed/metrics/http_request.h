// The head of an HTTP/1 request, as much of RFC 9112 as a server of one document needs. What is
// not understood is refused: nothing is guessed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace trireme {

inline constexpr size_t kMaxRequestHead = 8 << 10;  // bytes

struct HttpRequest {
  std::string method, path;  // the path without a query
  bool keep_alive = false;
};

struct HttpParse {
  enum class State { kIncomplete, kRequest, kRefused } state = State::kIncomplete;
  size_t bytes = 0;  // of the request, where it is complete
  HttpRequest request;
  int status = 0;  // to refuse it with: 400, 413 (it has a body), 431 or 505
};

// The first request in `bytes`. A request that cannot become one is refused at once, not when its
// head is complete.
HttpParse parse_http_request(std::string_view bytes);

}  // namespace trireme

#include "distributed/metrics/http_request.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace trireme {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

HttpParse refuse(int status) { return {.state = HttpParse::State::kRefused, .status = status}; }

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

// No control characters: a lone CR, LF or NUL is read differently by different programs.
bool is_text(std::string_view line) {
  return std::ranges::none_of(line,
                              [](unsigned char c) { return (c < ' ' && c != '\t') || c == 127; });
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Whether a list such as "keep-alive, TE" has `wanted`.
bool has_item(std::string_view list, std::string_view wanted) {
  while (true) {
    const size_t comma = list.find(',');
    if (lower(trim(list.substr(0, comma))) == wanted) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

// "/metrics?x=1" and, as a proxy writes it, "http://host/metrics": "/metrics".
std::string path_of(std::string_view target) {
  if (lower(target.substr(0, 7)) == "http://") {
    const size_t slash = target.find('/', 7);
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  return std::string(target.substr(0, target.find_first_of("?#")));
}

// 0, or the status to refuse the line with.
int parse_request_line(std::string_view line, HttpRequest& request, bool& is_1_1) {
  const size_t first = line.find(' ');
  const size_t second = first == line.npos ? line.npos : line.find(' ', first + 1);
  if (second == line.npos || !is_text(line)) return 400;
  const std::string_view target = line.substr(first + 1, second - first - 1);
  const std::string_view version = line.substr(second + 1);
  if (!is_token(line.substr(0, first)) || target.empty()) return 400;
  const bool is_http = version.size() == 8 && version.starts_with("HTTP/") && version[6] == '.' &&
                       std::isdigit(static_cast<unsigned char>(version[5])) != 0 &&
                       std::isdigit(static_cast<unsigned char>(version[7])) != 0;
  if (!is_http) return 400;
  if (version[5] != '1') return 505;
  is_1_1 = version[7] != '0';
  request.method = line.substr(0, first);
  request.path = path_of(target);
  return 0;
}

struct Headers {
  int hosts = 0;
  bool close = false, keep_alive = false, has_body = false;
};

// 0, or the status to refuse the line with.
int parse_header(std::string_view line, Headers& headers) {
  const size_t colon = line.find(':');
  // A name is a token: no blank before the colon, and no continued line.
  if (colon == line.npos || !is_token(line.substr(0, colon)) || !is_text(line)) return 400;
  const std::string name = lower(line.substr(0, colon));
  const std::string_view value = trim(line.substr(colon + 1));
  if (name == "host") ++headers.hosts;
  if (name == "connection") {
    headers.close |= has_item(value, "close");
    headers.keep_alive |= has_item(value, "keep-alive");
  }
  if (name == "transfer-encoding") headers.has_body = true;
  if (name == "content-length") {
    uint64_t length = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
    if (error != std::errc() || end != value.data() + value.size()) return 400;
    headers.has_body |= length > 0;
  }
  return 0;
}

}  // namespace

HttpParse parse_http_request(std::string_view bytes) {
  size_t at = 0;
  // Some clients send an empty line behind the request before.
  while (bytes.substr(at).starts_with(kLineEnd)) at += kLineEnd.size();
  // A method begins with a letter; a TLS client, say, with another byte.
  if (at < bytes.size() && bytes[at] != '\r' && !is_token(bytes.substr(at, 1))) return refuse(400);
  HttpParse result;
  Headers headers;
  bool is_1_1 = false;
  for (bool is_first = true;; is_first = false) {
    const size_t end = bytes.find(kLineEnd, at);
    if (end == bytes.npos) return bytes.size() > kMaxRequestHead ? refuse(431) : HttpParse();
    if (end + kLineEnd.size() > kMaxRequestHead) return refuse(431);
    const std::string_view line = bytes.substr(at, end - at);
    at = end + kLineEnd.size();
    if (line.empty() && !is_first) break;
    const int status =
        is_first ? parse_request_line(line, result.request, is_1_1) : parse_header(line, headers);
    if (status != 0) return refuse(status);
  }
  if (headers.hosts > 1 || (is_1_1 && headers.hosts == 0)) return refuse(400);
  if (headers.has_body) return refuse(413);
  result.request.keep_alive = !headers.close && (is_1_1 || headers.keep_alive);
  result.state = HttpParse::State::kRequest;
  result.bytes = at;
  return result;
}

}  // namespace trireme

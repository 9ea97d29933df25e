#include "distributed/metrics/http_request.h"

#include <gtest/gtest.h>

namespace trireme {
namespace {

using State = HttpParse::State;

// Every prefix of a request is incomplete, and never refused: a network cuts where it likes.
TEST(HttpRequestTest, ReadsARequestHoweverItIsCut) {
  const std::string text =
      "GET /metrics?x=1 HTTP/1.1\r\nHost: h\r\nAccept: text/plain;version=0.0.4\r\n\r\n";
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_EQ(parse_http_request(text.substr(0, i)).state, State::kIncomplete) << i;
  }
  const HttpParse parse = parse_http_request(text + "GET /next");
  ASSERT_EQ(parse.state, State::kRequest);
  EXPECT_EQ(parse.bytes, text.size());
  EXPECT_EQ(parse.request.method, "GET");
  EXPECT_EQ(parse.request.path, "/metrics");
  EXPECT_TRUE(parse.request.keep_alive);
}

TEST(HttpRequestTest, KeepsConnectionsAsTheVersionAndTheClientSay) {
  const auto keeps = [](const std::string& version, const std::string& headers) {
    const HttpParse parse =
        parse_http_request("GET / HTTP/" + version + "\r\nHost: h\r\n" + headers + "\r\n");
    EXPECT_EQ(parse.state, State::kRequest);
    return parse.request.keep_alive;
  };
  EXPECT_TRUE(keeps("1.1", ""));
  EXPECT_FALSE(keeps("1.1", "Connection: TE, Close\r\n"));
  EXPECT_FALSE(keeps("1.0", ""));
  EXPECT_TRUE(keeps("1.0", "connection: Keep-Alive\r\n"));
}

// As a proxy and as an old client write it.
TEST(HttpRequestTest, UnderstandsWholeAddressesAndRequestsWithoutHost) {
  EXPECT_EQ(parse_http_request("GET HTTP://h:1/metrics HTTP/1.1\r\nHost: h\r\n\r\n").request.path,
            "/metrics");
  EXPECT_EQ(parse_http_request("GET http://h HTTP/1.0\r\n\r\n").request.path, "/");
}

TEST(HttpRequestTest, RefusesWhatIsNoRequest) {
  const auto status = [](const std::string& text) {
    const HttpParse parse = parse_http_request(text);
    return parse.state == State::kRefused ? parse.status : 0;
  };
  const std::string line = "GET / HTTP/1.1\r\n", host = "Host: h\r\n";
  // At once, before the head is whole.
  EXPECT_EQ(status("\x16\x03\x01"), 400);
  EXPECT_EQ(status("GET /\r\n"), 400);
  EXPECT_EQ(status("GET  / HTTP/1.1\r\n"), 400);
  EXPECT_EQ(status("GET / HTTP/x.1\r\n"), 400);
  EXPECT_EQ(status("PRI * HTTP/2.0\r\n"), 505);
  EXPECT_EQ(status(std::string("GET /\0 HTTP/1.1\r\n", 17)), 400);
  EXPECT_EQ(status(line + "Host : h\r\n"), 400);
  EXPECT_EQ(status(line + host + " continued\r\n"), 400);
  EXPECT_EQ(status(line + "A: b\nc\r\n"), 400);
  EXPECT_EQ(status(line + "\r\n"), 400) << "no host";
  EXPECT_EQ(status(line + host + host + "\r\n"), 400) << "two hosts";
  EXPECT_EQ(status(line + host + "Content-Length: -1\r\n"), 400);
  EXPECT_EQ(status(line + host + "Content-Length: 99999999999999999999\r\n"), 400);
  EXPECT_EQ(status(line + host + "Content-Length: 5\r\n\r\nhello"), 413);
  EXPECT_EQ(status(line + host + "Transfer-Encoding: chunked\r\n\r\n"), 413);
  EXPECT_EQ(status(line + host + "Content-Length: 0\r\n\r\n"), 0);
  const std::string many = line + host + "A: " + std::string(kMaxRequestHead, 'x');
  EXPECT_EQ(status(many), 431);
  EXPECT_EQ(status(many + "\r\n\r\n"), 431);
}

}  // namespace
}  // namespace trireme

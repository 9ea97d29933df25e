#include "tests/distributed/tls/meeting.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>

#include "core/base/error.h"

namespace trireme::testing {
namespace {

using Clock = std::chrono::steady_clock;
using Want = PendingStream::Want;

const std::string kWord = "GET / HTTP/1.1\r\n\r\n";

// One end of the conversation, a little further at each call.
class Speaker {
 public:
  Speaker(PendingStream& stream, std::string& error) : stream_(stream), error_(error) {}

  bool is_done() const { return done_; }
  void go_on() {
    if (done_) return;
    try {
      if (!met_ && stream_.handshake() != Want::kNothing) return;
      met_ = true;
      if (said_ < kWord.size()) said_ += stream_.write(kWord.data() + said_, kWord.size() - said_);
      std::array<char, 64> buffer{};
      heard_ += stream_.read(buffer.data(), kWord.size() - heard_);
      done_ = said_ == kWord.size() && heard_ == kWord.size();
    } catch (const Error& error) {
      error_ = error.what();
      done_ = true;
    }
  }

 private:
  PendingStream& stream_;
  std::string& error_;
  bool met_ = false, done_ = false;
  size_t said_ = 0, heard_ = 0;
};

}  // namespace

Sockets connect_sockets() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(bind(listener, generic, size), 0);
  EXPECT_EQ(listen(listener, 1), 0);
  EXPECT_EQ(getsockname(listener, generic, &size), 0);
  Sockets sockets;
  sockets.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(connect(sockets.client, generic, size), 0);
  sockets.server = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  close(listener);
  for (const int end : {sockets.client, sockets.server}) fcntl(end, F_SETFL, O_NONBLOCK);
  return sockets;
}

Meeting meet(const Encryption* client, const Encryption* server, const std::string& dialled) {
  const Sockets sockets = connect_sockets();
  Meeting meeting;
  meeting.client = client == nullptr ? make_plain_stream(sockets.client)
                                     : client->client(sockets.client, dialled);
  meeting.server = server == nullptr ? make_plain_stream(sockets.server)
                                     : server->server(sockets.server, "10.1.2.3:4567");
  Speaker calls(*meeting.client, meeting.client_error);
  Speaker answers(*meeting.server, meeting.server_error);
  const auto deadline = Clock::now() + std::chrono::seconds(10);
  while (Clock::now() < deadline) {
    calls.go_on();
    answers.go_on();
    // An end that gives up closes the connection: that, too, is to be understood.
    if (!meeting.client_error.empty()) meeting.client.reset();
    if (!meeting.server_error.empty()) meeting.server.reset();
    if (calls.is_done() && answers.is_done()) break;
    std::array<pollfd, 2> ends{};
    for (auto& end : ends) end = {-1, POLLIN, 0};
    if (meeting.client && !calls.is_done()) ends[0].fd = meeting.client->descriptor();
    if (meeting.server && !answers.is_done()) ends[1].fd = meeting.server->descriptor();
    poll(ends.data(), ends.size(), 10);
  }
  EXPECT_TRUE(calls.is_done()) << "the client waits without end";
  EXPECT_TRUE(answers.is_done()) << "the server waits without end";
  return meeting;
}

Sockets release(Meeting& meeting) {
  EXPECT_TRUE(meeting.succeeded()) << meeting.client_error << meeting.server_error;
  return {meeting.client->release(), meeting.server->release()};
}

}  // namespace trireme::testing

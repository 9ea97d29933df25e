// What gRPC sees of a TLS connection: bytes in order, their pace, and the end.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "distributed/connection/relay_connection.h"
#include "distributed/connection/tls_channel.h"
#include "distributed/connection/tls_identity.h"
#include "tests/distributed/tls/meeting.h"

namespace trireme {
namespace {

using testing::meet;
using testing::Meeting;
using testing::release;
using testing::Sockets;
using Clock = std::chrono::steady_clock;

const std::string kSecret = "a secret of sixteen characters or more";
constexpr std::chrono::seconds kLong(20);

class TlsRelayTest : public ::testing::Test {
 protected:
  // The descriptors that gRPC would have, at both ends of one connection.
  Sockets connect() const {
    Meeting meeting = meet(one_.get(), two_.get());
    return release(meeting);
  }
  static bool wait_for(int fd, short events) {
    pollfd end{fd, events, 0};
    return poll(&end, 1, std::chrono::milliseconds(kLong).count()) == 1;
  }
  static bool send_all(int fd, const std::string& bytes) {
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t count = send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (count > 0) {
        at += static_cast<size_t>(count);
      } else if (errno != EAGAIN || !wait_for(fd, POLLOUT)) {
        return false;
      }
    }
    return true;
  }
  // `bytes` of them, fewer at the end.
  static std::string receive(int fd, size_t bytes) {
    std::string result(bytes, '\0');
    size_t at = 0;
    while (at < bytes) {
      const ssize_t count = recv(fd, result.data() + at, bytes - at, 0);
      if (count > 0) {
        at += static_cast<size_t>(count);
      } else if (count == 0 || errno != EAGAIN || !wait_for(fd, POLLIN)) {
        break;
      }
    }
    result.resize(at);
    return result;
  }
  // Whether the end comes, and nothing before it.
  static bool ends(int fd) {
    char byte = 0;
    while (true) {
      if (!wait_for(fd, POLLIN)) return false;
      const ssize_t count = recv(fd, &byte, 1, 0);
      if (count == 0 || (count < 0 && errno == ECONNRESET)) return true;
      if (count > 0 || errno != EAGAIN) return false;
    }
  }
  static std::string noise(size_t bytes, unsigned seed) {
    std::string text(bytes, '\0');
    uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      std::memcpy(text.data() + i, &state, 8);
    }
    return text;
  }

  const std::shared_ptr<const Encryption> one_ = make_job_encryption(kSecret, "n1"),
                                          two_ = make_job_encryption(kSecret, "n2");
};

TEST_F(TlsRelayTest, CarriesBulkInBothDirectionsAtOnce) {
  const Sockets ends = connect();
  const std::string there = noise(96 << 20, 1), back = noise(64 << 20, 2);
  std::string got_there, got_back;
  std::vector<std::thread> threads;
  threads.emplace_back([&] { EXPECT_TRUE(send_all(ends.client, there)); });
  threads.emplace_back([&] { EXPECT_TRUE(send_all(ends.server, back)); });
  threads.emplace_back([&] { got_there = receive(ends.server, there.size()); });
  threads.emplace_back([&] { got_back = receive(ends.client, back.size()); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(got_there == there);
  EXPECT_TRUE(got_back == back);
  close(ends.client);
  close(ends.server);
}

// Pieces of all sizes, answered one by one: nothing waits for more to come.
TEST_F(TlsRelayTest, CarriesEachPieceAtOnce) {
  const Sockets ends = connect();
  for (size_t size = 1; size < 200'000; size = size * 5 / 3 + 1) {
    const std::string piece = noise(size, static_cast<unsigned>(size));
    ASSERT_TRUE(send_all(ends.client, piece));
    ASSERT_TRUE(receive(ends.server, size) == piece) << size;
    ASSERT_TRUE(send_all(ends.server, piece));
    ASSERT_TRUE(receive(ends.client, size) == piece) << size;
  }
  close(ends.client);
  close(ends.server);
}

// A peer that does not read must not fill this process' memory, nor stop other connections.
TEST_F(TlsRelayTest, PassesBackPressureOn) {
  const Sockets ends = connect(), others = connect();
  const std::string block = noise(1 << 20, 3);
  size_t sent = 0;
  for (auto quiet = Clock::now(); Clock::now() - quiet < std::chrono::milliseconds(500);) {
    const ssize_t count = send(ends.client, block.data(), block.size(), MSG_NOSIGNAL);
    if (count > 0) {
      sent += static_cast<size_t>(count);
      quiet = Clock::now();
      ASSERT_LT(sent, 64U << 20) << "the relay takes bytes without end";
    } else {
      pollfd end{ends.client, POLLOUT, 0};
      poll(&end, 1, 50);
    }
  }
  ASSERT_TRUE(send_all(others.client, "other"));
  EXPECT_EQ(receive(others.server, 5), "other");
  EXPECT_EQ(receive(ends.server, sent).size(), sent);
  for (const int end : {ends.client, ends.server, others.client, others.server}) close(end);
}

TEST_F(TlsRelayTest, WhatWasWrittenBeforeTheEndArrivesBeforeIt) {
  for (const bool client_closes : {false, true}) {
    const Sockets ends = connect();
    const int closing = client_closes ? ends.client : ends.server;
    const int other = client_closes ? ends.server : ends.client;
    const std::string last = noise(5 << 20, 4);
    std::thread writer([&] {
      EXPECT_TRUE(send_all(closing, last));
      close(closing);
    });
    EXPECT_TRUE(receive(other, last.size()) == last);
    EXPECT_TRUE(TlsRelayTest::ends(other));
    writer.join();
    close(other);
  }
}

// That is how gRPC breaks a connection off.
TEST_F(TlsRelayTest, ShutdownAtOneEndIsAnEndAtTheOther) {
  for (const bool client_ends : {false, true}) {
    const Sockets ends = connect();
    const auto before = Clock::now();
    ASSERT_EQ(shutdown(client_ends ? ends.client : ends.server, SHUT_RDWR), 0);
    EXPECT_TRUE(TlsRelayTest::ends(client_ends ? ends.server : ends.client));
    EXPECT_LT(Clock::now() - before, std::chrono::seconds(5));
    close(ends.client);
    close(ends.server);
  }
}

// A host that is reset closes nothing.
TEST_F(TlsRelayTest, AConnectionThatIsResetEndsForGrpc) {
  Meeting meeting = meet(one_.get(), two_.get());
  ASSERT_TRUE(meeting.succeeded());
  const int grpc = meeting.client->release();
  const linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(meeting.server->descriptor(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  meeting.server.reset();
  EXPECT_TRUE(ends(grpc));
  // Writing fails soon as well, as to a TCP connection that is gone.
  const auto deadline = Clock::now() + kLong;
  while (send(grpc, "x", 1, MSG_NOSIGNAL) == 1) ASSERT_LT(Clock::now(), deadline);
  close(grpc);
}

// Someone on the way changes a byte: nothing of it reaches gRPC, and the connection ends.
TEST_F(TlsRelayTest, BytesThatWereChangedOnTheWayEndTheConnection) {
  Meeting meeting = meet(one_.get(), two_.get());
  ASSERT_TRUE(meeting.succeeded());
  const int attacker = dup(meeting.server->descriptor());
  const int grpc = meeting.client->release();
  const std::string forged = std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x');
  ASSERT_TRUE(send_all(attacker, forged));
  EXPECT_TRUE(ends(grpc));
  close(grpc);
  close(attacker);
}

TEST_F(TlsRelayTest, ServesManyConnections) {
  constexpr int kConnections = 200;
  std::vector<Sockets> all;
  const auto before = Clock::now();
  for (int i = 0; i < kConnections; ++i) all.push_back(connect());
  const std::chrono::duration<double, std::milli> time = Clock::now() - before;
  RecordProperty("milliseconds_per_connection", std::to_string(time.count() / kConnections));
  for (int round = 0; round < 3; ++round) {
    for (const Sockets& ends : all) ASSERT_TRUE(send_all(ends.client, noise(10'000, 5)));
    for (const Sockets& ends : all) ASSERT_TRUE(receive(ends.server, 10'000) == noise(10'000, 5));
  }
  for (const Sockets& ends : all) {
    close(ends.client);
    EXPECT_TRUE(TlsRelayTest::ends(ends.server));
    close(ends.server);
  }
}

// What a program wrote before it returned from main() has left it in TCP, and so it must here: the
// last answer of a coordinator, say.
TEST_F(TlsRelayTest, WhatWasWrittenBeforeTheProgramEndedArrives) {
  const std::string last = noise(2 << 20, 6);
  const auto shake = [](PendingStream& stream) {
    while (true) {
      const auto want = stream.handshake();
      if (want == PendingStream::Want::kNothing) return;
      wait_for(stream.descriptor(), want == PendingStream::Want::kRead ? POLLIN : POLLOUT);
    }
  };
  // The program is this test again.
  if (const char* socket = std::getenv("TRIREME_TEST_SOCKET")) {
    auto stream = two_->server(std::atoi(socket), "parent");
    shake(*stream);
    std::exit(send_all(stream->release(), last) ? 0 : 1);
  }
  const Sockets sockets = testing::connect_sockets();
  const pid_t child = fork();
  if (child == 0) {
    fcntl(sockets.server, F_SETFD, 0);
    setenv("TRIREME_TEST_SOCKET", std::to_string(sockets.server).c_str(), 1);
    execl("/proc/self/exe", "tls_test",
          "--gtest_filter=TlsRelayTest.WhatWasWrittenBeforeTheProgramEndedArrives", nullptr);
    _exit(127);
  }
  close(sockets.server);
  auto stream = one_->client(sockets.client, "127.0.0.1");
  shake(*stream);
  const int grpc = stream->release();
  EXPECT_TRUE(receive(grpc, last.size()) == last);
  EXPECT_TRUE(ends(grpc));
  close(grpc);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

// A peer that says nothing costs no thread: whoever waits for it has a deadline of its own.
TEST_F(TlsRelayTest, AHandshakeThatStallsBlocksNobody) {
  const Sockets sockets = testing::connect_sockets();
  const auto server = two_->server(sockets.server, "10.1.2.3:4567");
  EXPECT_EQ(server->handshake(), PendingStream::Want::kRead);
  // Half of a first message.
  ASSERT_TRUE(send_all(sockets.client, std::string("\x16\x03\x01\x02\x00\x01", 6)));
  ASSERT_TRUE(wait_for(server->descriptor(), POLLIN));
  EXPECT_EQ(server->handshake(), PendingStream::Want::kRead);
  EXPECT_EQ(server->handshake(), PendingStream::Want::kRead);
  close(sockets.client);
  ASSERT_TRUE(wait_for(server->descriptor(), POLLIN));
  EXPECT_THROW(server->handshake(), Error);
}

void carry(TlsChannel& from, TlsChannel& to) {
  to.incoming.append(from.outgoing.data(), from.outgoing.size());
  from.outgoing.clear();
}

// A client and a server that have met, without sockets.
std::array<std::unique_ptr<TlsChannel>, 2> channels(uint64_t bytes_of_key) {
  const auto identity = job_identity(kSecret, "n1");
  auto client =
      std::make_unique<TlsChannel>(SslPtr(SSL_new(identity->context.get())), bytes_of_key);
  auto server =
      std::make_unique<TlsChannel>(SslPtr(SSL_new(identity->context.get())), bytes_of_key);
  SSL_set_connect_state(client->ssl());
  SSL_set_accept_state(server->ssl());
  for (int i = 0; i < 4; ++i) {
    client->handshake();
    carry(*client, *server);
    server->handshake();
    carry(*server, *client);
  }
  return {std::move(client), std::move(server)};
}

// The end of gRPC's bytes stands behind those that the peer does not take, and is not to wait for
// it.
TEST(RelayConnectionTest, GivesUpAPeerThatTakesNothingOnceGrpcHasGone) {
  std::array<int, 2> network{}, grpc{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, network.data()), 0);
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, grpc.data()), 0);
  RelayConnection connection(network[0], grpc[0], std::move(channels(TlsChannel::kBytesOfKey)[0]));
  RelayConnection::Scratch scratch;
  const std::string block(1 << 20, 'x');
  while (send(grpc[1], block.data(), block.size(), MSG_NOSIGNAL) > 0) {
    connection.grpc().readable = true;
    connection.move_bytes(scratch);
  }
  ASSERT_EQ(connection.close_by(), RelayConnection::Clock::time_point::max());
  close(grpc[1]);
  connection.grpc().hung_up = true;  // as epoll says
  EXPECT_EQ(connection.move_bytes(scratch), RelayConnection::State::kWaiting);
  EXPECT_LE(connection.close_by(), Clock::now() + std::chrono::seconds(10));
  close(network[1]);
}

// A key of AES-GCM is good for so many records: a long training needs several.
TEST(TlsChannelTest, GoesOnWithANewKeyAfterSoManyBytes) {
  const auto [client, server] = channels(100'000);
  std::string sent, got;
  size_t wire = 0;
  for (int i = 0; i < 50; ++i) {
    const std::string piece(30'000, static_cast<char>('a' + i % 26));
    sent += piece;
    ASSERT_EQ(client->encrypt(piece.data(), piece.size()), TlsChannel::Result::kDone);
    wire += client->outgoing.size();
    carry(*client, *server);
    std::string buffer(64'000, '\0');
    size_t count = 0;
    ASSERT_EQ(server->decrypt(buffer.data(), buffer.size(), &count),
              TlsChannel::Result::kNeedsInput);
    got.append(buffer, 0, count);
  }
  EXPECT_TRUE(got == sent);
  // 50 pieces of two records each, with 22 bytes around each; and 16 messages of a new key.
  EXPECT_GT(wire, sent.size() + size_t{100} * 22 + size_t{10} * 27);
}

}  // namespace
}  // namespace trireme

// What a MessageStream promises to both of its users.
#include "distributed/rpc/message_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <future>
#include <thread>

#include "distributed/connection/connection.h"
#include "tests/distributed/rpc/ends.h"

namespace trireme::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

constexpr size_t kMiB = size_t{1} << 20;
const Error kStop(ErrorCode::kCancelled, "the test ends it");

// Frames are cut, copied and borrowed by their size; their order and their bytes stay.
TEST(MessageStreamTest, FramesArriveInOrderWhateverTheirSize) {
  Accepting server;
  Dialling client;
  client.dial(server.address());
  const Accepting::Taken taken = server.wait_for_call();

  std::string sent;
  const size_t sizes[] = {1,        0,    23,   MessageStream::kCopiedBytes,
                          kMiB,     5,    100,  MessageStream::kCopiedBytes + 1,
                          3 * kMiB, 1000, 4096, kMiB + 1};
  char letter = 'a';
  for (int round = 0; round < 3; ++round) {
    for (const size_t size : sizes) {
      const auto body = std::make_shared<std::string>(size, letter);
      letter = letter == 'z' ? 'a' : static_cast<char>(letter + 1);
      const std::string small(7, 'S');
      client.stream->send(bytes_of("head"), std::array<OwnedBytes, 3>{{{body, bytes_of(*body)},
                                                                       {nullptr, bytes_of(small)},
                                                                       {body, bytes_of(*body)}}});
      sent += "head" + *body + small + *body;
    }
  }
  const std::string received = taken.recorder->wait_for_bytes(sent.size());
  EXPECT_EQ(received.size(), sent.size());
  EXPECT_TRUE(received == sent);  // not EXPECT_EQ, which would print it

  // The other direction, too.
  taken.stream->send(bytes_of("answer"));
  EXPECT_EQ(client.recorder->wait_for_bytes(6), "answer");
}

// Who reads whole frames depends on it: a frame is cut only when no message could hold it.
TEST(MessageStreamTest, FramesThatFitGoTogetherAndOnlyLongOnesAreCut) {
  const StreamSettings settings{.message_bytes = 1000};
  Accepting server(settings);
  Dialling client;
  const std::string text(2500, 'x');
  for (const size_t size : {400, 400, 400, 2500, 500, 1}) {  // wait for the connection
    client.stream->send(bytes_of(text).first(size));
  }
  client.dial(server.address(), settings);
  const Accepting::Taken taken = server.wait_for_call();
  taken.recorder->wait_for_bytes(4201);
  EXPECT_THAT(taken.recorder->message_sizes(), ElementsAre(800, 400, 1000, 1000, 1000, 1));
}

// Both ends say something of themselves before the first message.
TEST(MessageStreamTest, BothEndsHearWhatTheOtherSaysOfItself) {
  Accepting server;
  Dialling client;
  client.dial(server.address());
  EXPECT_EQ(client.recorder->wait_for_answer()["x-name"], "server for client");
}

// A peer that does not read must cost neither end memory without bound.
TEST(MessageStreamTest, APausedReaderHoldsTheSenderBackUntilItResumes) {
  Accepting server({}, nullptr, true);
  Accepting other;
  Dialling client, side;
  const CountedBytes bytes(kMiB);
  constexpr int kFrames = 64;
  client.dial(server.address());
  side.dial(other.address());
  const Accepting::Taken taken = server.wait_for_call();
  const Accepting::Taken echo = other.wait_for_call();
  for (int i = 0; i < kFrames; ++i) {
    client.stream->send({}, std::array{bytes.piece()});
  }
  // Until nothing has moved for as long as many round trips of another stream take.
  size_t pings = 0;
  long before = kFrames + 1;
  for (int quiet = 0; quiet < 50; ++quiet) {
    if (bytes.count() != std::exchange(before, bytes.count())) quiet = 0;
    side.stream->send(bytes_of("p"));
    echo.recorder->wait_for_bytes(++pings);
    echo.stream->send(bytes_of("p"));
    side.recorder->wait_for_bytes(pings);
  }
  EXPECT_GT(bytes.count(), kFrames / 4);  // the rest is in the window and in the sockets
  EXPECT_TRUE(client.stream->has_unsent());
  EXPECT_THAT(taken.recorder->message_sizes(), IsEmpty());

  taken.stream->resume();
  EXPECT_EQ(taken.recorder->wait_for_bytes(kFrames * kMiB).size(), kFrames * kMiB);
}

// Whoever gives up must get its memory back, though the peer never reads what is under way.
TEST(MessageStreamTest, AnEndWhileWritingDropsWhatWaitsAndLetsGoOfIt) {
  Accepting server({}, nullptr, true);
  const CountedBytes bytes(kMiB);
  Accepting::Taken taken;
  {
    Dialling client;
    client.dial(server.address());
    taken = server.wait_for_call();
    for (int i = 0; i < 64; ++i) client.stream->send({}, std::array{bytes.piece()});
    client.stream->end(kStop);
    client.stream->send(bytes_of("too late"));
    const Recorder::End end = client.recorder->wait_for_end();
    EXPECT_TRUE(end.by_this_end);
    EXPECT_STREQ(end.why.what(), kStop.what());
  }                               // the queue is not used any more
  taken.connection->break_off();  // gRPC may hold what the kernel did not take until then
  taken.stream->resume();
  EXPECT_FALSE(taken.recorder->wait_for_end().by_this_end);
  EXPECT_EQ(taken.recorder->ends(), 1);
  // On a thread of gRPC, once it sees the break.
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (bytes.count() > 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(bytes.count(), 0);
}

// Messages name the cause, not what it caused.
TEST(MessageStreamTest, TheFirstReasonForAnEndCountsAndIsReportedOnce) {
  Accepting server;
  Dialling client;
  client.dial(server.address());
  client.recorder->wait_for_answer();
  client.stream->end(data_loss("first"));
  client.stream->end(data_loss("second"));
  const Recorder::End end = client.recorder->wait_for_end();
  client.stream->end(data_loss("third"));
  EXPECT_STREQ(end.why.what(), "first");
  EXPECT_EQ(client.recorder->ends(), 1);
}

// An owner that is told to end while it is still connecting must not wait for the peer.
TEST(MessageStreamTest, AnEndBeforeTheStartEndsTheCall) {
  Accepting server;
  Dialling client;
  client.stream->end(kStop);
  client.dial(server.address());
  EXPECT_TRUE(client.recorder->wait_for_end().by_this_end);
}

// A call that is neither accepted nor refused has no end of its own.
TEST(MessageStreamTest, ACallThatNobodyAnswersEndsWhenItIsTold) {
  std::promise<std::unique_ptr<IncomingCall>> arrived;
  Accepting server({},
                   [&](std::unique_ptr<IncomingCall> call) { arrived.set_value(std::move(call)); });
  Dialling client;
  client.dial(server.address());
  client.stream->send(bytes_of("hello"));
  const auto kept = arrived.get_future().get();
  EXPECT_EQ(client.recorder->ends(), 0);
  client.stream->end(kStop);
  EXPECT_TRUE(client.recorder->wait_for_end().by_this_end);
}

// A peer that was killed closes its connection, in the middle of whatever it was.
TEST(MessageStreamTest, ADeadPeerIsReportedAtBothEnds) {
  Accepting server;
  Dialling client;
  client.dial(server.address());
  const Accepting::Taken taken = server.wait_for_call();
  const CountedBytes bytes(kMiB);
  for (int i = 0; i < 16; ++i) client.stream->send({}, std::array{bytes.piece()});
  taken.connection->break_off();
  const Recorder::End end = client.recorder->wait_for_end();
  EXPECT_EQ(end.why.code(), ErrorCode::kUnavailable);
  EXPECT_FALSE(end.by_this_end);
  EXPECT_EQ(taken.recorder->wait_for_end().why.code(), ErrorCode::kUnavailable);
}

// A listener finds what gRPC cannot: bytes that are no message of its peer.
TEST(MessageStreamTest, WhatAListenerThrowsEndsTheStream) {
  struct Strict final : Recorder {
    void on_message(ReceivedMessage /*message*/) override { throw data_loss("no such frame"); }
  };
  const auto strict = std::make_shared<Strict>();
  const auto stream = std::make_shared<MessageStream>();
  Accepting server({},
                   [&](std::unique_ptr<IncomingCall> call) { call->accept(*stream, {}, strict); });
  Dialling client;
  client.dial(server.address());
  client.stream->send(bytes_of("garbage"));
  EXPECT_STREQ(strict->wait_for_end().why.what(), "no such frame");
  EXPECT_EQ(client.recorder->wait_for_end().why.code(), ErrorCode::kUnavailable);
}

// Both logs are to say why, so the reason crosses the connection.
TEST(MessageStreamTest, ARefusalComesOutAsTheErrorItWas) {
  for (const ErrorCode code :
       {ErrorCode::kInvalidArgument, ErrorCode::kFailed, ErrorCode::kNotFound}) {
    Accepting server({}, [code](std::unique_ptr<IncomingCall> call) {
      call->refuse({code, "not you, " + call->metadata("x-name")});
    });
    Dialling client;
    client.dial(server.address());
    const Recorder::End end = client.recorder->wait_for_end();
    EXPECT_EQ(end.why.code(), code);
    EXPECT_STREQ(end.why.what(), "not you, client");
    EXPECT_FALSE(end.by_this_end);
  }
  // A reason that may pass is no reason to give up.
  Accepting server({}, [](std::unique_ptr<IncomingCall> call) {
    call->refuse({ErrorCode::kResourceExhausted, "too many"});
  });
  Dialling client;
  client.dial(server.address());
  EXPECT_EQ(client.recorder->wait_for_end().why.code(), ErrorCode::kUnavailable);
}

// A port of another kind, or of another version, says so.
TEST(MessageStreamTest, AnotherMethodIsRefused) {
  Accepting server;
  Dialling client;
  client.dial(server.address(), {}, "/trireme.test.Streams/Other");
  const Recorder::End end = client.recorder->wait_for_end();
  EXPECT_EQ(end.why.code(), ErrorCode::kNotFound);
  EXPECT_THAT(end.why.what(), HasSubstr(kMethod));
}

// A server that stops must wait for nobody.
TEST(MessageStreamTest, StoppingTheServerEndsItsStreams) {
  auto server = std::make_unique<Accepting>();
  Dialling client;
  client.stream->pause();
  client.dial(server->address());
  const Accepting::Taken taken = server->wait_for_call();
  const CountedBytes bytes(kMiB);
  for (int i = 0; i < 64; ++i) taken.stream->send({}, std::array{bytes.piece()});
  server = nullptr;
  EXPECT_EQ(taken.recorder->ends(), 1);
  client.stream->resume();
  EXPECT_EQ(client.recorder->wait_for_end().why.code(), ErrorCode::kUnavailable);
}

// Every wait has a deadline, and another thread can end it sooner.
TEST(EventQueueTest, AWaitEndsAtItsDeadlineOrWhenItIsWoken) {
  EventQueue queue;
  const auto deadline = std::chrono::steady_clock::now() + 20ms;
  EXPECT_TRUE(queue.run_one(deadline));
  EXPECT_GE(std::chrono::steady_clock::now(), deadline);

  std::thread other([&] { queue.wake(); });
  EXPECT_TRUE(queue.run_one(EventQueue::TimePoint::max()));
  other.join();

  queue.shut_down();
  EXPECT_FALSE(queue.run_one(EventQueue::TimePoint::max()));
}

}  // namespace
}  // namespace trireme::testing

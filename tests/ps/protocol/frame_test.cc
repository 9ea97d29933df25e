// The parts below the transports: frames however they are cut, the order of a session, the calls
// that wait, and a ring whose other side cannot be believed.
#include "ps/protocol/frame.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ps/protocol/pending_calls.h"
#include "ps/protocol/session.h"
#include "ps/protocol/shm_ring.h"
#include "tests/ps/protocol/messages.h"

namespace trireme::ps {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

std::vector<std::byte> bytes_of(OutgoingFrame frame, size_t at_a_time) {
  std::vector<std::byte> bytes;
  while (!frame.is_over()) {
    const auto part = frame.peek(at_a_time);
    EXPECT_FALSE(part.bytes.empty());
    bytes.insert(bytes.end(), part.bytes.begin(), part.bytes.end());
    frame.advance(part.bytes.size());
  }
  return bytes;
}

class FrameTest : public ::testing::Test {
 protected:
  std::unique_ptr<FrameReader> reader(size_t most = 1000) {
    return std::make_unique<FrameReader>(
        std::make_shared<BufferPool>(kKeptBytes), most,
        [this](const FrameHeader& header, const Message& message) {
          came_.push_back(std::to_string(header.call) + ":" + text_of(message));
        },
        [this](const FrameHeader& header) {
          came_.push_back(std::to_string(header.call) + " of " + std::to_string(header.bytes));
        });
  }
  std::vector<std::string> came_;
};

TEST_F(FrameTest, ComeTogetherHoweverTheyAreCut) {
  std::vector<std::byte> stream;
  const auto add = [&](uint64_t call, OutMessage message, size_t at_a_time) {
    const auto bytes = bytes_of({{.call = call}, std::move(message)}, at_a_time);
    stream.insert(stream.end(), bytes.begin(), bytes.end());
  };
  OutMessage pieces = text_message("ab");
  pieces.pieces.push_back({});
  pieces.pieces.push_back(text_message("cde").pieces[0]);
  add(1, pieces, 1);
  add(2, {}, 100);
  add(3, text_message(std::string(2000, 'x')), 7);
  add(4, text_message("end"), 5);
  for (size_t cut = 1; cut <= stream.size(); ++cut) {
    came_.clear();
    const auto to = reader();
    for (size_t at = 0; at < stream.size(); at += cut) {
      to->feed(std::span(stream).subspan(at, std::min(cut, stream.size() - at)));
    }
    ASSERT_THAT(came_, ElementsAre("1:abcde", "2:", "3 of 2000", "4:end")) << cut;
  }
}

TEST_F(FrameTest, RefusesWhatIsNoFrame) {
  FrameHeader header{.kind = static_cast<FrameKind>(9)};
  EXPECT_THROW(reader()->feed(std::as_bytes(std::span(&header, 1))), Error);
  header = {.magic = 7};
  EXPECT_THROW(reader()->feed(std::as_bytes(std::span(&header, 1))), Error);
}

TEST_F(FrameTest, RefusesWhatNoMemoryCouldHold) {
  FrameHeader header{.call = 5, .bytes = UINT64_MAX};
  reader(size_t{1} << 62)->feed(std::as_bytes(std::span(&header, 1)));
  header.bytes = uint64_t{1} << 60;  // below the limit, above what there is
  reader(size_t{1} << 62)->feed(std::as_bytes(std::span(&header, 1)));
  EXPECT_THAT(came_, ElementsAre("5 of 18446744073709551615", "5 of 1152921504606846976"));
}

TEST(BufferPoolTest, UsesLargeMemoryAgainEvenAfterItsOwnEnd) {
  auto buffers = std::make_unique<BufferPool>(size_t{1} << 20);
  auto first = buffers->take(300'000);
  const void* const where = first.get();
  first.reset();
  auto second = buffers->take(299'000);
  EXPECT_EQ(second.get(), where);
  buffers.reset();
  std::memset(second.get(), 1, 299'000);
}

class Sink final : public FrameSink {
 public:
  void send(FrameHeader header, OutMessage message) override {
    sent.push_back(std::to_string(static_cast<int>(header.kind)) + ":" +
                   std::to_string(header.call) + ":" + text_of(joined(message)));
  }
  std::vector<std::string> sent;
};

TEST(SessionTest, WaitsForTheRequestsThatAnotherStreamBrings) {
  std::vector<std::string> order;
  Session session(std::make_shared<const RequestHandler>(
      [&](const Message& request, std::unique_ptr<Responder> responder) {
        order.push_back(text_of(request));
        responder->answer({{request}});
      }));
  const auto sink = std::make_shared<Sink>();
  const auto arrive = [&](uint64_t call) {
    session.arrived(call, text_message(std::to_string(call)).pieces[0], sink);
  };
  arrive(2);
  arrive(5);
  session.skipped(3);
  EXPECT_TRUE(order.empty());
  arrive(1);
  EXPECT_THAT(order, ElementsAre("1", "2"));
  arrive(4);
  EXPECT_THAT(order, ElementsAre("1", "2", "4", "5"));
  EXPECT_THROW(arrive(4), Error);
  EXPECT_THROW(arrive(1 << 22), Error);
  EXPECT_THAT(sink->sent, ElementsAre("2:1:1", "2:2:2", "2:4:4", "2:5:5"));
}

TEST(SessionTest, AHandlerThatThrowsRefusesItsRequestAlone) {
  Session session(std::make_shared<const RequestHandler>(
      [&](const Message&, std::unique_ptr<Responder>) { throw std::runtime_error("bug"); }));
  const auto sink = std::make_shared<Sink>();
  session.arrived(1, {}, sink);
  session.arrived(2, {}, sink);
  EXPECT_EQ(sink->sent.size(), 2U);
  EXPECT_THAT(sink->sent[0], HasSubstr("3:1:"));
}

TEST(PendingCallsTest, EndsEachCallOnceAndRefusesTheRest) {
  PendingCalls calls("ps 0");
  std::vector<std::string> ends;
  const auto add = [&](std::chrono::milliseconds timeout) {
    return calls.add(timeout, [&](const RpcResult& result) {
      ends.emplace_back(result.error == nullptr ? "answer" : name(result.error->code()));
    });
  };
  EXPECT_EQ(add(1h).id, 1U);
  EXPECT_EQ(add(1h).id, 2U);
  EXPECT_EQ(add(0ms).id, 3U);
  calls.end(1, {});
  calls.end(1, {});
  calls.expire();
  EXPECT_EQ(ends.size(), 2U);
  EXPECT_THROW(calls.end(4, {}), Error);
  EXPECT_THROW(calls.end(0, {}), Error);
  calls.fail({ErrorCode::kUnavailable, "gone"});
  EXPECT_EQ(add(1h).id, 0U);
  EXPECT_THAT(ends, ElementsAre("answer", name(ErrorCode::kDeadlineExceeded),
                                name(ErrorCode::kUnavailable), name(ErrorCode::kUnavailable)));
}

TEST(PendingCallsTest, SaysWhichCallsAreUrgent) {
  PendingCalls calls("ps 0");
  const auto add = [&](std::chrono::milliseconds timeout) {
    return calls.add(timeout, [](const RpcResult&) {}).is_urgent;
  };
  calls.wait_until(std::chrono::steady_clock::now() + 1min);
  EXPECT_FALSE(add(1h));
  EXPECT_TRUE(add(1s));
  EXPECT_FALSE(add(10s));
  EXPECT_TRUE(add(1ms));
  EXPECT_FALSE(add(std::chrono::milliseconds::max()));
}

TEST(ShmRingTest, CarriesBytesBothWaysAroundTheEnd) {
  const auto a = ShmRing::make(1000);
  const auto b = ShmRing::open(a->offer());
  a->close_file();
  std::vector<std::byte> sent, received;
  for (size_t i = 0; i < 50; ++i) {
    const std::vector<std::byte> bytes(90 + i, static_cast<std::byte>(i));
    ASSERT_EQ(b->write(bytes), bytes.size());
    sent.insert(sent.end(), bytes.begin(), bytes.end());
    EXPECT_TRUE(a->readable().empty());
    b->publish();
    while (!a->readable().empty()) {
      const auto there = a->readable();
      received.insert(received.end(), there.begin(), there.end());
      a->taken(there.size());
    }
  }
  EXPECT_EQ(sent, received);
  EXPECT_EQ(a->write(std::vector<std::byte>(1500)), 1000U);
  EXPECT_FALSE(a->has_room());
}

TEST(ShmRingTest, RefusesOffersThatAreNotThere) {
  const auto ring = ShmRing::make(1000);
  const auto refused = [](ShmOffer offer) {
    try {
      ShmRing::open(offer);
      return std::string();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return std::string(error.what());
    }
  };
  EXPECT_EQ(refused(ring->offer()), "");
  ShmOffer offer = ring->offer();
  offer.token += 1;
  EXPECT_THAT(refused(offer), HasSubstr("another than was offered"));
  offer = ring->offer();
  offer.ring_bytes += 1;
  EXPECT_THAT(refused(offer), HasSubstr("cannot become fewer"));
  offer.ring_bytes = UINT64_MAX / 2;
  EXPECT_THAT(refused(offer), HasSubstr("expected rings"));
  offer = ring->offer();
  offer.file = 0;  // whatever it is, it is no ring
  EXPECT_NE(refused(offer), "");
  offer.file = 100'000;
  EXPECT_THAT(refused(offer), HasSubstr("cannot open"));
}

// The other process may write what it wants.
TEST(ShmRingTest, DoesNotBelieveNumbersThatCannotBe) {
  const auto ring = ShmRing::make(4096);
  const std::string path = "/proc/self/fd/" + std::to_string(ring->offer().file);
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  const size_t bytes = static_cast<size_t>(lseek(fd, 0, SEEK_END)) - 2 * 4096;
  auto* words =
      static_cast<uint64_t*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  close(fd);
  ASSERT_NE(words, MAP_FAILED);
  for (size_t i = 1; i < bytes / 8; ++i) words[i] = 0x123456789abcdef;
  EXPECT_THROW(ring->readable(), Error);
  EXPECT_THROW(ring->has_room(), Error);
  EXPECT_THROW(ring->write(std::vector<std::byte>(8)), Error);
  munmap(words, bytes);
}

}  // namespace
}  // namespace trireme::ps

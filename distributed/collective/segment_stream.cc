#include "distributed/collective/segment_stream.h"

#include <utility>

#include "distributed/rpc/refusal.h"

namespace trireme {
namespace {

// Reading stops while this much waits to be taken.
constexpr size_t kMostIncomingBytes = 4 << 20;

std::span<const std::byte> bytes_of(const SegmentHeader& header) {
  return std::as_bytes(std::span(&header, 1));
}

}  // namespace

SegmentStream::SegmentStream(std::shared_ptr<Connection> connection)
    : connection_(std::move(connection)) {}

std::shared_ptr<SegmentStream> SegmentStream::dial(int socket, const GrpcHello& hello,
                                                   const std::string& address, EventQueue& queue) {
  const std::shared_ptr<SegmentStream> stream(
      new SegmentStream(std::make_shared<Connection>(socket)));
  stream->stream_->dial(socket,
                        {.address = address,
                         .method = kMethod,
                         .metadata = metadata_of(hello),
                         .settings = segment_settings(),
                         .starts_paused = true},
                        queue, stream);
  return stream;
}

std::shared_ptr<SegmentStream> SegmentStream::accept(IncomingCall& call) {
  const std::shared_ptr<SegmentStream> stream(new SegmentStream(call.connection()));
  call.accept(*stream->stream_, {}, stream, true);
  return stream;
}

void SegmentStream::on_open(const StreamMetadata& /*answer*/) {
  state_.store(State::kWelcome, std::memory_order_release);
}

Error SegmentStream::refusal() const {
  MutexLock lock(mutex_);
  const std::string why = gone_->what();
  return {gone_->code(), why.empty() ? "the connection was closed" : why};
}

void SegmentStream::open(Member member, OnFault on_fault) {
  std::optional<Error> lost;
  {
    MutexLock lock(mutex_);
    member_ = std::move(member);
    on_fault_ = std::move(on_fault);
    reading_ = true;
    if (gone_) lost = loss();
  }
  if (lost) return fail(*lost);
  stream_->resume();
}

void SegmentStream::send(const SegmentHeader& header, const void* data,
                         const GrpcBorrowed& borrowed) {
  OwnedBytes segment{.bytes = {static_cast<const std::byte*>(data), header.bytes}};
  if (header.bytes > MessageStream::kCopiedBytes) {
    borrowed->fetch_add(1, std::memory_order_relaxed);
    segment.owner = std::shared_ptr<const void>(
        data, [borrowed](const void*) { borrowed->fetch_sub(1, std::memory_order_release); });
  }
  stream_->send(bytes_of(header), {&segment, 1});
}

void SegmentStream::send_last(const SegmentHeader& header, const void* data) {
  stream_->drop_unsent();
  const OwnedBytes segment{.bytes = {static_cast<const std::byte*>(data), header.bytes}};
  stream_->send(bytes_of(header), {&segment, 1});
}

void SegmentStream::on_message(ReceivedMessage message) {
  const std::string problem = accept(Frame(std::move(message)));
  if (!problem.empty()) {
    const Error garbage = data_loss("garbage came from ", member_.name, ": ", problem);
    fail(garbage);
    throw Error(garbage);
  }
  MutexLock lock(mutex_);
  reading_ = draining_ || incoming_bytes_ < kMostIncomingBytes;
  if (!reading_) stream_->pause();  // under the lock: what is taken may then resume it
}

void SegmentStream::on_end(const Error& why, bool /*by_this_end*/) {
  std::optional<Error> lost;
  {
    MutexLock lock(mutex_);
    gone_ = why;
    if (!std::exchange(ended_, true)) lost = loss();
  }
  if (state() == State::kWaiting) state_.store(State::kRefused, std::memory_order_release);
  if (lost) fail(*lost);
}

Error SegmentStream::loss() const {
  const std::string why = printable(gone_->what(), 200);
  return {ErrorCode::kUnavailable,
          str_cat(member_.name, " was lost: its connection broke without a goodbye",
                  why.empty() ? "" : " (" + why + ")")};
}

std::string SegmentStream::accept(Frame frame) {
  ReceivedMessage& message = frame.message;
  while (message.left() > 0) {
    if (message.left() < sizeof(SegmentHeader)) {
      return str_cat("a message ends after ", message.left(), " bytes of a header");
    }
    SegmentHeader header;
    message.read(&header, sizeof(header));
    const std::string problem =
        problem_with(header, member_.peer, member_.generation, message.left());
    if (!problem.empty()) return problem;
    std::string text(header.kind == SegmentKind::kFault ? header.bytes : 0, ' ');
    message.read(text.empty() ? nullptr : text.data(), header.bytes);
    switch (header.kind) {
      case SegmentKind::kData:
        ++frame.segments;
        break;
      case SegmentKind::kGoodbye:
      case SegmentKind::kFault: {
        {
          MutexLock lock(mutex_);
          ended_ = true;
        }
        send({.kind = SegmentKind::kReceived, .from = member_.me, .generation = member_.generation},
             nullptr, nullptr);
        if (header.kind == SegmentKind::kGoodbye) break;
        const auto code = header.extra <= static_cast<uint32_t>(ErrorCode::kInternal)
                              ? static_cast<ErrorCode>(header.extra)
                              : ErrorCode::kUnavailable;
        fail({code, printable(text, kMaxFaultText)});
        break;
      }
      case SegmentKind::kReceived: {
        MutexLock lock(mutex_);
        received_ = true;
        break;
      }
      case SegmentKind::kWaiting:
        if (header.extra != 0) {
          member_.inquiry->on_asked(static_cast<int>(member_.peer));
        } else {
          member_.inquiry->on_told(header.sequence, header.offset);
        }
        break;
    }
  }
  if (frame.segments > 0) {
    message.rewind();
    MutexLock lock(mutex_);
    if (draining_) return "";
    incoming_bytes_ += message.size();
    incoming_.push_back(std::move(frame));
  }
  return "";
}

void SegmentStream::fail(const Error& cause) {
  OnFault tell;
  {
    MutexLock lock(mutex_);
    ended_ = true;
    tell = std::exchange(on_fault_, nullptr);
  }
  if (tell) tell(cause);
}

bool SegmentStream::readable() const {
  MutexLock lock(mutex_);
  return !incoming_.empty();
}

bool SegmentStream::ended() const {
  MutexLock lock(mutex_);
  return ended_;
}

bool SegmentStream::answered() const {
  MutexLock lock(mutex_);
  return received_ || gone_;
}

void SegmentStream::take(uint64_t sequence, uint64_t total, uint64_t offset, size_t bytes,
                         void* data) {
  Frame* frame = nullptr;
  {
    MutexLock lock(mutex_);
    frame = &incoming_.front();  // only this thread removes it
  }
  ReceivedMessage& message = frame->message;
  const size_t before = message.left();
  SegmentHeader header{.kind = SegmentKind::kGoodbye};
  while (header.kind != SegmentKind::kData) {  // others were obeyed when they came
    message.read(&header, sizeof(header));
    if (header.kind != SegmentKind::kData) message.read(nullptr, header.bytes);
  }
  if (header.sequence != sequence || header.total != total || header.offset != offset ||
      header.bytes != bytes) {
    throw data_loss("expected message ", sequence, " of ", total, " bytes from ", member_.name,
                    ", found message ", header.sequence, " of ", header.total,
                    " bytes: all ranks must make the same calls in the same order");
  }
  message.read(data, bytes);
  std::optional<Frame> finished;  // freed outside the lock
  {
    MutexLock lock(mutex_);
    incoming_bytes_ -= frame->segments == 1 ? before : before - message.left();
    if (--frame->segments == 0) {
      finished = std::move(*frame);
      incoming_.pop_front();
    }
    if (reading_ || gone_ || incoming_bytes_ > kMostIncomingBytes / 2) return;
    reading_ = true;
  }
  stream_->resume();
}

void SegmentStream::drain() {
  std::deque<Frame> dropped;
  {
    MutexLock lock(mutex_);
    draining_ = true;
    dropped.swap(incoming_);
    incoming_bytes_ = 0;
    reading_ = true;
  }
  stream_->resume();
}

void SegmentStream::cancel() {
  {
    MutexLock lock(mutex_);
    on_fault_ = nullptr;
    ended_ = true;
  }
  stream_->end({ErrorCode::kCancelled, "this process has left"});
}

}  // namespace trireme

#include "distributed/collective/grpc_stream.h"

#include <grpc/slice.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "core/base/hand_over.h"

namespace trireme {
namespace {

// Up to here a copy is cheaper than to wait until gRPC has let go.
constexpr size_t kCopyBytes = 8 << 10;
// Reading stops while this much waits to be taken.
constexpr size_t kMostIncomingBytes = 4 << 20;

// A header with the bytes that follow it, when they are to be copied.
grpc::Slice copy_of(const SegmentHeader& header, const void* data, size_t bytes) {
  auto* memory = static_cast<std::byte*>(std::malloc(sizeof(header) + bytes));
  if (memory == nullptr) throw std::bad_alloc();
  std::memcpy(memory, &header, sizeof(header));
  if (bytes > 0) std::memcpy(memory + sizeof(header), data, bytes);
  return {memory, sizeof(header) + bytes, std::free};
}

grpc::Slice borrow(const void* data, size_t bytes, const GrpcBorrowed& borrowed) {
  borrowed->fetch_add(1, std::memory_order_relaxed);
  // On any thread of gRPC.
  const auto give_back = [](void* counter) {
    take_over(counter);
    const std::unique_ptr<GrpcBorrowed> one(static_cast<GrpcBorrowed*>(counter));
    (*one)->fetch_sub(1, std::memory_order_release);
  };
  auto* const counter = new GrpcBorrowed(borrowed);
  hand_over(counter);
  return {grpc_slice_new_with_user_data(const_cast<void*>(data), bytes, give_back, counter),
          grpc::Slice::STEAL_REF};
}

}  // namespace

struct GrpcStream::Outgoing {
  grpc::Slice header;  // and the bytes, when they are few
  grpc::Slice borrowed;
  size_t size() const { return header.size() + borrowed.size(); }
};

// The slices of a received message, and how far they have been read.
struct GrpcStream::Frame {
  std::vector<grpc::Slice> slices;
  size_t slice = 0, offset = 0;
  size_t left = 0;
  int segments = 0;  // of data, not taken yet

  // Copies the next bytes to `to`; skips them when it is null. REQUIRES: bytes <= left.
  void read(void* to, size_t bytes) {
    left -= bytes;
    auto* out = static_cast<std::byte*>(to);
    while (bytes > 0) {
      const grpc::Slice& from = slices[slice];
      const size_t part = std::min(bytes, from.size() - offset);
      if (out != nullptr) {
        std::memcpy(out, from.begin() + offset, part);
        out += part;
      }
      bytes -= part;
      offset += part;
      if (offset == from.size()) {
        ++slice;
        offset = 0;
      }
    }
  }
  void rewind(size_t size) {
    slice = offset = 0;
    left = size;
  }
};

GrpcStream::GrpcStream(std::shared_ptr<Connection> connection)
    : connection_(std::move(connection)), buffer_(std::make_unique<grpc::ByteBuffer>()) {
  read_.stream = this;
  write_.stream = this;
}

GrpcStream::~GrpcStream() = default;

void GrpcStream::open(Member member, OnFault on_fault) {
  member_ = std::move(member);
  {
    MutexLock lock(mutex_);
    on_fault_ = std::move(on_fault);
    reading_ = true;
  }
  read();
}

void GrpcStream::Read::done(bool ok) {
  const auto alive = std::move(keep);
  stream->on_read(ok);
}

void GrpcStream::Write::done(bool ok) {
  const auto alive = std::move(keep);
  stream->on_written(ok);
}

void GrpcStream::read() {
  read_.keep = shared_from_this();
  start_read(buffer_.get(), &read_);
}

void GrpcStream::write(std::vector<grpc::Slice> frame) {
  write_.keep = shared_from_this();
  start_write(grpc::ByteBuffer(frame.data(), frame.size()), &write_);
}

void GrpcStream::send(const SegmentHeader& header, const void* data, const GrpcBorrowed& borrowed) {
  const bool copy = header.bytes <= kCopyBytes;
  Outgoing outgoing{.header = copy_of(header, data, copy ? header.bytes : 0)};
  if (!copy) outgoing.borrowed = borrow(data, header.bytes, borrowed);
  enqueue(std::move(outgoing), false);
}

void GrpcStream::send_last(const SegmentHeader& header, const void* data) {
  enqueue({.header = copy_of(header, data, header.bytes)}, true);
}

void GrpcStream::enqueue(Outgoing outgoing, bool alone) {
  std::deque<Outgoing> dropped;  // outside the lock
  std::vector<grpc::Slice> frame;
  {
    MutexLock lock(mutex_);
    if (gone_) return;
    if (alone) dropped.swap(outgoing_);
    outgoing_.push_back(std::move(outgoing));
    if (writing_) return;
    writing_ = true;
    frame = next_frame();
  }
  write(std::move(frame));
}

std::vector<grpc::Slice> GrpcStream::next_frame() {
  std::vector<grpc::Slice> frame;
  size_t bytes = 0;
  while (!outgoing_.empty() && (bytes == 0 || bytes + outgoing_.front().size() <= kMaxFrameBytes)) {
    Outgoing& next = outgoing_.front();
    bytes += next.size();
    frame.push_back(std::move(next.header));
    if (next.borrowed.size() > 0) frame.push_back(std::move(next.borrowed));
    outgoing_.pop_front();
  }
  return frame;
}

void GrpcStream::on_written(bool ok) {
  std::deque<Outgoing> dropped;
  std::vector<grpc::Slice> frame;
  {
    MutexLock lock(mutex_);
    if (!ok || gone_) dropped.swap(outgoing_);
    writing_ = !outgoing_.empty();
    if (!writing_) return;
    frame = next_frame();
  }
  write(std::move(frame));
}

void GrpcStream::on_read(bool ok) {
  if (!ok) {
    std::deque<Outgoing> dropped;
    bool ended = false;
    {
      MutexLock lock(mutex_);
      reading_ = false;
      gone_ = true;
      ended = std::exchange(ended_, true);
      dropped.swap(outgoing_);
    }
    start_end([self = shared_from_this(), ended](const std::string& why) {
      if (ended) return;
      self->fail({ErrorCode::kUnavailable,
                  str_cat(self->member_.name, " was lost: its connection broke without a goodbye",
                          why.empty() ? "" : " (" + printable(why, 200) + ")")});
    });
    return;
  }
  auto frame = std::make_unique<Frame>();
  const bool dumped = buffer_->Dump(&frame->slices).ok();
  buffer_->Clear();
  const std::string problem = dumped ? accept(std::move(frame)) : "cannot read the message";
  if (!problem.empty()) {
    fail(data_loss("garbage came from ", member_.name, ": ", problem));
    cancel();
    return;
  }
  {
    MutexLock lock(mutex_);
    reading_ = incoming_bytes_ < kMostIncomingBytes;
    if (!reading_) return;
  }
  read();
}

std::string GrpcStream::accept(std::unique_ptr<Frame> frame) {
  size_t size = 0;
  for (const grpc::Slice& slice : frame->slices) size += slice.size();
  frame->left = size;
  while (frame->left > 0) {
    if (frame->left < sizeof(SegmentHeader)) {
      return str_cat("a message ends after ", frame->left, " bytes of a header");
    }
    SegmentHeader header;
    frame->read(&header, sizeof(header));
    const std::string problem = problem_with(header, member_.peer, member_.generation, frame->left);
    if (!problem.empty()) return problem;
    std::string text(header.kind == SegmentKind::kFault ? header.bytes : 0, ' ');
    frame->read(text.empty() ? nullptr : text.data(), header.bytes);
    switch (header.kind) {
      case SegmentKind::kData:
        ++frame->segments;
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
  if (frame->segments > 0) {
    frame->rewind(size);
    MutexLock lock(mutex_);
    if (draining_) return "";
    incoming_bytes_ += size;
    incoming_.push_back(std::move(frame));
  }
  return "";
}

void GrpcStream::fail(const Error& cause) {
  OnFault tell;
  {
    MutexLock lock(mutex_);
    ended_ = true;
    tell = std::exchange(on_fault_, nullptr);
  }
  if (tell) tell(cause);
}

bool GrpcStream::readable() const {
  MutexLock lock(mutex_);
  return !incoming_.empty();
}

bool GrpcStream::ended() const {
  MutexLock lock(mutex_);
  return ended_;
}

bool GrpcStream::answered() const {
  MutexLock lock(mutex_);
  return received_ || gone_;
}

bool GrpcStream::unsent() const {
  MutexLock lock(mutex_);
  return writing_ || !outgoing_.empty();
}

void GrpcStream::take(uint64_t sequence, uint64_t total, uint64_t offset, size_t bytes,
                      void* data) {
  Frame* frame = nullptr;
  {
    MutexLock lock(mutex_);
    frame = incoming_.front().get();  // only this thread removes it
  }
  const size_t before = frame->left;
  SegmentHeader header{.kind = SegmentKind::kGoodbye};
  while (header.kind != SegmentKind::kData) {  // others were obeyed when they came
    frame->read(&header, sizeof(header));
    if (header.kind != SegmentKind::kData) frame->read(nullptr, header.bytes);
  }
  if (header.sequence != sequence || header.total != total || header.offset != offset ||
      header.bytes != bytes) {
    throw data_loss("expected message ", sequence, " of ", total, " bytes from ", member_.name,
                    ", found message ", header.sequence, " of ", header.total,
                    " bytes: all ranks must make the same calls in the same order");
  }
  frame->read(data, bytes);
  std::unique_ptr<Frame> finished;
  {
    MutexLock lock(mutex_);
    if (--frame->segments == 0) {
      finished = std::move(incoming_.front());
      incoming_.pop_front();
    }
    incoming_bytes_ -= finished == nullptr ? before - frame->left : before;
    if (reading_ || gone_ || incoming_bytes_ > kMostIncomingBytes / 2) return;
    reading_ = true;
  }
  read();
}

void GrpcStream::drain() {
  std::deque<std::unique_ptr<Frame>> dropped;
  {
    MutexLock lock(mutex_);
    draining_ = true;
    dropped.swap(incoming_);
    incoming_bytes_ = 0;
    if (reading_ || gone_) return;
    reading_ = true;
  }
  read();
}

void GrpcStream::cancel() {
  std::deque<Outgoing> dropped;
  {
    MutexLock lock(mutex_);
    on_fault_ = nullptr;
    ended_ = true;
    dropped.swap(outgoing_);
  }
  start_cancel();
}

}  // namespace trireme

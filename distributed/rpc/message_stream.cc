#include "distributed/rpc/message_stream.h"

#include <grpc/slice.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

#include "core/base/hand_over.h"
#include "distributed/rpc/stream_call.h"

namespace trireme {
namespace {

bool is_copied(const OwnedBytes& piece) {
  return piece.owner == nullptr || piece.bytes.size() <= MessageStream::kCopiedBytes;
}

// Refers to memory that its owner keeps alive.
grpc::Slice borrow(const OwnedBytes& piece) {
  // On any thread of gRPC.
  const auto let_go = [](void* held) {
    take_over(held);
    delete static_cast<std::shared_ptr<const void>*>(held);
  };
  auto* const held = new std::shared_ptr<const void>(piece.owner);
  hand_over(held);
  return {grpc_slice_new_with_user_data(const_cast<std::byte*>(piece.bytes.data()),
                                        piece.bytes.size(), let_go, held),
          grpc::Slice::STEAL_REF};
}

// `head` and the pieces that are copied with it, side by side.
grpc::Slice copy(std::span<const std::byte> head, std::span<const OwnedBytes> pieces) {
  size_t bytes = head.size();
  for (const OwnedBytes& piece : pieces) bytes += piece.bytes.size();
  grpc_slice slice = grpc_slice_malloc(bytes);
  uint8_t* to = GRPC_SLICE_START_PTR(slice);
  const auto append = [&to](std::span<const std::byte> part) {
    if (!part.empty()) std::memcpy(to, part.data(), part.size());
    to += part.size();
  };
  append(head);
  for (const OwnedBytes& piece : pieces) append(piece.bytes);
  return {slice, grpc::Slice::STEAL_REF};
}

std::vector<grpc::Slice> slices_of(std::span<const std::byte> head,
                                   std::span<const OwnedBytes> pieces) {
  std::vector<grpc::Slice> slices;
  while (!head.empty() || !pieces.empty()) {
    size_t copied = 0;
    while (copied < pieces.size() && is_copied(pieces[copied])) ++copied;
    if (copied > 0 || !head.empty()) slices.push_back(copy(head, pieces.first(copied)));
    head = {};
    pieces = pieces.subspan(copied);
    if (pieces.empty()) break;
    slices.push_back(borrow(pieces.front()));
    pieces = pieces.subspan(1);
  }
  return slices;
}

// The first `bytes` of the slice, which keeps the rest.
grpc::Slice split(grpc::Slice& slice, size_t bytes) {
  grpc::Slice first = slice.sub(0, bytes);
  slice = slice.sub(bytes, slice.size());
  return first;
}

}  // namespace

// The frames that wait, as the slices of which they consist.
struct MessageStream::FrameQueue {
  struct Part {
    grpc::Slice slice;
    size_t frame_left;  // bytes of its frame from here on
  };
  size_t message_bytes = 0;  // of a message, at most
  std::deque<Part> parts;

  void push(std::vector<grpc::Slice> frame) {
    size_t left = 0;
    for (const grpc::Slice& slice : frame) left += slice.size();
    for (grpc::Slice& slice : frame) {
      const size_t bytes = slice.size();
      if (bytes == 0) continue;
      parts.push_back({std::move(slice), left});
      left -= bytes;
    }
  }

  // The next frames that fit into a message together, or as much of one as does. REQUIRES: not
  // empty.
  std::vector<grpc::Slice> pop_message() {
    std::vector<grpc::Slice> message;
    size_t room = message_bytes;
    do {
      for (size_t left = std::min(parts.front().frame_left, room); left > 0;) {
        Part& part = parts.front();
        const size_t bytes = std::min(left, part.slice.size());
        left -= bytes;
        room -= bytes;
        if (bytes < part.slice.size()) {
          message.push_back(split(part.slice, bytes));
          part.frame_left -= bytes;
        } else {
          message.push_back(std::move(part.slice));
          parts.pop_front();
        }
      }
    } while (!parts.empty() && parts.front().frame_left <= room);
    return message;
  }
};

MessageStream::MessageStream()
    : buffer_(std::make_unique<grpc::ByteBuffer>()), frames_(std::make_unique<FrameQueue>()) {}

MessageStream::~MessageStream() = default;

void MessageStream::Event::done(bool ok) {
  const auto stream = std::move(keep);
  (stream.get()->*then)(ok);
}

RpcEvent& MessageStream::begin(Event& event, Done then) {
  event.then = then;
  event.keep = shared_from_this();
  return event;
}

void MessageStream::start(std::shared_ptr<StreamCall> call,
                          std::shared_ptr<StreamListener> listener, EventQueue& queue,
                          size_t message_bytes, bool starts_paused) {
  listener_ = std::move(listener);
  use_.emplace(queue);
  {
    MutexLock lock(mutex_);
    frames_->message_bytes = message_bytes;
    if (starts_paused) wants_messages_ = false;
    call_ = std::move(call);
    under_way_ = 2;  // the opening, and this function
  }
  call_->start(begin(opening_, &MessageStream::on_opened));
  bool cancelled = false;
  {
    MutexLock lock(mutex_);
    // Not over_: a peer that has refused the call by now is to be heard.
    cancelled = why_.has_value();
  }
  if (cancelled) call_->cancel();  // end() came when there was nothing to cancel
  release();
}

void MessageStream::on_opened(bool ok) {
  const std::optional<StreamMetadata> answer = ok ? call_->answer() : std::nullopt;
  if (answer) listener_->on_open(*answer);
  bool reads = false;
  std::vector<grpc::Slice> message;
  {
    MutexLock lock(mutex_);
    over_ = over_ || !answer;
    opened_ = !over_;
    is_reading_ = reads = opened_ && wants_messages_;
    is_writing_ = opened_ && !frames_->parts.empty();
    if (is_writing_) message = frames_->pop_message();
    under_way_ += int{reads} + int{is_writing_};
  }
  if (reads) read();
  if (!message.empty()) write(std::move(message));
  release();
}

void MessageStream::read() { call_->read(buffer_.get(), begin(reading_, &MessageStream::on_read)); }

void MessageStream::write(std::vector<grpc::Slice> message) {
  call_->write(grpc::ByteBuffer(message.data(), message.size()),
               begin(writing_, &MessageStream::on_written));
}

void MessageStream::send(std::span<const std::byte> head, std::span<const OwnedBytes> pieces) {
  std::vector<grpc::Slice> frame = slices_of(head, pieces);
  std::vector<grpc::Slice> message;
  {
    MutexLock lock(mutex_);
    if (over_) return;
    frames_->push(std::move(frame));
    if (!opened_ || is_writing_ || frames_->parts.empty()) return;
    is_writing_ = true;
    ++under_way_;
    message = frames_->pop_message();
  }
  write(std::move(message));
}

void MessageStream::drop_unsent() {
  std::deque<FrameQueue::Part> dropped;  // outside the lock
  MutexLock lock(mutex_);
  dropped.swap(frames_->parts);
}

bool MessageStream::has_unsent() const {
  MutexLock lock(mutex_);
  return is_writing_ || !frames_->parts.empty();
}

void MessageStream::on_written(bool ok) {
  std::deque<FrameQueue::Part> dropped;
  std::vector<grpc::Slice> message;
  {
    MutexLock lock(mutex_);
    // The end of the stream is what the read will find, with the reason.
    if (!ok || over_) dropped.swap(frames_->parts);
    is_writing_ = !frames_->parts.empty();
    if (is_writing_) message = frames_->pop_message();
  }
  if (message.empty()) {
    release();
  } else {
    write(std::move(message));
  }
}

void MessageStream::pause() {
  MutexLock lock(mutex_);
  wants_messages_ = false;
}

void MessageStream::resume() {
  {
    MutexLock lock(mutex_);
    wants_messages_ = true;
    if (!opened_ || over_ || is_reading_) return;
    is_reading_ = true;
    ++under_way_;
  }
  read();
}

void MessageStream::on_read(bool ok) {
  if (ok) {
    try {
      std::vector<grpc::Slice> slices;
      if (!buffer_->Dump(&slices).ok()) throw data_loss("cannot read what gRPC received");
      buffer_->Clear();
      listener_->on_message(ReceivedMessage(std::move(slices)));
    } catch (const Error& error) {
      end(error);
    }
  }
  bool goes_on = false;
  bool unread = false;
  {
    MutexLock lock(mutex_);
    over_ = over_ || !ok;
    unread = over_ && is_writing_;
    is_reading_ = goes_on = !over_ && wants_messages_;
  }
  if (goes_on) return read();
  if (unread) call_->give_up_writing();
  release();
}

void MessageStream::end(const Error& why) {
  std::deque<FrameQueue::Part> dropped;
  std::shared_ptr<StreamCall> call;
  bool finishes = false;
  {
    MutexLock lock(mutex_);
    if (!why_) why_ = why;
    over_ = true;
    dropped.swap(frames_->parts);
    call = call_;
    if (call == nullptr) return;  // it has not begun, or has ended
    finishes = !finishing_now_;
    if (finishes) ++under_way_;
  }
  call->cancel();
  if (finishes) release();
}

void MessageStream::release() {
  std::deque<FrameQueue::Part> dropped;
  {
    MutexLock lock(mutex_);
    if (--under_way_ > 0 || !over_) return;
    finishing_now_ = true;
    dropped.swap(frames_->parts);
  }
  call_->finish(begin(finishing_, &MessageStream::on_finished));
}

void MessageStream::on_finished(bool /*ok*/) {
  std::shared_ptr<StreamCall> call;
  std::optional<Error> why;
  {
    MutexLock lock(mutex_);
    call.swap(call_);
    why = why_;
  }
  const Error status = call->status();
  call = nullptr;
  const auto listener = std::exchange(listener_, nullptr);
  listener->on_end(why ? *why : status, why.has_value());
  use_.reset();
}

}  // namespace trireme

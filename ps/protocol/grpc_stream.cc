#include "ps/protocol/grpc_stream.h"

#include <grpc/slice.h>
#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/hand_over.h"

namespace trireme::ps {
namespace {

using std::chrono::steady_clock;

// Up to here a copy is cheaper than to wait until gRPC has let go.
constexpr size_t kCopyBytes = 4 << 10;
// How much of one stream may be under way before it is read.
constexpr int kWindowBytes = 8 << 20;

// Refers to memory that `owner` keeps alive.
grpc::Slice borrow(std::shared_ptr<const void> owner, std::span<const std::byte> bytes) {
  // On any thread of gRPC.
  const auto let_go = [](void* held) {
    take_over(held);
    delete static_cast<std::shared_ptr<const void>*>(held);
  };
  auto* const held = new std::shared_ptr<const void>(std::move(owner));
  hand_over(held);
  return {grpc_slice_new_with_user_data(const_cast<std::byte*>(bytes.data()), bytes.size(), let_go,
                                        held),
          grpc::Slice::STEAL_REF};
}

// An event without meaning.
class WakeUp final : public GrpcEvent {
 public:
  void set(grpc::CompletionQueue& queue) {
    hand_over(static_cast<GrpcEvent*>(this));
    alarm_.Set(&queue, gpr_now(GPR_CLOCK_MONOTONIC), static_cast<GrpcEvent*>(this));
  }
  void done(bool /*ok*/) override { delete this; }

 private:
  grpc::Alarm alarm_;
};

gpr_timespec to_gpr(steady_clock::time_point deadline) {
  const auto left =
      std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - steady_clock::now());
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(std::max<int64_t>(0, left.count()), GPR_TIMESPAN));
}

}  // namespace

void for_each_channel_argument(const std::function<void(const char* name, int value)>& set) {
  set(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, static_cast<int>(2 * kChunkBytes));
  set(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, static_cast<int>(2 * kChunkBytes));
  set(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 1 << 20);
  set(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes);
  set(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  set(GRPC_ARG_MAX_CONCURRENT_STREAMS, 8);
  set(GRPC_ARG_MAX_METADATA_SIZE, 8 << 10);
  // A host that is cut off closes no connection.
  set(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  set(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, static_cast<int>(kUnacknowledged.count()));
  set(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  set(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1'000);
}

void run_events(grpc::CompletionQueue& queue,
                const std::function<steady_clock::time_point()>& tick) {
  void* tag = nullptr;
  bool ok = false;
  while (true) {
    const gpr_timespec until = tick ? to_gpr(tick()) : gpr_inf_future(GPR_CLOCK_MONOTONIC);
    const auto status = queue.AsyncNext(&tag, &ok, until);
    if (status == grpc::CompletionQueue::SHUTDOWN) return;
    if (status != grpc::CompletionQueue::GOT_EVENT) continue;
    take_over(tag);
    static_cast<GrpcEvent*>(tag)->done(ok);
  }
}

void wake(grpc::CompletionQueue& queue) { (new WakeUp)->set(queue); }

GrpcStream::GrpcStream() : buffer_(std::make_unique<grpc::ByteBuffer>()) {}

GrpcStream::~GrpcStream() = default;

void GrpcStream::Event::done(bool ok) {
  const auto alive = std::move(keep);
  switch (step) {
    case Step::kOpening:
      return stream->on_opened(ok);
    case Step::kReading:
      return stream->on_read(ok);
    case Step::kWriting:
      return stream->on_written(ok);
    case Step::kFinishing:
      return stream->on_finished();
  }
}

GrpcStream::Event* GrpcStream::start(Event& event, Step step) {
  event.stream = this;
  event.step = step;
  event.keep = shared_from_this();
  return &event;
}

void GrpcStream::open() {
  {
    MutexLock lock(mutex_);
    under_way_ += 2;
  }
  start_opening(start(opening_, Step::kOpening));
  bool cancelled = false;
  {
    MutexLock lock(mutex_);
    cancelled = why_.has_value();
  }
  if (cancelled) start_cancel();  // end() came when there was nothing to cancel
  release();
}

void GrpcStream::refuse() {
  {
    MutexLock lock(mutex_);
    over_ = finished_ = true;
  }
  start_finish(start(finishing_, Step::kFinishing));
}

void GrpcStream::on_opened(bool ok) {
  if (ok) opened();
  std::vector<grpc::Slice> chunk;
  bool reads = false;
  {
    MutexLock lock(mutex_);
    over_ = over_ || !ok;
    reads = !over_;
    if (reads) {
      ++under_way_;
      may_write_ = outgoing_.empty();
      if (!may_write_) {
        ++under_way_;
        chunk = next_chunk();
      }
    }
  }
  if (reads) read();
  if (!chunk.empty()) write(std::move(chunk));
  release();
}

void GrpcStream::read() { start_read(buffer_.get(), start(reading_, Step::kReading)); }

void GrpcStream::write(std::vector<grpc::Slice> chunk) {
  start_write(grpc::ByteBuffer(chunk.data(), chunk.size()), start(writing_, Step::kWriting));
}

void GrpcStream::send(FrameHeader header, OutMessage message) {
  std::vector<grpc::Slice> chunk;
  {
    MutexLock lock(mutex_);
    if (over_) return;
    outgoing_.emplace_back(header, std::move(message));
    if (!may_write_) return;
    may_write_ = false;
    ++under_way_;
    chunk = next_chunk();
  }
  write(std::move(chunk));
}

std::vector<grpc::Slice> GrpcStream::next_chunk() {
  std::vector<grpc::Slice> chunk;
  std::vector<std::byte> copied;  // of what is small, until something is not
  const auto flush = [&] {
    if (!copied.empty()) chunk.emplace_back(copied.data(), copied.size());
    copied.clear();
  };
  size_t room = kChunkBytes;
  while (room > 0 && !outgoing_.empty()) {
    OutgoingFrame& frame = outgoing_.front();
    while (!frame.is_over() && room > 0) {
      const OutgoingFrame::Part part = frame.peek(room);
      if (part.owner == nullptr || part.bytes.size() <= kCopyBytes) {
        copied.insert(copied.end(), part.bytes.begin(), part.bytes.end());
      } else {
        flush();
        chunk.push_back(borrow(*part.owner, part.bytes));
      }
      room -= part.bytes.size();
      frame.advance(part.bytes.size());
    }
    if (frame.is_over()) outgoing_.pop_front();
  }
  flush();
  return chunk;
}

void GrpcStream::on_written(bool ok) {
  std::deque<OutgoingFrame> dropped;
  std::vector<grpc::Slice> chunk;
  {
    MutexLock lock(mutex_);
    // The end of the stream is what the read will find, with the reason.
    if (!ok || over_) dropped.swap(outgoing_);
    may_write_ = outgoing_.empty();
    if (!may_write_) chunk = next_chunk();
  }
  if (chunk.empty()) {
    release();
  } else {
    write(std::move(chunk));
  }
}

void GrpcStream::on_read(bool ok) {
  if (ok) {
    std::optional<Error> problem;
    std::vector<grpc::Slice> slices;
    try {
      if (!buffer_->Dump(&slices).ok()) throw data_loss("cannot read what gRPC received");
      buffer_->Clear();
      for (const grpc::Slice& slice : slices) {
        on_bytes_({reinterpret_cast<const std::byte*>(slice.begin()), slice.size()});
      }
    } catch (const Error& error) {
      problem = error;
    }
    slices.clear();
    if (problem) end(*problem);
  }
  {
    MutexLock lock(mutex_);
    over_ = over_ || !ok;
    ok = !over_;
  }
  if (ok) {
    read();
  } else {
    release();
  }
}

void GrpcStream::end(const Error& why) {
  {
    MutexLock lock(mutex_);
    if (!why_) why_ = why;
    over_ = true;
    // Nothing begun: it was refused, or is about to be.
    if (finished_ || under_way_ == 0) return;
    ++under_way_;
  }
  start_cancel();
  release();
}

void GrpcStream::release() {
  std::deque<OutgoingFrame> dropped;
  {
    MutexLock lock(mutex_);
    if (--under_way_ > 0 || !over_ || finished_) return;
    finished_ = true;
    dropped.swap(outgoing_);
  }
  start_finish(start(finishing_, Step::kFinishing));
}

void GrpcStream::on_finished() {
  const Error grpc_says = finished();
  std::optional<Error> why;
  {
    MutexLock lock(mutex_);
    why = why_;
  }
  const OnBytes let_go = std::exchange(on_bytes_, nullptr);
  const OnOver on_over = std::exchange(on_over_, nullptr);
  on_over(why ? *why : grpc_says);
}

}  // namespace trireme::ps

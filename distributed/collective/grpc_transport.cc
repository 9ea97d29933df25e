#include "distributed/collective/grpc_transport.h"

#include <algorithm>
#include <utility>

#include "core/base/logging.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How long the others may take to hear a goodbye, and the cause of a fault.
constexpr milliseconds kGoodbyePatience{2000};
constexpr milliseconds kFaultPatience{250};
// After a deadline: how long the others may take to say for whom they wait.
constexpr milliseconds kBlamePatience{150};
// How long gRPC may take to let go of memory once its connections are broken.
constexpr milliseconds kReleasePatience{5000};

}  // namespace

void GrpcTransport::Fault::set(const Error& first) {
  MutexLock lock(mutex);
  if (cause) return;
  cause = first;
  is_set.store(true, std::memory_order_release);
}

GrpcTransport::GrpcTransport(Group group,
                             std::vector<std::vector<std::shared_ptr<GrpcStream>>> streams,
                             GrpcProgress* progress, std::shared_ptr<void> keep)
    : group_(std::move(group)), keep_(std::move(keep)), progress_(progress) {
  for (int i = 0; i < group_.size(); ++i) {
    links_.push_back({.streams = std::move(streams[static_cast<size_t>(i)])});
    for (const auto& stream : links_.back().streams) {
      stream->open({.name = peer(i).to_string(),
                    .peer = static_cast<uint32_t>(i),
                    .me = static_cast<uint32_t>(group_.rank),
                    .generation = group_.generation,
                    .waiting_for = waiting_for_},
                   [fault = fault_](const Error& cause) { fault->set(cause); });
    }
  }
}

GrpcTransport::~GrpcTransport() {
  if (closed_) return;
  try {
    const auto until = steady_clock::now() + kGoodbyePatience;
    if (fault_->is_set.load()) {
      give_up();
    } else {
      close(header(SegmentKind::kGoodbye), "", until);
    }
  } catch (const Error&) {  // the fault, which was thrown before
  }
}

SegmentHeader GrpcTransport::header(SegmentKind kind) const {
  return {
      .kind = kind, .from = static_cast<uint32_t>(group_.rank), .generation = group_.generation};
}

void GrpcTransport::start_send(int to, const void* data, size_t bytes) {
  if (fault_->is_set.load(std::memory_order_acquire)) give_up();
  Link& link = links_[static_cast<size_t>(to)];
  SegmentHeader segment = header(SegmentKind::kData);
  segment.sequence = ++link.sent;
  segment.total = bytes;
  do {
    segment.bytes = std::min<uint64_t>(kMaxSegmentBytes, bytes - segment.offset);
    stream(link, link.segments_sent++)
        .send(segment, static_cast<const std::byte*>(data) + segment.offset, borrowed_);
    segment.offset += segment.bytes;
  } while (segment.offset < bytes);
}

void GrpcTransport::finish_sends(TimePoint deadline) {
  const auto sent = [&] {
    return borrowed_->load(std::memory_order_acquire) == 0 ||
           fault_->is_set.load(std::memory_order_acquire);
  };
  // gRPC drops its references before it reports a write, but promises no order: look now and then.
  while (!progress_->wait(sent, std::min(deadline, steady_clock::now() + milliseconds(20)))) {
    if (steady_clock::now() < deadline) continue;
    int slow = 0;  // nobody in particular: name whoever waits for nobody
    while (slow == group_.rank) ++slow;
    blame(slow);
  }
  if (fault_->is_set.load(std::memory_order_acquire)) give_up();
}

void GrpcTransport::receive(int from, void* data, size_t bytes, TimePoint deadline) {
  if (fault_->is_set.load(std::memory_order_acquire)) give_up();
  Link& link = links_[static_cast<size_t>(from)];
  const uint64_t sequence = ++link.received;
  size_t offset = 0;
  do {
    const size_t part = std::min(kMaxSegmentBytes, bytes - offset);
    GrpcStream& source = stream(link, link.segments_received++);
    const auto arrived = [&] {
      return fault_->is_set.load(std::memory_order_acquire) || source.readable() || source.ended();
    };
    if (!arrived()) {
      waiting_for_->store(from, std::memory_order_relaxed);
      if (!progress_->wait(arrived, deadline)) blame(from);
      waiting_for_->store(-1, std::memory_order_relaxed);
    }
    if (fault_->is_set.load(std::memory_order_acquire)) give_up();
    try {
      if (!source.readable()) {
        throw Error(ErrorCode::kUnavailable,
                    str_cat(peer(from).to_string(), " has left the group"));
      }
      source.take(sequence, bytes, offset, part, static_cast<std::byte*>(data) + offset);
    } catch (const Error& cause) {
      fault_->set(cause);
      give_up();
    }
    offset += part;
  } while (offset < bytes);
}

void GrpcTransport::abort(const Error& cause) {
  fault_->set(cause);
  progress_->wake();
}

void GrpcTransport::blame(int from) {
  // Everybody says for whom it waits. Along that chain stands somebody who does not say anything:
  // stopped, cut off, or late.
  SegmentHeader waiting = header(SegmentKind::kWaiting);
  waiting.extra = 1;
  waiting.offset = static_cast<uint64_t>(from);
  for (Link& link : links_) {
    if (!link.streams.empty()) link.streams.front()->send(waiting, nullptr, nullptr);
  }
  int culprit = from;
  bool answers = false;
  const auto follow = [&] {
    culprit = from;
    answers = false;
    for (int step = 0; step < group_.size() && culprit != group_.rank; ++step) {
      const auto next = links_[static_cast<size_t>(culprit)].streams.front()->waits_for();
      if (!next) return false;
      if (*next >= links_.size()) {
        answers = true;
        return true;
      }
      culprit = static_cast<int>(*next);
    }
    return true;  // round and round
  };
  progress_->wait([&] { return fault_->is_set.load() || follow(); },
                  steady_clock::now() + kBlamePatience);
  if (culprit == group_.rank) culprit = from;
  if (!answers) silent_ = culprit;
  fault_->set(
      {ErrorCode::kDeadlineExceeded,
       str_cat(peer(culprit).to_string(),
               answers ? " is late: it has not made the call by the deadline"
                       : " does not answer: nothing came from it by the deadline",
               culprit == from ? "" : str_cat("; ", peer(from).to_string(), " waits for it too"))});
}

void GrpcTransport::close(const SegmentHeader& last, const std::string& text, TimePoint until) {
  closed_ = true;
  const auto for_all = [this](auto body) {
    for (const Link& link : links_) {
      for (const auto& stream : link.streams) body(*stream);
    }
  };
  const bool drop = last.kind == SegmentKind::kFault;
  for_all([&](GrpcStream& stream) {
    stream.drain();
    if (drop) {
      stream.send_last(last, text.data());
    } else {
      stream.send(last, nullptr, nullptr);
    }
  });
  progress_->wait(
      [&] {
        bool all = true;
        for (size_t i = 0; i < links_.size(); ++i) {
          if (static_cast<int>(i) == silent_) continue;
          for (const auto& stream : links_[i].streams) all = all && stream->answered();
        }
        return all;
      },
      until);
  for_all([](GrpcStream& stream) { stream.cancel(); });
  if (drop || borrowed_->load() != 0) {
    for_all([](GrpcStream& stream) { stream.break_connection(); });
  }
  for (Link& link : links_) link.streams.clear();
  const auto released = steady_clock::now() + kReleasePatience;
  while (borrowed_->load(std::memory_order_acquire) != 0) {
    if (steady_clock::now() > released) {
      log_error("gRPC still refers to memory of a collective that has failed");
      break;
    }
    progress_->wait([&] { return borrowed_->load(std::memory_order_acquire) == 0; },
                    steady_clock::now() + milliseconds(20));
  }
}

void GrpcTransport::give_up() {
  Error cause(ErrorCode::kInternal, "");
  {
    MutexLock lock(fault_->mutex);
    cause = *fault_->cause;
  }
  if (!closed_) {
    SegmentHeader last = header(SegmentKind::kFault);
    last.extra = static_cast<uint32_t>(cause.code());
    const std::string text = printable(cause.what(), kMaxFaultText);
    last.bytes = text.size();
    close(last, text, steady_clock::now() + kFaultPatience);
  }
  throw cause;
}

}  // namespace trireme

#include "distributed/collective/grpc_transport.h"

#include <algorithm>
#include <utility>

#include "core/base/logging.h"
#include "distributed/rpc/refusal.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How long the others may take to hear a goodbye, and the cause of a fault.
constexpr milliseconds kGoodbyePatience{2000};
constexpr milliseconds kFaultPatience{250};
// After a deadline: how long the others may take to say for whom they wait, along a chain that
// may go through every member.
constexpr milliseconds kBlamePatience{150};
constexpr milliseconds kBlamePatienceEach{2};
// Members that are to be met are looked for at least this often.
constexpr milliseconds kMeetingPause{50};
// How long gRPC may take to let go of memory once its connections are broken.
constexpr milliseconds kReleasePatience{5000};

}  // namespace

void GrpcTransport::Fault::set(const Error& first) {
  MutexLock lock(mutex);
  if (cause) return;
  cause = first;
  is_set.store(true, std::memory_order_release);
}

GrpcTransport::GrpcTransport(std::unique_ptr<GrpcRendezvous> meeting, GrpcProgress* progress)
    : rendezvous_(std::move(meeting)),
      me_(rendezvous_->group().rank),
      progress_(progress),
      inquiry_(std::make_shared<GrpcInquiry>(me_, rendezvous_->group().size(),
                                             rendezvous_->group().generation)),
      links_(static_cast<size_t>(rendezvous_->group().size())) {}

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
  return {.kind = kind,
          .from = static_cast<uint32_t>(me_),
          .generation = rendezvous_->group().generation};
}

void GrpcTransport::want(int member, TimePoint deadline) {
  Link& missing = link(member);
  if (!std::exchange(missing.wanted, true)) wanted_.push_back(member);
  const auto now = steady_clock::now();
  missing.invite_at = std::min(missing.invite_at, now + (deadline - now) / 2);
}

void GrpcTransport::open(int member, std::vector<std::shared_ptr<SegmentStream>> streams) {
  for (const auto& stream : streams) {
    stream->open({.name = peer(member).to_string(),
                  .peer = static_cast<uint32_t>(member),
                  .me = static_cast<uint32_t>(me_),
                  .generation = rendezvous_->group().generation,
                  .inquiry = inquiry_},
                 [fault = fault_](const Error& cause) { fault->set(cause); });
  }
  inquiry_->connect(member, streams.front());
  Link& met = link(member);
  met.streams = std::move(streams);
  for (const Message& message : std::exchange(met.unsent, {})) send(met, message);
}

void GrpcTransport::meet_wanted(TimePoint deadline, const std::function<void()>& check) {
  std::erase_if(wanted_, [&](int member) {
    auto streams = rendezvous_->connect(member, deadline, check);
    if (streams.empty()) return false;
    open(member, std::move(streams));
    return true;
  });
}

void GrpcTransport::meet_all(const CommunicatorOptions& options, TimePoint deadline) {
  const auto check = [&] {
    options.throw_if_interrupted();
    if (failed()) give_up();
  };
  for (int member = 0; member < static_cast<int>(links_.size()); ++member) {
    if (member != me_) want(member, deadline);
  }
  try {
    while (true) {
      check();
      meet_wanted(deadline, check);
      if (wanted_.empty()) return;
      if (steady_clock::now() >= deadline) throw not_met(wanted_);
      progress_->wait(
          [this] {
            return failed() || std::ranges::any_of(wanted_, [this](int member) {
                     return rendezvous_->is_ready(member);
                   });
          },
          std::min(deadline, steady_clock::now() + kMeetingPause));
    }
  } catch (const Error& cause) {
    fault_->set(cause);
    give_up();
  }
}

void GrpcTransport::invite_late(TimePoint now) {
  for (const int member : wanted_) {
    Link& late = link(member);
    if (member < me_ || late.invited || now < late.invite_at) continue;
    late.invited = true;
    rendezvous_->invite(member);
  }
}

template <typename Done>
bool GrpcTransport::wait(Done done, TimePoint until, TimePoint deadline) {
  const auto over = [&] { return failed() || done(); };
  while (true) {
    if (wanted_.empty() && !rendezvous_->is_invited()) {
      progress_->wait([&] { return over() || rendezvous_->is_invited(); }, until);
    } else {
      for (const int member : rendezvous_->take_invitations()) {
        if (!is_met(member)) want(member, deadline);
      }
      try {
        meet_wanted(deadline, [this] {
          if (failed()) give_up();
        });
      } catch (const Error& cause) {
        fault_->set(cause);
      }
      invite_late(steady_clock::now());
      progress_->wait(
          [&] {
            return over() || wanted_.empty() || rendezvous_->is_invited() ||
                   std::ranges::any_of(
                       wanted_, [this](int member) { return rendezvous_->is_ready(member); });
          },
          std::min(until, steady_clock::now() + kMeetingPause));
    }
    if (over()) return true;
    if (steady_clock::now() >= until) return false;
  }
}

void GrpcTransport::start_send(int to, const void* data, size_t bytes) {
  if (failed()) give_up();
  const Message message{static_cast<const std::byte*>(data), bytes};
  Link& receiver = link(to);
  if (receiver.streams.empty()) {
    want(to, TimePoint::max());  // until finish_sends()
    receiver.unsent.push_back(message);
  } else {
    send(receiver, message);
  }
}

void GrpcTransport::send(Link& link, Message message) {
  SegmentHeader segment = header(SegmentKind::kData);
  segment.sequence = ++link.sent;
  segment.total = message.bytes;
  do {
    segment.bytes = std::min<uint64_t>(kMaxSegmentBytes, message.bytes - segment.offset);
    stream(link, link.segments_sent++).send(segment, message.data + segment.offset, borrowed_);
    segment.offset += segment.bytes;
  } while (segment.offset < message.bytes);
}

void GrpcTransport::finish_sends(TimePoint deadline) {
  for (const int member : wanted_) want(member, deadline);
  const auto sent = [&] {
    return borrowed_->load(std::memory_order_acquire) == 0 &&
           std::ranges::all_of(wanted_, [this](int member) { return link(member).unsent.empty(); });
  };
  // gRPC drops its references before it reports a write, but promises no order: look now and then.
  while (!wait(sent, std::min(deadline, steady_clock::now() + milliseconds(20)), deadline)) {
    if (steady_clock::now() >= deadline) blame(slow_receiver());
  }
  if (failed()) give_up();
}

int GrpcTransport::slow_receiver() const {
  int any = me_ == 0 ? 1 : 0;
  for (size_t i = 0; i < links_.size(); ++i) {
    if (!links_[i].unsent.empty()) return static_cast<int>(i);
    for (const auto& stream : links_[i].streams) {
      if (stream->unsent()) return static_cast<int>(i);
      any = static_cast<int>(i);
    }
  }
  return any;
}

void GrpcTransport::receive(int from, void* data, size_t bytes, TimePoint deadline) {
  if (failed()) give_up();
  Link& sender = link(from);
  if (sender.streams.empty()) {
    want(from, deadline);
    inquiry_->set_waiting_for(from);
    if (!wait([&] { return is_met(from); }, deadline, deadline)) blame(from);
    inquiry_->set_waiting_for(-1);
    if (failed()) give_up();
  }
  const uint64_t sequence = ++sender.received;
  size_t offset = 0;
  do {
    const size_t part = std::min(kMaxSegmentBytes, bytes - offset);
    SegmentStream& source = stream(sender, sender.segments_received++);
    const auto arrived = [&] { return source.readable() || source.ended(); };
    if (!arrived() && !failed()) {
      inquiry_->set_waiting_for(from);
      if (!wait(arrived, deadline, deadline)) blame(from);
      inquiry_->set_waiting_for(-1);
    }
    if (failed()) give_up();
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

Error GrpcTransport::not_met(const std::vector<int>& members) const {
  std::string who;
  for (const int member : members) who += (who.empty() ? "" : ", ") + peer(member).to_string();
  const std::string& problem = rendezvous_->problem();
  return {ErrorCode::kDeadlineExceeded, str_cat("no connection by the deadline with ", who,
                                                problem.empty() ? "" : " (" + problem + ")")};
}

void GrpcTransport::blame(int from) {
  if (!is_met(from)) {
    silent_ = from;
    return fault_->set(not_met({from}));
  }
  // Everybody says for whom it waits. Along that chain stands somebody who does not say anything:
  // stopped, cut off, or late.
  inquiry_->ask(from);
  int culprit = from;
  bool answers = false;
  const auto follow = [&] {
    culprit = from;
    answers = false;
    for (size_t step = 0; step < links_.size() && culprit != me_; ++step) {
      const auto next = inquiry_->waits_for(culprit);
      if (!next) return false;
      if (*next >= links_.size()) {
        answers = true;
        return true;
      }
      culprit = static_cast<int>(*next);
    }
    return true;  // round and round
  };
  progress_->wait(
      [&] { return failed() || follow(); },
      steady_clock::now() + kBlamePatience + kBlamePatienceEach * static_cast<int>(links_.size()));
  if (culprit == me_) culprit = from;
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
  rendezvous_->end(
      last.kind == SegmentKind::kFault
          ? Error(static_cast<ErrorCode>(last.extra), text)
          : Error(ErrorCode::kUnavailable, peer(me_).to_string() + " has left the group"));
  const auto for_all = [this](auto body) {
    for (const Link& link : links_) {
      for (const auto& stream : link.streams) body(*stream);
    }
  };
  const bool drop = last.kind == SegmentKind::kFault;
  for_all([&](SegmentStream& stream) {
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
  for_all([](SegmentStream& stream) { stream.cancel(); });
  if (drop || borrowed_->load() != 0) {
    for_all([](SegmentStream& stream) { stream.break_connection(); });
  }
  for (Link& link : links_) {
    link.streams.clear();
    link.unsent.clear();
  }
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

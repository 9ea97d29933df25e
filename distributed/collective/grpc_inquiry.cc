#include "distributed/collective/grpc_inquiry.h"

#include <utility>
#include <vector>

#include "distributed/collective/segment_stream.h"

namespace trireme {

GrpcInquiry::GrpcInquiry(int me, int size, int64_t generation)
    : me_(me), size_(size), generation_(generation) {}

void GrpcInquiry::connect(int member, const std::shared_ptr<SegmentStream>& stream) {
  MutexLock lock(mutex_);
  streams_[member] = stream;
}

std::shared_ptr<SegmentStream> GrpcInquiry::stream_to(int member) const {
  const auto found = streams_.find(member);
  return found == streams_.end() ? nullptr : found->second.lock();
}

void GrpcInquiry::tell(SegmentStream& stream, int subject, uint64_t waits_for) const {
  stream.send({.kind = SegmentKind::kWaiting,
               .from = static_cast<uint32_t>(me_),
               .generation = generation_,
               .sequence = static_cast<uint64_t>(subject),
               .offset = waits_for},
              nullptr, nullptr);
}

void GrpcInquiry::ask(int member) {
  std::shared_ptr<SegmentStream> stream;
  {
    MutexLock lock(mutex_);
    stream = stream_to(member);
    if (stream == nullptr || !asked_.insert(member).second) return;
  }
  stream->send({.kind = SegmentKind::kWaiting,
                .from = static_cast<uint32_t>(me_),
                .extra = 1,
                .generation = generation_},
               nullptr, nullptr);
}

std::optional<uint64_t> GrpcInquiry::waits_for(int member) const {
  MutexLock lock(mutex_);
  const auto found = told_.find(member);
  if (found == told_.end()) return std::nullopt;
  return found->second;
}

void GrpcInquiry::on_asked(int by) {
  const int mine = waiting_for_.load(std::memory_order_relaxed);
  std::shared_ptr<SegmentStream> asker;
  std::map<int, uint64_t> known;
  {
    MutexLock lock(mutex_);
    askers_.insert(by);
    asker = stream_to(by);
    known = told_;
  }
  if (asker == nullptr) return;
  tell(*asker, me_, mine < 0 ? kNobody : static_cast<uint64_t>(mine));
  for (const auto& [subject, waits_for] : known) tell(*asker, subject, waits_for);
  if (mine >= 0 && mine != by) ask(mine);
}

void GrpcInquiry::on_told(uint64_t subject, uint64_t waits_for) {
  if (subject >= static_cast<uint64_t>(size_) || subject == static_cast<uint64_t>(me_)) return;
  std::vector<std::shared_ptr<SegmentStream>> askers;
  {
    MutexLock lock(mutex_);
    if (!told_.emplace(static_cast<int>(subject), waits_for).second) return;  // passed on already
    for (const int asker : askers_) {
      if (auto stream = stream_to(asker)) askers.push_back(std::move(stream));
    }
  }
  for (const auto& stream : askers) tell(*stream, static_cast<int>(subject), waits_for);
}

}  // namespace trireme

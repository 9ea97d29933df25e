#include "ps/protocol/session.h"

#include <exception>
#include <utility>

#include "core/base/logging.h"

namespace trireme::ps {
namespace {

// A client's streams can be so far apart and no farther: more than any has under way.
constexpr uint64_t kMostAhead = 1 << 20;

// Does not keep the stream: what is left of a client goes when the client does.
class FrameResponder final : public Responder {
 public:
  FrameResponder(const std::shared_ptr<FrameSink>& to, uint64_t call) : to_(to), call_(call) {}
  ~FrameResponder() override {
    const auto to = to_.lock();
    if (to == nullptr) return;
    send_refusal(*to, call_, {ErrorCode::kInternal, "the server did not answer this request"});
  }

  void answer(OutMessage message) override {
    TRIREME_CHECK(!std::exchange(answered_, true), "a request is answered once");
    if (const auto to = std::exchange(to_, {}).lock()) {
      to->send({.kind = FrameKind::kAnswer, .call = call_}, std::move(message));
    }
  }

 private:
  std::weak_ptr<FrameSink> to_;  // empty: answered
  const uint64_t call_;
  bool answered_ = false;
};

}  // namespace

void Session::arrived(uint64_t call, Message request, std::shared_ptr<FrameSink> from) {
  take(call, {std::move(request), std::move(from)});
}

void Session::skipped(uint64_t call) { take(call, {}); }

void Session::take(uint64_t call, Arrived arrived) {
  mutex_.lock();
  if (call < next_ || call - next_ > kMostAhead || waiting_.contains(call)) {
    const uint64_t next = next_;
    mutex_.unlock();
    throw data_loss("expected request ", next, " of this connection or one soon after, found ",
                    call);
  }
  waiting_.emplace(call, std::move(arrived));
  if (handing_over_) {
    mutex_.unlock();
    return;
  }
  handing_over_ = true;
  while (!waiting_.empty() && waiting_.begin()->first == next_) {
    const uint64_t id = next_++;
    Arrived now = std::move(waiting_.begin()->second);
    waiting_.erase(waiting_.begin());
    mutex_.unlock();
    if (now.from != nullptr) {
      // An exception must not end the transport's thread; by then the responder has refused.
      try {
        (*handler_)(std::move(now.request), std::make_unique<FrameResponder>(now.from, id));
      } catch (const std::exception& error) {
        log_error(str_cat("a request's handler failed: ", error.what()));
      }
    }
    mutex_.lock();
  }
  handing_over_ = false;
  mutex_.unlock();
}

}  // namespace trireme::ps

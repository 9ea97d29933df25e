#include "tests/support/faulty_rpc.h"

#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <utility>

namespace trireme::testing {
namespace {

using ps::OutMessage;
using ps::RpcConnection;
using ps::RpcResult;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

RpcResult failure(ErrorCode code, const std::string& why) {
  return {{}, std::make_unique<Error>(code, why)};
}

// Runs things at their time, on one thread, which keeps it; after stop(), at once.
class Later : public std::enable_shared_from_this<Later> {
 public:
  void start() {
    thread_ = std::thread([self = shared_from_this()] { self->run(); });
  }

  void at(Clock::time_point time, std::function<void()> what) {
    {
      const std::lock_guard lock(mutex_);
      if (!stopping_) {
        waiting_.emplace(time, std::move(what));
        changed_.notify_all();
        return;
      }
    }
    what();
  }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
    }
    // What it runs may drop the connection.
    if (thread_.get_id() == std::this_thread::get_id()) {
      thread_.detach();
    } else {
      thread_.join();
    }
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (!stopping_ || !waiting_.empty()) {
      if (waiting_.empty()) {
        changed_.wait(lock);
      } else if (const auto time = waiting_.begin()->first; !stopping_ && time > Clock::now()) {
        changed_.wait_until(lock, time);
      } else {
        const auto what = std::move(waiting_.begin()->second);
        waiting_.erase(waiting_.begin());
        lock.unlock();
        what();
        lock.lock();
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::multimap<Clock::time_point, std::function<void()>> waiting_;  // equal times: in order
  std::thread thread_;
};

// A call that ends once.
struct Call {
  explicit Call(std::function<void(RpcResult)> then) : done(std::move(then)) {}
  void end(RpcResult result) {
    if (!ended.exchange(true)) std::exchange(done, nullptr)(std::move(result));
  }
  std::atomic<bool> ended = false;
  std::function<void(RpcResult)> done;
};

class FaultyRpc final : public RpcConnection {
 public:
  FaultyRpc(std::shared_ptr<RpcConnection> connection, const RpcFaults& faults,
            std::shared_ptr<RpcFaultCounts> counts)
      : state_(std::make_shared<State>()), faults_(faults), counts_(std::move(counts)) {
    state_->inner = std::move(connection);
    state_->name = state_->inner->peer();
    random_.seed(faults.seed);
    later_->start();
  }
  ~FaultyRpc() override {
    state_->cut("this task closed its faulty connection");
    later_->stop();
  }

  void call(OutMessage request, milliseconds timeout,
            std::function<void(RpcResult)> done) override {
    const Fate fate = draw();
    const auto call = std::make_shared<Call>(std::move(done));
    if (fate.cut) state_->cut("the connection was cut, as the test wants");
    if (!state_->add(call)) return;
    if (fate.lose_request) return fail(call, "the request was lost, as the test wants");
    if (fate.twice) {
      send_at(fate.again, request, timeout, [](RpcResult) {});
    }
    auto answered = [this_state = std::weak_ptr(state_), later = std::weak_ptr(later_), call, fate,
                     timeout](RpcResult result) {
      const auto state = this_state.lock();
      const auto timer = later.lock();
      if (state == nullptr || timer == nullptr) return;
      if (fate.lose_answer) {
        result = failure(ErrorCode::kUnavailable, "the answer was lost, as the test wants");
      } else if (fate.silence) {
        const auto late = std::make_shared<RpcResult>(
            failure(ErrorCode::kDeadlineExceeded, "no answer came, as the test wants"));
        return timer->at(Clock::now() + timeout, [=] { state->end(call, std::move(*late)); });
      } else if (fate.answer_delay.count() > 0) {
        const auto kept = std::make_shared<RpcResult>(std::move(result));
        return timer->at(Clock::now() + fate.answer_delay,
                         [=] { state->end(call, std::move(*kept)); });
      }
      state->end(call, std::move(result));
    };
    send_at(fate.send, std::move(request), timeout, std::move(answered));
  }

  std::string peer() const override { return state_->name + ", faulty"; }

 private:
  // Outlives the connection as long as answers may come.
  struct State {
    bool add(const std::shared_ptr<Call>& call) {
      {
        const std::lock_guard lock(mutex);
        if (inner != nullptr) {
          calls.insert(call);
          return true;
        }
      }
      call->end(failure(ErrorCode::kUnavailable, name + " is gone: " + why));
      return false;
    }
    void end(const std::shared_ptr<Call>& call, RpcResult result) {
      {
        const std::lock_guard lock(mutex);
        calls.erase(call);
      }
      call->end(std::move(result));
    }
    void cut(const std::string& cause) {
      std::shared_ptr<RpcConnection> closed;  // outside the lock: it ends its calls
      std::set<std::shared_ptr<Call>> ended;
      {
        const std::lock_guard lock(mutex);
        if (inner != nullptr) why = cause;
        closed.swap(inner);
        ended.swap(calls);
      }
      for (const auto& call : ended) {
        call->end(failure(ErrorCode::kUnavailable, name + " is gone: " + cause));
      }
    }
    std::shared_ptr<RpcConnection> get() {
      const std::lock_guard lock(mutex);
      return inner;
    }
    std::mutex mutex;
    std::shared_ptr<RpcConnection> inner;  // null: cut
    std::string name, why;
    std::set<std::shared_ptr<Call>> calls;
  };

  struct Fate {
    bool cut = false, lose_request = false, lose_answer = false, silence = false, twice = false;
    Clock::time_point send, again;  // the epoch: at once
    milliseconds answer_delay{0};
  };

  Fate draw() {
    const std::lock_guard lock(mutex_);
    std::uniform_real_distribution<double> uniform;
    std::uniform_int_distribution<int64_t> lateness(
        1, std::max<int64_t>(1, faults_.longest_delay.count()));
    const auto happens = [&](double probability, std::atomic<int64_t>& count) {
      const bool does = uniform(random_) < probability;
      count += does ? 1 : 0;
      return does;
    };
    ++counts_->calls;
    Fate fate;
    fate.cut = happens(faults_.cut, counts_->cut);
    if (fate.cut) return fate;
    fate.lose_request = happens(faults_.lose_request, counts_->lost_requests);
    if (fate.lose_request) return fate;
    fate.lose_answer = happens(faults_.lose_answer, counts_->lost_answers);
    if (!fate.lose_answer) fate.silence = happens(faults_.silence, counts_->silences);
    fate.twice = happens(faults_.twice, counts_->twice);
    if (happens(faults_.late_answer, counts_->late_answers)) {
      fate.answer_delay = milliseconds(lateness(random_));
    }
    const auto now = Clock::now();
    if (happens(faults_.delay, counts_->delays)) {
      last_send_ = std::max(last_send_, now + milliseconds(lateness(random_)));
    }
    // What comes behind a late one does not overtake it.
    if (last_send_ > now) fate.send = last_send_;
    if (fate.twice && uniform(random_) < 0.5) {
      fate.again = std::max(last_send_, now) + milliseconds(lateness(random_));
    }
    return fate;
  }

  void fail(const std::shared_ptr<Call>& call, const std::string& why) {
    state_->end(call, failure(ErrorCode::kUnavailable, why));
  }

  void send_at(Clock::time_point time, OutMessage request, milliseconds timeout,
               std::function<void(RpcResult)> done) {
    const auto send = [state = state_, request = std::make_shared<OutMessage>(std::move(request)),
                       timeout, done = std::move(done)] {
      if (const auto inner = state->get()) inner->call(std::move(*request), timeout, done);
    };
    if (time == Clock::time_point()) {
      send();
    } else {
      later_->at(time, send);
    }
  }

  const std::shared_ptr<State> state_;
  const std::shared_ptr<Later> later_ = std::make_shared<Later>();
  const RpcFaults faults_;
  const std::shared_ptr<RpcFaultCounts> counts_;
  std::mutex mutex_;
  std::mt19937_64 random_;
  Clock::time_point last_send_;
};

}  // namespace

std::shared_ptr<RpcConnection> make_faulty_rpc(std::shared_ptr<RpcConnection> connection,
                                               const RpcFaults& faults,
                                               std::shared_ptr<RpcFaultCounts> counts) {
  if (counts == nullptr) counts = std::make_shared<RpcFaultCounts>();
  return std::make_shared<FaultyRpc>(std::move(connection), faults, std::move(counts));
}

}  // namespace trireme::testing

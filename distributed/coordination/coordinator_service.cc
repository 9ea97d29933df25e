#include "distributed/coordination/coordinator_service.h"

// clang-format off
#include "core/base/thread_annotations.h"  // before gRPC, whose headers define the same macros
// clang-format on

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>

#include "distributed/coordination/coordinator_state.h"
#include "distributed/coordination/directory_state.h"
#include "distributed/coordination/launcher_service.h"
#include "distributed/coordination/member_reactor.h"
#include "distributed/coordination/membership_message.h"
#include "distributed/coordination/rpc_answer.h"
#include "distributed/coordination/rpc_status.h"
#include "distributed/coordination/wording.h"
#include "proto/coordination_service.grpc.pb.h"

namespace trireme {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;
using grpc::Status;
using std::chrono::milliseconds;

constexpr size_t kWhatLimit = 1024;
constexpr size_t kTextLimit = 4096;

// A call that is answered later. `begin` starts the wait, which ends with finish().
class WaitingCall final : public ServerUnaryReactor {
 public:
  explicit WaitingCall(CoordinatorState& coordinator_state)
      : coordinator_state_(coordinator_state) {}

  // Once, before the method returns; the wait may be over by then.
  void waits_as(CoordinatorState::WaitId id) { id_ = id; }
  void finish(const std::optional<Error>& error) { Finish(error ? to_status(*error) : Status::OK); }

 private:
  void OnCancel() override { coordinator_state_.give_up(id_); }
  void OnDone() override { delete this; }

  CoordinatorState& coordinator_state_;
  CoordinatorState::WaitId id_ = 0;
};

class Service final : public coordination::Coordination::CallbackService {
 public:
  Service(CoordinatorState& coordinator_state, DirectoryState& board, Launchers& launchers,
          std::function<void(const Error&)> fail_job)
      : coordinator_state_(coordinator_state),
        board_(board),
        launchers_(launchers),
        fail_job_(std::move(fail_job)) {}

  ServerUnaryReactor* Hello(CallbackServerContext* context, const coordination::Done*,
                            coordination::Greeting* greeting) override {
    return answer(context, [&] {
      greeting->set_join_timeout_ms(coordinator_state_.options().join_timeout.count());
      greeting->set_run(coordinator_state_.options().run);
      greeting->set_session(board_.session());
      greeting->set_reached(board_.reached());
      greeting->set_lost_steps(board_.lost_steps());
    });
  }

  grpc::ServerBidiReactor<coordination::Beat, coordination::Order>* Attend(
      CallbackServerContext* context) override {
    return serve_member(*context, coordinator_state_);
  }

  ServerUnaryReactor* Peers(CallbackServerContext* context,
                            const coordination::PeersRequest* request,
                            coordination::PeersAnswer* result) override {
    return answer(context, [&] {
      const std::vector<int> ranks(request->ranks().begin(), request->ranks().end());
      for (const Peer& peer : coordinator_state_.peers(request->generation(), ranks)) {
        to_message(peer, result->add_peers());
      }
    });
  }

  ServerUnaryReactor* Fail(CallbackServerContext* context, const coordination::FailMessage* request,
                           coordination::Done*) override {
    return answer(context, [&] {
      coordinator_state_.count_told_of_failure();  // it knows
      fail_job_({to_code(request->code()), clean(request->message(), kTextLimit)});
    });
  }

  grpc::ServerWriteReactor<coordination::LauncherOrder>* Launch(
      CallbackServerContext*, const coordination::LauncherMessage* request) override {
    return serve_launcher(*request, launchers_);
  }

  ServerUnaryReactor* Stop(CallbackServerContext* context, const coordination::StopMessage* request,
                           coordination::Done*) override {
    return answer(context, [&] {
      coordinator_state_.options().stop(
          {.who = clean(request->who(), kWhatLimit), .signal = request->signal()});
    });
  }

  ServerUnaryReactor* Barrier(CallbackServerContext*, const coordination::BarrierMessage* request,
                              coordination::Done*) override {
    auto* call = new WaitingCall(coordinator_state_);
    call->waits_as(coordinator_state_.barrier(
        request->generation(), request->rank(), request->name(),
        milliseconds(request->timeout_ms()),
        [call](const std::optional<Error>& error) { call->finish(error); }));
    return call;
  }

  ServerUnaryReactor* Put(CallbackServerContext* context, const coordination::KeyValue* request,
                          coordination::Done*) override {
    return answer(context, [&] { coordinator_state_.put(request->key(), request->value()); });
  }

  ServerUnaryReactor* Get(CallbackServerContext*, const coordination::KeyRequest* request,
                          coordination::KeyValue* result) override {
    auto* call = new WaitingCall(coordinator_state_);
    call->waits_as(coordinator_state_.get(
        request->key(), milliseconds(request->timeout_ms()),
        [call, result](const std::optional<Error>& error, std::string value) {
          if (!error) result->set_value(std::move(value));
          call->finish(error);
        }));
    return call;
  }

 private:
  ServerUnaryReactor* answer(CallbackServerContext* context, const std::function<void()>& call) {
    ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(answer_rpc(call));
    return reactor;
  }

  CoordinatorState& coordinator_state_;
  DirectoryState& board_;
  Launchers& launchers_;
  const std::function<void(const Error&)> fail_job_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_coordinator_service(
    CoordinatorState& coordinator_state, DirectoryState& board, Launchers& launchers,
    std::function<void(const Error&)> fail_job) {
  return std::make_unique<Service>(coordinator_state, board, launchers, std::move(fail_job));
}

}  // namespace trireme

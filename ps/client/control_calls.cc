#include "ps/client/control_calls.h"

#include <cstring>
#include <future>
#include <limits>
#include <utility>

#include "proto/ps.pb.h"
#include "ps/client/operation.h"

namespace trireme::ps {
namespace {

constexpr std::chrono::milliseconds kAskAgain{20};
// Of rows and bytes; the sum over all servers stays a number.
constexpr int64_t kMostRows = int64_t{1} << 50;

// What a server says is used in sums and as places.
void check(const proto::ControlAnswer& answer) {
  const auto range = [](const char* name, int64_t value, int64_t most) {
    if (value >= 0 && value <= most) return;
    throw data_loss("an answer of a parameter server: expected ", name, " from 0 to ", most,
                    ", found ", value);
  };
  range("a step", answer.step(), kMostSteps);
  range("a worker's step", answer.worker_step(), kMostSteps);
  range("a sequence", static_cast<int64_t>(answer.last_sequence()),
        static_cast<int64_t>(kMostSequences));
  range("a snapshot", answer.snapshot(), std::numeric_limits<int64_t>::max());
  range("a count of rows", answer.rows_written(), kMostRows);
  for (const proto::ShardRows& rows : answer.loads()) {
    range("a virtual shard", rows.shard(), kMostVirtualShards - 1);
    range("a count of rows", rows.pulled(), kMostRows);
    range("a count of rows", rows.pushed(), kMostRows);
  }
  for (const proto::TableStatus& table : answer.tables()) {
    range("a count of rows", table.rows(), kMostRows);
    range("a count of bytes", table.bytes(), kMostRows);
    range("a count of keys", table.waiting(), kMostRows);
    range("a count of rows", table.evicted(), kMostRows);
  }
}

}  // namespace

OutMessage control_message(const PsClientOptions& options, int slot, const Destination& destination,
                           const proto::ControlRequest& request, int64_t acknowledged_step) {
  const RequestHeader header{.kind = RequestKind::kControl,
                             .slot = slot,
                             .view = destination.view,
                             .worker = options.worker,
                             .incarnation = options.incarnation,
                             .acknowledged_step = acknowledged_step};
  std::vector<std::byte> bytes(sizeof(header) + request.ByteSizeLong());
  std::memcpy(bytes.data(), &header, sizeof(header));
  request.SerializeToArray(bytes.data() + sizeof(header),
                           static_cast<int>(bytes.size() - sizeof(header)));
  OutMessage message;
  message.pieces.push_back(own(std::move(bytes)));
  return message;
}

proto::ControlAnswer control_answer(const Message& message) {
  const Answer answer = parse_answer(message, RowType::kFloat32, {});
  proto::ControlAnswer result;
  if (!result.ParseFromArray(answer.body.data(), static_cast<int>(answer.body.size()))) {
    throw data_loss("an answer of ", answer.body.size(),
                    " bytes of a parameter server is no ControlAnswer");
  }
  check(result);
  return result;
}

std::vector<proto::ControlAnswer> ask(RetryingSender& sender, const PsClientOptions& options,
                                      const std::string& what,
                                      const std::vector<ControlCall>& calls, bool is_repeatable,
                                      const std::function<bool()>& give_up) {
  std::vector<proto::ControlAnswer> answers(calls.size());
  if (calls.empty()) return answers;
  const auto promise = std::make_shared<std::promise<std::unique_ptr<Error>>>();
  const auto operation = std::make_shared<Operation>(
      static_cast<int>(calls.size()),
      [promise](std::unique_ptr<Error> error) { promise->set_value(std::move(error)); });
  for (size_t i = 0; i < calls.size(); ++i) {
    const ControlCall& call = calls[i];
    // A copy of the request: an attempt may outlast this call.
    auto request = std::make_shared<proto::ControlRequest>(*call.request);
    OutgoingRequest outgoing{.slot = call.slot,
                             .shards = call.shards,
                             .what = what,
                             .is_control = true,
                             .waits_for_workers = call.request->has_open_snapshot() &&
                                                  call.request->open_snapshot().step() > 0};
    outgoing.make = [&options, slot = call.slot, request](const Destination& destination) {
      return control_message(options, slot, destination, *request);
    };
    outgoing.deadline = std::chrono::steady_clock::now() + options.timeout;
    outgoing.resend_after = is_repeatable ? options.resend_after : 2 * options.timeout;
    outgoing.done = [operation, answer = &answers[i]](const Message& message,
                                                      std::unique_ptr<Error> error) {
      const auto lease = operation->borrow();
      if (lease == nullptr) return;
      try {
        if (error == nullptr) *answer = control_answer(message);
      } catch (const Error& bad) {
        error = std::make_unique<Error>(bad);
      }
      operation->finish_part(std::move(error));
    };
    sender.send(std::move(outgoing));
  }
  auto future = promise->get_future();
  while (give_up && future.wait_for(kAskAgain) != std::future_status::ready) {
    if (!give_up()) continue;
    // When nobody writes into the answers any more, the future is ready.
    operation->finish_part(std::make_unique<Error>(ErrorCode::kCancelled,
                                                   str_cat(what, ": it is not wanted any more")));
    break;
  }
  const auto error = future.get();
  if (error != nullptr) throw Error(*error);
  return answers;
}

}  // namespace trireme::ps

// What is rare: requests of proto/ps.proto to a slot, and their answers.
//
// Any thread; ask() waits.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "ps/client/ps_client.h"
#include "ps/client/retrying_sender.h"

namespace trireme::ps {

namespace proto {
class ControlAnswer;
class ControlRequest;
}  // namespace proto

OutMessage control_message(const PsClientOptions& options, int slot, const Destination& destination,
                           const proto::ControlRequest& request, int64_t acknowledged_step = 0);
// Throws Error{kDataLoss} for an answer that is none.
proto::ControlAnswer control_answer(const Message& message);

struct ControlCall {
  int slot = 0;
  const proto::ControlRequest* request = nullptr;
  ShardSet shards;  // that must be in the slot: else Error{kUnavailable}
};
// Sends all of them and waits for all answers, which come in the same order. `is_repeatable`: may
// be sent again when an answer does not come soon; else only when the server is lost. `give_up`:
// asked now and then; true ends the wait with Error{kCancelled}. Throws the first error.
std::vector<proto::ControlAnswer> ask(RetryingSender& sender, const PsClientOptions& options,
                                      const std::string& what,
                                      const std::vector<ControlCall>& calls, bool is_repeatable,
                                      const std::function<bool()>& give_up = nullptr);

}  // namespace trireme::ps

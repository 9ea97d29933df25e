#include "distributed/coordination/rpc_channel.h"

#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdio>
#include <thread>
#include <utility>

#include "distributed/connection/connection.h"
#include "distributed/connection/dial.h"
#include "distributed/connection/secret.h"
#include "distributed/connection/socket_address.h"
#include "distributed/coordination/rpc_status.h"
#include "distributed/coordination/wording.h"
#include "distributed/rpc/grpc_setup.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kAsk{50};  // whether to give up
constexpr milliseconds kLookUpAgain{200};
constexpr milliseconds kAgain{5'000};
constexpr milliseconds kFirstWord{2'000}, kNextWord{5'000};

// Why the name does not resolve; empty when it does.
std::string look_up(const std::string& host, const std::string& port) {
  return AddressList().resolve(host, port, false);
}

// One wait to a deadline, and what is said meanwhile.
class Wait {
 public:
  Wait(milliseconds timeout, std::function<bool()> give_up)
      : timeout_(timeout), give_up_(std::move(give_up)) {}

  milliseconds timeout() const { return timeout_; }
  bool is_over() const { return Clock::now() - begin_ >= timeout_; }
  bool is_given_up() const { return give_up_ && give_up_(); }
  // Until it is to be asked again.
  milliseconds slice() const {
    const auto left = std::chrono::ceil<milliseconds>(timeout_ - (Clock::now() - begin_));
    return std::clamp(left, milliseconds(0), kAsk);
  }
  void report(const std::string& what) {
    const auto waited = Clock::now() - begin_;
    if (waited < next_word_) return;
    next_word_ = waited + kNextWord;
    std::fprintf(stderr, "trireme: waiting: %s; %s of %s\n", what.c_str(),
                 seconds_text(waited).c_str(), seconds_text(timeout_).c_str());
  }

 private:
  using Clock = std::chrono::steady_clock;
  const milliseconds timeout_;
  const std::function<bool()> give_up_;
  const Clock::time_point begin_ = Clock::now();
  Clock::duration next_word_ = kFirstWord;
};

bool wait_for_name(const std::string& address, Wait& wait) {
  const auto [host, port] = split_address(address);
  int tries = 1;
  for (std::string problem = look_up(host, port); !problem.empty();
       problem = look_up(host, port), ++tries) {
    wait.report(str_cat("the host name \"", host, "\" of the coordinator ", address,
                        " does not resolve yet (", problem, ")"));
    if (wait.is_given_up()) return false;
    if (wait.is_over()) {
      throw invalid_argument("the host name \"", host, "\" of the coordinator ", address,
                             " does not resolve: ", problem, "; tried ", tries, " times in ",
                             seconds_text(wait.timeout()),
                             "; is it right, and does the DNS of this machine know it?");
    }
    std::this_thread::sleep_for(std::max(wait.slice(), kLookUpAgain));
  }
  return true;
}

// Ends a dial().
struct GivenUp {};

CoordinatorLine make_line(const CoordinatorTarget& target, int socket) {
  set_up_grpc();
  CoordinatorLine line;
  line.connection = std::make_shared<Connection>(socket);
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesLimit);
  arguments.SetMaxSendMessageSize(kMessageBytesLimit);
  line.channel = grpc::CreateCustomInsecureChannelFromFd(target.address, socket, arguments);
  return line;
}

DialOptions dial_options(const CoordinatorTarget& target, milliseconds timeout) {
  return {.address = target.address,
          .security = target.security,
          .job_id = target.job_id,
          .name = "the coordinator at " + target.address,
          .deadline = std::chrono::steady_clock::now() + timeout};
}

}  // namespace

void wait_for_name(const std::string& address, milliseconds timeout) {
  Wait wait(timeout, nullptr);
  wait_for_name(address, wait);
}

CoordinatorLine connect_to_coordinator(const CoordinatorTarget& target, milliseconds timeout,
                                       const std::function<bool()>& give_up) {
  check_job_name(target.job_id);
  Wait wait(timeout, give_up);
  if (!wait_for_name(target.address, wait)) return {};
  DialOptions options = dial_options(target, timeout);
  options.check = [&] {
    if (wait.is_given_up()) throw GivenUp();
    wait.report(str_cat("nobody answers yet at the coordinator's address ", target.address));
  };
  try {
    return make_line(target, dial(options));
  } catch (const GivenUp&) {
    return {};
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kUnavailable) throw no_coordinator(target.address, timeout);
    throw;
  }
}

CoordinatorLine connect_again(const CoordinatorTarget& target) {
  DialOptions options = dial_options(target, kAgain);
  options.once = true;
  try {
    return make_line(target, dial(options));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnavailable) throw;
    throw Error(error.code(),
                str_cat("the coordinator at ", target.address, " is gone: ", error.what()));
  }
}

Error no_coordinator(const std::string& address, std::chrono::milliseconds waited) {
  return {ErrorCode::kUnavailable,
          str_cat("no coordinator has answered at ", address, " for ", seconds_text(waited),
                  ": is the task that hosts it running, and is the address right?")};
}

}  // namespace trireme

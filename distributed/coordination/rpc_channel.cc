#include "distributed/coordination/rpc_channel.h"

#include <grpcpp/grpcpp.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <thread>
#include <utility>

#include "distributed/coordination/rpc_status.h"
#include "distributed/coordination/wording.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

constexpr size_t kCredentialLimit = 1024;
constexpr milliseconds kAsk{50};  // whether to give up
constexpr milliseconds kLookUpAgain{200};
constexpr milliseconds kFirstWord{2'000}, kNextWord{5'000};

std::string host_of(const std::string& address) {
  std::string host = address.substr(0, address.rfind(':'));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  return host;
}

// Why the name does not resolve; empty when it does.
std::string look_up(const std::string& host) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  const int status = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (found != nullptr) freeaddrinfo(found);
  return status == 0 ? "" : gai_strerror(status);
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
  void say(const std::string& what) {
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
  const std::string host = host_of(address);
  int tries = 1;
  for (std::string problem = look_up(host); !problem.empty(); problem = look_up(host), ++tries) {
    wait.say(str_cat("the host name \"", host, "\" of the coordinator ", address,
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

}  // namespace

void check_credential(const char* what, const std::string& text) {
  const bool good =
      std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
  if (good && text.size() <= kCredentialLimit) return;
  throw invalid_argument("the job's ", what, " must have at most ", kCredentialLimit,
                         " printable ASCII characters, without spaces");
}

std::shared_ptr<grpc::Channel> make_channel(const std::string& address) {
  grpc::ChannelArguments arguments;
  // A connection of its own, which ends with the client.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // The coordinator may come later than its tasks.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 500);
  arguments.SetMaxReceiveMessageSize(kMessageBytesLimit);
  arguments.SetMaxSendMessageSize(kMessageBytesLimit);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

void add_credentials(grpc::ClientContext& context, const std::string& secret,
                     const std::string& job_id) {
  context.AddMetadata(kSecretMetadata, secret);
  context.AddMetadata(kJobMetadata, job_id);
}

void wait_for_name(const std::string& address, milliseconds timeout) {
  Wait wait(timeout, nullptr);
  wait_for_name(address, wait);
}

bool wait_for_connection(grpc::Channel& channel, const std::string& address, milliseconds timeout,
                         const std::function<bool()>& give_up) {
  Wait wait(timeout, give_up);
  if (!wait_for_name(address, wait)) return false;
  do {
    if (channel.WaitForConnected(std::chrono::system_clock::now() + wait.slice())) return true;
    wait.say(str_cat("nobody answers yet at the coordinator's address ", address));
    if (wait.is_given_up()) return false;
  } while (!wait.is_over());
  throw no_coordinator(address, timeout);
}

Error no_coordinator(const std::string& address, std::chrono::milliseconds waited) {
  return {ErrorCode::kUnavailable,
          str_cat("no coordinator has answered at ", address, " for ", seconds_text(waited),
                  ": is the task that hosts it running, and is the address right?")};
}

}  // namespace trireme

#include "distributed/connection/acceptor_loop.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/base/system_error.h"
#include "distributed/connection/file_limit.h"
#include "distributed/connection/socket_address.h"

namespace trireme {
namespace {

using std::chrono::milliseconds;

// When all places are taken, whoever has had one for so long gives it up to the next. A task speaks
// as soon as it is connected: thousands that say nothing must be through before it gives up
// waiting.
constexpr milliseconds kPlaceIsKept{1'000}, kSilentPlaceIsKept{100};
// How long whoever was refused may take to read why.
constexpr milliseconds kLeaveTime{1'000};
// How long nobody is accepted when there is no descriptor left: no spinning.
constexpr milliseconds kShortPause{100};
constexpr std::chrono::seconds kShortIsToldAgain{10};
constexpr unsigned char kTlsHandshake = 0x16;  // the first byte of a TLS connection

constexpr uint64_t kStopId = ~uint64_t{0};
constexpr uint64_t kSocketIds = uint64_t{1} << 63;  // and the socket's index

void watch(int epoll, int operation, int fd, uint32_t events, uint64_t id) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  if (epoll_ctl(epoll, operation, fd, &event) != 0) {
    const int error = errno;
    throw Error(code_of_errno(error), str_cat("epoll_ctl: ", std::strerror(error)));
  }
}

// What was wrong, in the words of a count.
const char* kind_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kNoSecret:
      return "no secret";
    case Verdict::kWrongSecret:
      return "a secret that is not the job's";
    case Verdict::kOtherJob:
      return "another job";
    case Verdict::kOtherVersion:
      return "another version";
    case Verdict::kNotEncrypted:
      return "not encrypted";
    case Verdict::kEncryptedHere:
      return "encrypted";
    default:
      return "refused";
  }
}

std::string seconds_of(milliseconds time) {
  return str_cat(static_cast<double>(time.count()) / 1000, " s");
}

}  // namespace

AcceptorLoop::Unproven::Unproven(int fd, const AcceptorOptions& options)
    : fd(fd),
      greeting(options.security.secret, options.job_id),
      accepted(Clock::now()),
      deadline(accepted + options.proof_time) {}

AcceptorLoop::Unproven::~Unproven() {
  if (fd >= 0) close(fd);
}

AcceptorLoop::AcceptorLoop(const AcceptorOptions& options, const std::string& address,
                           std::vector<int> sockets, int stop, Events events)
    : options_(options),
      sockets_(std::move(sockets)),
      stop_(stop),
      events_(std::move(events)),
      most_unproven_(std::clamp<size_t>(file_limit() / 4, 1, kMostUnproven)),
      log_(address, options.log ? options.log : log_warning),
      epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ < 0) {
    const int error = errno;
    throw Error(code_of_errno(error), str_cat(options_.what, ": epoll: ", std::strerror(error)));
  }
  watch(epoll_, EPOLL_CTL_ADD, stop_, EPOLLIN, kStopId);
  for (size_t i = 0; i < sockets_.size(); ++i) {
    watch(epoll_, EPOLL_CTL_ADD, sockets_[i], EPOLLIN, kSocketIds + i);
  }
}

AcceptorLoop::~AcceptorLoop() { close(epoll_); }

void AcceptorLoop::run() {
  std::array<epoll_event, 64> events{};
  for (;;) {
    const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                                 milliseconds_to_wait(Clock::now()));
    if (count < 0 && errno != EINTR) {
      log_error(
          str_cat(options_.what, " accepts nobody any more: epoll_wait: ", std::strerror(errno)));
      return;
    }
    // Those that have a place before those that want one.
    for (int i = 0; i < count; ++i) {
      const uint64_t id = events[static_cast<size_t>(i)].data.u64;
      if (id == kStopId) return unproven_.clear();
      if (const auto place = unproven_.find(id); place != unproven_.end()) advance(place);
    }
    for (int i = 0; i < count; ++i) {
      const uint64_t id = events[static_cast<size_t>(i)].data.u64;
      if (id >= kSocketIds && id != kStopId) accept_all(sockets_[id - kSocketIds]);
    }
    const auto now = Clock::now();
    close_late(now);
    log_.tell(now);
    listen_again(now);
    events_.on_unproven(unproven_.size());
  }
}

AcceptorLoop::Clock::time_point AcceptorLoop::keeps_place_until(const Unproven& one) {
  return one.accepted + (one.has_spoken ? kPlaceIsKept : kSilentPlaceIsKept);
}

AcceptorLoop::Place AcceptorLoop::first_to_go() {
  return std::ranges::min_element(
      unproven_, {}, [](const auto& entry) { return keeps_place_until(*entry.second); });
}

void AcceptorLoop::listen_again(Clock::time_point now) {
  const bool has_place =
      unproven_.size() < most_unproven_ || now >= keeps_place_until(*first_to_go()->second);
  const bool wanted = has_place && now >= listens_again_;
  if (wanted == listening_) return;
  listening_ = wanted;
  for (size_t i = 0; i < sockets_.size(); ++i) {
    watch(epoll_, EPOLL_CTL_MOD, sockets_[i], wanted ? uint32_t{EPOLLIN} : 0U, kSocketIds + i);
  }
}

int AcceptorLoop::milliseconds_to_wait(Clock::time_point now) {
  auto next = log_.tell(now);
  for (const auto& [id, one] : unproven_) next = std::min(next, one->deadline);
  if (!listening_) {
    auto listens = listens_again_;
    if (unproven_.size() >= most_unproven_) {
      listens = std::max(listens, keeps_place_until(*first_to_go()->second));
    }
    next = std::min(next, listens);
  }
  if (next == Clock::time_point::max()) return -1;
  const auto left = std::chrono::ceil<milliseconds>(next - now).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
}

bool AcceptorLoop::has_room() {
  if (unproven_.size() < most_unproven_) return true;
  const auto first = first_to_go();
  if (Clock::now() < keeps_place_until(*first->second)) return false;
  if (!first->second->is_leaving) {
    refused(*first->second, "no proof of the secret while others waited",
            str_cat("it has not proved that it knows the job's secret, and ", unproven_.size(),
                    " others are about to"));
  }
  close_one(first);
  return true;
}

void AcceptorLoop::accept_all(int socket) {
  while (Clock::now() >= listens_again_ && has_room()) {
    sockaddr_storage from{};
    socklen_t length = sizeof(from);
    const int fd =
        accept4(socket, reinterpret_cast<sockaddr*>(&from), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      // Whoever gave up while waiting is no reason to stop.
      if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) pause(std::strerror(errno));
      return;
    }
    if (is_short_of_descriptors(fd)) {
      close(fd);
      return pause("too many open files");
    }
    admit(fd, from);
  }
}

void AcceptorLoop::pause(const std::string& why) {
  const auto now = Clock::now();
  listens_again_ = now + kShortPause;
  events_.on_short();
  if (!unproven_.empty() && now >= keeps_place_until(*first_to_go()->second)) {
    close_one(first_to_go());
  }
  if (now < told_short_ + kShortIsToldAgain) return;
  told_short_ = now;
  const std::string line = str_cat(options_.what, " accepts new connections slowly: ", why,
                                   " (the limit is ", file_limit(), ", ", kReservedDescriptors,
                                   " are kept for checkpoints and files; ulimit -n raises it)");
  if (options_.log) {
    options_.log(line);
  } else {
    log_warning(line);
  }
}

void AcceptorLoop::admit(int fd, const sockaddr_storage& from) {
  set_socket_options(fd, static_cast<int>(options_.user_timeout.count()));
  auto one = std::make_unique<Unproven>(fd, options_);
  one->host = host_to_text(from);
  one->peer = to_text(from);
  one->is_local = is_loopback(from);
  one->waits_for = EPOLLIN;
  const uint64_t id = next_++;
  try {
    watch(epoll_, EPOLL_CTL_ADD, fd, EPOLLIN, id);
  } catch (const Error& error) {
    return pause(error.what());
  }
  advance(unproven_.emplace(id, std::move(one)).first);
}

void AcceptorLoop::advance(Place place) {
  Unproven& one = *place->second;
  uint32_t wanted = 0;
  try {
    wanted = one.is_leaving ? leave(one) : talk(one);
    if (one.greeting.state() == Greeting::State::kWelcome && one.greeting.outgoing().empty()) {
      return hand_over(place);
    }
    if (wanted != 0 && wanted != one.waits_for) {
      watch(epoll_, EPOLL_CTL_MOD, one.stream ? one.stream->descriptor() : one.fd, wanted,
            place->first);
      one.waits_for = wanted;
    }
  } catch (const Error& error) {
    wanted = 0;
    if (error.code() != ErrorCode::kUnavailable) {
      refused(one, "not trusted", error.what());
    } else if (one.has_spoken && !one.is_leaving) {
      refused(one, "left before it had proved the secret",
              "it left before it had proved that it knows the job's secret");
    }
    // Whoever says nothing and goes only looks whether the port is open: no line.
  }
  if (wanted == 0) close_one(place);
}

bool AcceptorLoop::choose_stream(Unproven& one) {
  unsigned char first = 0;
  const ssize_t result = recv(one.fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);
  if (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return false;
  if (result <= 0) throw Error(ErrorCode::kUnavailable, "the peer closed the connection");
  one.has_spoken = true;
  const auto& encryption = options_.security.encryption;
  if (first == kTlsHandshake && encryption != nullptr) {
    one.stream = encryption->server(std::exchange(one.fd, -1), one.peer);
    return true;
  }
  one.stream = make_plain_stream(std::exchange(one.fd, -1));
  if (first == kTlsHandshake) {
    one.greeting.refuse_now(Verdict::kEncryptedHere,
                            "it wants to speak TLS, this job's connections are not encrypted "
                            "(start all tasks of the job in the same way)");
  } else if (encryption != nullptr && (!one.is_local || encryption->covers_loopback())) {
    one.greeting.refuse_all(Verdict::kNotEncrypted,
                            "this job's connections are encrypted, its are not (start all tasks "
                            "of the job in the same way)");
  }
  return true;
}

uint32_t AcceptorLoop::talk(Unproven& one) {
  if (one.stream == nullptr && !choose_stream(one)) return EPOLLIN;
  switch (one.stream->handshake()) {
    case PendingStream::Want::kRead:
      return EPOLLIN;
    case PendingStream::Want::kWrite:
      return EPOLLOUT;
    case PendingStream::Want::kNothing:
      break;
  }
  Greeting& greeting = one.greeting;
  for (;;) {
    if (const auto out = greeting.outgoing(); !out.empty()) {
      const size_t sent = one.stream->write(out.data(), out.size());
      if (sent == 0) return EPOLLOUT;
      greeting.sent(sent);
      continue;
    }
    switch (greeting.state()) {
      case Greeting::State::kTalking:
        break;
      case Greeting::State::kWelcome:
        return 0;
      case Greeting::State::kRefused:
        refused(one, kind_of(greeting.verdict()), greeting.sentence());
        one.is_leaving = true;
        one.deadline = std::min(one.deadline, Clock::now() + kLeaveTime);
        shutdown(one.stream->descriptor(), SHUT_WR);
        return leave(one);
      case Greeting::State::kForeign:
        refused(one, "another protocol",
                "it does not speak the protocol of this version of Trireme");
        return 0;
    }
    const auto room = greeting.room();
    const size_t got = one.stream->read(room.data(), room.size());
    if (got == 0) return EPOLLIN;
    greeting.received(got);
  }
}

uint32_t AcceptorLoop::leave(Unproven& one) {
  // What was not read would make the system reset the connection, and the peer lose the reason.
  std::array<std::byte, 4096> nothing;
  for (int i = 0; i < 8; ++i) {
    if (one.stream->read(nothing.data(), nothing.size()) == 0) break;
  }
  return EPOLLIN;
}

void AcceptorLoop::hand_over(Place place) {
  const std::unique_ptr<Unproven> one = std::move(place->second);
  unproven_.erase(place);
  epoll_ctl(epoll_, EPOLL_CTL_DEL, one->stream->descriptor(), nullptr);
  if (!events_.on_welcome(one->stream->release(), one->peer)) pause("too many open files");
}

void AcceptorLoop::close_late(Clock::time_point now) {
  for (auto place = unproven_.begin(); place != unproven_.end();) {
    const auto next = std::next(place);
    const Unproven& one = *place->second;
    if (now >= one.deadline) {
      if (!one.is_leaving) {
        refused(one, "no proof in time",
                str_cat("it has not proved within ", seconds_of(options_.proof_time),
                        " that it knows the job's secret"));
      }
      close_one(place);
    }
    place = next;
  }
}

void AcceptorLoop::close_one(Place place) { unproven_.erase(place); }

void AcceptorLoop::refused(const Unproven& one, const std::string& kind, const std::string& why) {
  events_.on_refused();
  log_.add(kind, why, one.host, one.peer);
}

}  // namespace trireme

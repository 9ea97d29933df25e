#include "ps/client/retrying_sender.h"

#include <pthread.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/logging.h"
#include "ps/client/answer_header.h"
#include "ps/client/sending.h"

namespace trireme::ps {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTick{50};
// Before a slot is asked again that has just moved, or is not ready.
constexpr milliseconds kPause{5};
// So often a slot may say that it knows nothing of what is asked for.
constexpr int kMostNotFound = 3;

}  // namespace

RetryingSender::RetryingSender(ServerLinkOptions links, std::function<StopState()> stop,
                               const ServerView& view)
    : stop_(std::move(stop)),
      view_(view),
      links_(std::move(links), view,
             {.on_ready = [this] { look_again(); },
              .on_refusal = [this](const Error& error) { fail(error); }}) {
  timer_ = std::thread([this] { keep_time(); });
}

RetryingSender::~RetryingSender() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
    changed_.notify_all();
  }
  links_.close();
  timer_.join();
}

void RetryingSender::set_view(const ServerView& view) {
  {
    MutexLock lock(mutex_);
    if (view.number <= view_.number) return;
    if (view.servers.size() != view_.servers.size() || view.slots.size() != view_.slots.size() ||
        view.slot_of_shard.size() != view_.slot_of_shard.size()) {
      fatal_ = std::make_unique<Error>(
          data_loss("the coordinator has sent a view of ", view.servers.size(),
                    " parameter servers and ", view.slots.size(), " slots; before there were ",
                    view_.servers.size(), " and ", view_.slots.size()));
      links_.fail(*fatal_);
    } else {
      view_ = view;
      links_.set_view(view);
    }
  }
  look_again();
}

void RetryingSender::fail(const Error& error) {
  {
    MutexLock lock(mutex_);
    if (fatal_ == nullptr) fatal_ = std::make_unique<Error>(error);
    links_.fail(*fatal_);
  }
  look_again();
}

void RetryingSender::look_again() {
  MutexLock lock(mutex_);
  is_due_ = true;
  changed_.notify_all();
}

std::vector<int> RetryingSender::slot_of_shard() const {
  MutexLock lock(mutex_);
  return view_.slot_of_shard;
}

bool RetryingSender::has_moved(const OutgoingRequest& request) const {
  if (request.shards.none()) return false;
  for (size_t shard = 0; shard < view_.slot_of_shard.size(); ++shard) {
    if (request.shards[shard] && view_.slot_of_shard[shard] != request.slot) return true;
  }
  return false;
}

void RetryingSender::send(OutgoingRequest request) {
  auto sending = std::make_shared<Sending>(std::move(request));
  {
    MutexLock lock(mutex_);
    TRIREME_CHECK(sending->request.slot >= 0 &&
                  static_cast<size_t>(sending->request.slot) < view_.slots.size());
    active_.push_back(sending);
  }
  attempt(sending);
}

// Sends it when there is somebody to send it to; else it stays until there is.
void RetryingSender::attempt(const std::shared_ptr<Sending>& sending) {
  std::shared_ptr<RpcConnection> connection;
  Destination destination;
  int server = 0;
  uint64_t number = 0;
  milliseconds left{0};
  bool is_silent = false;
  std::unique_ptr<Error> error;
  std::vector<int> moved;  // where shards are now
  {
    MutexLock lock(mutex_);
    if (sending->finished) return;
    const auto now = Clock::now();
    if (fatal_ != nullptr) {
      error = std::make_unique<Error>(*fatal_);
    } else if (now >= sending->request.deadline) {
      error = std::make_unique<Error>(late(*sending));
    } else if (has_moved(sending->request) && sending->request.split) {
      sending->finished = true;
      std::erase(active_, sending);
      moved = view_.slot_of_shard;
    } else if (has_moved(sending->request)) {
      error = std::make_unique<Error>(ErrorCode::kUnavailable,
                                      whereabouts(*sending) + ": one of its shards has moved");
    } else {
      const auto route = links_.route_to(sending->request.slot);
      if (!route) {
        sending->under_way = false;
        sending->next = {};
        return;
      }
      connection = sending->request.is_control ? route->control : route->data;
      server = route->server;
      number = route->connection;
      destination = route->destination;
      destination.needs_keys = sending->needs_keys;
      left = std::chrono::ceil<milliseconds>(sending->request.deadline - now);
      is_silent = sending->under_way && sending->epoch == destination.epoch;
      // An answer to any of the attempts counts; a server that merely waits is not asked too often.
      sending->next = now + sending->request.resend_after * (1 << std::min(sending->attempts, 16));
      sending->under_way = true;
      sending->epoch = destination.epoch;
      ++sending->attempts;
    }
  }
  if (error != nullptr) {
    finish(sending, {}, std::move(error));
    return;
  }
  if (!moved.empty()) {
    for (OutgoingRequest& part : sending->request.split(moved)) send(std::move(part));
    return;
  }
  // It may only be waiting for other workers: the directory hears whether it lives.
  if (is_silent) links_.suspect(server);
  OutMessage message = sending->request.make(destination);
  if (message.pieces.empty()) return;
  connection->call(std::move(message), left, [this, sending, server, number](RpcResult result) {
    take(sending, server, number, std::move(result));
  });
}

void RetryingSender::take(const std::shared_ptr<Sending>& sending, int server, uint64_t connection,
                          RpcResult result) {
  std::unique_ptr<Error> error = std::move(result.error);
  AnswerHeader header;
  bool is_answer = false, is_broken = false;
  try {
    if (error == nullptr) {
      header = header_of(result.answer);
      is_answer = header.code == AnswerCode::kOk || header.code == AnswerCode::kDropped;
      if (header.code == AnswerCode::kError) {
        error = std::make_unique<Error>(error_of(result.answer));
      }
    } else {
      is_broken = error->code() == ErrorCode::kUnavailable;
    }
  } catch (const Error& bad) {
    error = std::make_unique<Error>(bad);
  }
  if (is_answer) {
    finish(sending, std::move(result.answer), nullptr);
    return;
  }
  // A server that cannot answer now says so by kUnavailable; one that came back without the job's
  // tables, by kNotFound.
  bool is_final = error != nullptr && error->code() != ErrorCode::kUnavailable;
  if (is_broken) links_.note_broken(server, connection);
  {
    MutexLock lock(mutex_);
    if (is_final && error->code() == ErrorCode::kNotFound && sending->not_found < kMostNotFound &&
        links_.set_up_again(server, connection, sending->request.slot)) {
      ++sending->not_found;
      is_final = false;
    }
    if (sending->finished) return;
    if (!is_final) {
      const bool asks_for_keys = error == nullptr && header.code == AnswerCode::kNeedKeys;
      if (error != nullptr) sending->refusal = error->what();
      sending->needs_keys |= asks_for_keys;
      sending->under_way = false;
      sending->next = asks_for_keys || is_broken ? Clock::time_point() : Clock::now() + kPause;
      is_due_ = true;
      changed_.notify_all();
    } else if (Clock::now() >= sending->request.deadline) {
      error = std::make_unique<Error>(late(*sending));
    } else {
      error = std::make_unique<Error>(error->code(),
                                      str_cat(whereabouts(*sending), ": ", error->what()));
    }
  }
  if (is_broken) links_.suspect(server);
  if (is_final) finish(sending, {}, std::move(error));
}

void RetryingSender::finish(const std::shared_ptr<Sending>& sending, Message answer,
                            std::unique_ptr<Error> error) {
  {
    MutexLock lock(mutex_);
    if (std::exchange(sending->finished, true)) return;
    std::erase(active_, sending);
  }
  sending->request.done(std::move(answer), std::move(error));
}

void RetryingSender::keep_time() {
  pthread_setname_np(pthread_self(), "ps-time");
  for (;;) {
    std::vector<std::shared_ptr<Sending>> due;
    {
      MutexLock lock(mutex_);
      if (closing_) return;
      const auto tick = Clock::now() + kTick;
      auto next = tick;
      for (const auto& sending : active_) {
        if (!sending->under_way && sending->next != Clock::time_point()) {
          next = std::min(next, sending->next);
        }
      }
      while (!closing_ && !is_due_ && Clock::now() < next) changed_.wait_until(mutex_, next);
      is_due_ = false;
      const auto now = Clock::now();
      for (const auto& sending : active_) {
        const SlotEntry& entry = view_.slots[static_cast<size_t>(sending->request.slot)];
        const bool moved = sending->under_way && sending->epoch != entry.epoch;
        const bool late = now >= sending->request.deadline || fatal_ != nullptr;
        if (moved || late || now >= sending->next || has_moved(sending->request)) {
          due.push_back(sending);
        }
      }
    }
    for (const auto& sending : due) attempt(sending);
    stop_waiting();
  }
}

int RetryingSender::primary_of(const Sending& sending) const {
  return view_.slots[static_cast<size_t>(sending.request.slot)].primary;
}

std::string RetryingSender::whereabouts(const Sending& sending) const {
  const int slot = sending.request.slot;
  const int primary = primary_of(sending);
  if (primary < 0) return str_cat(sending.request.what, ", slot ", slot);
  return str_cat(sending.request.what, ", slot ", slot, " on parameter server ", primary, " (",
                 view_.servers[static_cast<size_t>(primary)].address, ")");
}

Error RetryingSender::late(const Sending& sending) const {
  const double waited = std::chrono::duration<double>(Clock::now() - sending.begun).count();
  const int primary = primary_of(sending);
  std::string why = "it does not answer";
  if (primary < 0) {
    why = "its server died, had no backup in sync, and has not come back";
  } else if (!sending.refusal.empty()) {
    why = str_cat("its last word: ", sending.refusal);
  } else if (!links_.is_ready(sending.request.slot)) {
    why = "it cannot be reached";
  }
  return {ErrorCode::kDeadlineExceeded, str_cat(whereabouts(sending), ": no answer within ",
                                                std::round(waited * 10) / 10, " s; ", why)};
}

}  // namespace trireme::ps

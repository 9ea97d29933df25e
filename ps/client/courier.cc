#include "ps/client/courier.h"

#include <pthread.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <utility>

#include "core/base/logging.h"
#include "ps/client/courier_state.h"

namespace trireme::ps {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTick{50};
// Before a slot is asked again that has just moved, or is not ready.
constexpr milliseconds kPause{5};
// See kFirstConnectTimeout.
constexpr milliseconds kLongestConnectTimeout{5'000};
// So often a slot may say that it knows nothing of what is asked for.
constexpr int kMostNotFound = 3;

AnswerHeader header_of(const Message& answer) {
  AnswerHeader header;
  if (answer.bytes.size() < sizeof(header)) {
    throw data_loss("an answer of a parameter server of ", answer.bytes.size(),
                    " bytes: expected a header of ", sizeof(header));
  }
  std::memcpy(&header, answer.bytes.data(), sizeof(header));
  if (header.magic != kWireMagic) throw data_loss("what a parameter server answered is no answer");
  if (header.code > AnswerCode::kDropped) {
    throw data_loss("an answer of a parameter server: expected a code from 0 to 4, found ",
                    static_cast<uint32_t>(header.code));
  }
  return header;
}

// The error that an answer carries.
Error error_of(const Message& answer) {
  try {
    parse_answer(answer, RowType::kFloat32, {});
  } catch (const Error& error) {
    return error;
  }
  return {ErrorCode::kInternal, "an error without a text"};
}

}  // namespace

Courier::Courier(CourierOptions options, const ServerView& view)
    : options_(std::move(options)), view_(view) {
  for (size_t i = 0; i < view.servers.size(); ++i) {
    links_.push_back(std::make_unique<Link>());
    links_.back()->server = static_cast<int>(i);
  }
  for (auto& link : links_) link->thread = std::thread([this, &link] { keep_link(*link); });
  timer_ = std::thread([this] { keep_time(); });
}

Courier::~Courier() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
    changed_.notify_all();
  }
  for (auto& link : links_) link->thread.join();
  timer_.join();
}

void Courier::set_view(const ServerView& view) {
  MutexLock lock(mutex_);
  if (view.number <= view_.number) return;
  if (view.servers.size() != view_.servers.size() || view.slots.size() != view_.slots.size() ||
      view.slot_of_shard.size() != view_.slot_of_shard.size()) {
    fatal_ = std::make_unique<Error>(data_loss("the coordinator has sent a view of ",
                                               view.servers.size(), " parameter servers and ",
                                               view.slots.size(), " slots; before there were ",
                                               view_.servers.size(), " and ", view_.slots.size()));
  } else {
    view_ = view;
  }
  is_due_ = true;
  changed_.notify_all();
}

void Courier::fail(const Error& error) {
  MutexLock lock(mutex_);
  if (fatal_ == nullptr) fatal_ = std::make_unique<Error>(error);
  is_due_ = true;
  changed_.notify_all();
}

// ---- connections ----

bool Courier::needs_connection(const Link& link) const {
  const ServerEntry& server = view_.servers[static_cast<size_t>(link.server)];
  return server.alive && (!link.is_connected() || link.incarnation != server.incarnation);
}

int Courier::slot_to_set_up(const Link& link) const {
  for (int slot = 0; slot < static_cast<int>(view_.slots.size()); ++slot) {
    const SlotEntry& entry = view_.slots[static_cast<size_t>(slot)];
    if (entry.primary != link.server) continue;
    const auto asked = link.asked.find(slot);
    if (asked == link.asked.end() || asked->second != entry.epoch) return slot;
  }
  return -1;
}

void Courier::keep_link(Link& link) {
  pthread_setname_np(pthread_self(), "ps-link");
  for (;;) {
    // Let go without the lock: what is under way over them fails then.
    std::shared_ptr<RpcConnection> data, control;
    ServerEntry server;
    int slot = -1;
    bool connects = false;
    {
      MutexLock lock(mutex_);
      for (;;) {
        server = view_.servers[static_cast<size_t>(link.server)];
        const bool is_stale = link.data != nullptr && (link.broken || !server.alive ||
                                                       link.incarnation != server.incarnation);
        if (closing_ || is_stale) {
          data = std::exchange(link.data, nullptr);
          control = std::exchange(link.control, nullptr);
          link.asked.clear();
          link.ready.clear();
          break;
        }
        connects = needs_connection(link);
        slot = connects ? -1 : link.is_connected() ? slot_to_set_up(link) : -1;
        const bool has_work = fatal_ == nullptr && (connects || slot >= 0);
        if (has_work && Clock::now() >= link.pause) break;
        if (has_work) {
          changed_.wait_until(mutex_, link.pause);
        } else {
          changed_.wait(mutex_);
        }
      }
      if (closing_ && data == nullptr) return;
    }
    if (data != nullptr) {
      data.reset();
      control.reset();
    } else if (connects) {
      connect(link, server);
    } else {
      set_up(link, slot);
    }
  }
}

void Courier::connect(Link& link, const ServerEntry& server) {
  ConnectOptions options;
  options.address = server.address;
  options.secret = options_.secret;
  options.encryption = options_.encryption;
  options.job_id = options_.job_id;
  options.name = str_cat("parameter server ", server.index);
  {
    MutexLock lock(mutex_);
    if (link.incarnation != server.incarnation) link.connect_timeout = kFirstConnectTimeout;
    link.incarnation = server.incarnation;
    options.connect_timeout = link.connect_timeout;
    link.connect_timeout = std::min(link.connect_timeout * 2, kLongestConnectTimeout);
  }
  std::shared_ptr<RpcConnection> data, control;
  try {
    control = options_.connect(options);
    options.connections = options_.connections;
    options.shared_memory = options_.shared_memory;
    data = options_.connect(options);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInvalidArgument) {
      fail(error);
      return;
    }
    options_.suspect(server.index);
    MutexLock lock(mutex_);
    link.pause = Clock::now() + kPause;
    return;
  }
  MutexLock lock(mutex_);
  link.data = std::move(data);
  link.control = std::move(control);
  link.broken = false;
  link.probed.reset();
  link.connect_timeout = kFirstConnectTimeout;
  ++link.connection;
}

void Courier::set_up(Link& link, int slot) {
  std::shared_ptr<RpcConnection> control;
  SlotEntry entry;
  Destination destination;
  uint64_t connection = 0;
  {
    MutexLock lock(mutex_);
    control = link.control;
    connection = link.connection;
    entry = view_.slots[static_cast<size_t>(slot)];
    if (control == nullptr || entry.primary != link.server) return;
    destination = {.view = view_.number, .epoch = entry.epoch};
    link.asked[slot] = entry.epoch;
  }
  control->call(options_.make_setup(slot, destination), options_.setup_timeout,
                [this, &link, connection, slot, entry](RpcResult result) {
                  take_setup(link, connection, slot, entry, std::move(result));
                });
}

void Courier::take_setup(Link& link, uint64_t connection, int slot, const SlotEntry& entry,
                         RpcResult result) {
  std::unique_ptr<Error> error = std::move(result.error);
  const bool is_broken = error != nullptr && error->code() == ErrorCode::kUnavailable;
  bool accepted = false;
  try {
    if (error == nullptr) {
      const AnswerCode code = header_of(result.answer).code;
      accepted = code == AnswerCode::kOk;
      if (code == AnswerCode::kError) throw error_of(result.answer);
      if (accepted && options_.on_setup) options_.on_setup(slot, entry, result.answer);
    }
  } catch (const Error& bad) {
    accepted = false;
    error = std::make_unique<Error>(bad);
  }
  const bool may_change = error == nullptr || error->code() == ErrorCode::kUnavailable ||
                          error->code() == ErrorCode::kDeadlineExceeded;
  if (!may_change) {
    fail(Error(error->code(),
               str_cat("parameter server ", link.server, ", slot ", slot, ": ", error->what())));
  }
  MutexLock lock(mutex_);
  if (link.connection != connection) return;
  if (accepted) {
    link.ready[slot] = entry.epoch;
    is_due_ = true;
  } else {
    link.broken |= is_broken;
    link.asked.erase(slot);
    link.pause = Clock::now() + kPause;
  }
  changed_.notify_all();
}

void Courier::wait_until_ready(milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  MutexLock lock(mutex_);
  for (;;) {
    if (fatal_ != nullptr) throw Error(*fatal_);
    std::string missing;
    for (int slot = 0; slot < static_cast<int>(view_.slots.size()); ++slot) {
      if (ready_link(slot) != nullptr) continue;
      const SlotEntry& entry = view_.slots[static_cast<size_t>(slot)];
      missing += str_cat(missing.empty() ? "" : ", ", "slot ", slot);
      if (entry.primary < 0) {
        missing += " (its server is awaited)";
      } else {
        missing += str_cat(" (parameter server ", entry.primary, " at ",
                           view_.servers[static_cast<size_t>(entry.primary)].address, ")");
      }
    }
    if (missing.empty()) return;
    if (Clock::now() >= deadline) {
      throw Error(ErrorCode::kDeadlineExceeded,
                  str_cat("no answer within ", timeout.count() / 1000.0, " s from ", missing));
    }
    changed_.wait_until(mutex_, std::min(deadline, Clock::now() + kTick));
  }
}

// ---- parcels ----

Courier::Link* Courier::ready_link(int slot) const {
  const SlotEntry& entry = view_.slots[static_cast<size_t>(slot)];
  if (entry.primary < 0) return nullptr;
  Link& link = *links_[static_cast<size_t>(entry.primary)];
  if (!link.is_connected() ||
      link.incarnation != view_.servers[static_cast<size_t>(entry.primary)].incarnation) {
    return nullptr;
  }
  const auto ready = link.ready.find(slot);
  return ready != link.ready.end() && ready->second == entry.epoch ? &link : nullptr;
}

std::vector<int> Courier::slot_of_shard() const {
  MutexLock lock(mutex_);
  return view_.slot_of_shard;
}

bool Courier::has_moved(const Parcel& parcel) const {
  if (parcel.shards.none()) return false;
  for (size_t shard = 0; shard < view_.slot_of_shard.size(); ++shard) {
    if (parcel.shards[shard] && view_.slot_of_shard[shard] != parcel.slot) return true;
  }
  return false;
}

void Courier::send(Parcel parcel) {
  auto sending = std::make_shared<Sending>(std::move(parcel));
  {
    MutexLock lock(mutex_);
    TRIREME_CHECK(sending->parcel.slot >= 0 &&
                  static_cast<size_t>(sending->parcel.slot) < view_.slots.size());
    active_.push_back(sending);
  }
  attempt(sending);
}

// Sends it when there is somebody to send it to; else it stays until there is.
void Courier::attempt(const std::shared_ptr<Sending>& sending) {
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
    } else if (now >= sending->parcel.deadline) {
      error = std::make_unique<Error>(late(*sending));
    } else if (has_moved(sending->parcel) && sending->parcel.split) {
      sending->finished = true;
      std::erase(active_, sending);
      moved = view_.slot_of_shard;
    } else if (has_moved(sending->parcel)) {
      error = std::make_unique<Error>(ErrorCode::kUnavailable,
                                      whereabouts(*sending) + ": one of its shards has moved");
    } else {
      const int slot = sending->parcel.slot;
      Link* const link = ready_link(slot);
      if (link == nullptr) {
        sending->under_way = false;
        sending->next = {};
        return;
      }
      connection = sending->parcel.is_control ? link->control : link->data;
      server = link->server;
      number = link->connection;
      destination = {.view = view_.number,
                     .epoch = view_.slots[static_cast<size_t>(slot)].epoch,
                     .needs_keys = sending->needs_keys};
      left = std::chrono::ceil<milliseconds>(sending->parcel.deadline - now);
      is_silent = sending->under_way && sending->epoch == destination.epoch;
      // An answer to any of the attempts counts; a server that merely waits is not asked too often.
      sending->next = now + sending->parcel.resend_after * (1 << std::min(sending->attempts, 16));
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
    for (Parcel& part : sending->parcel.split(moved)) send(std::move(part));
    return;
  }
  // It may only be waiting for other workers: the directory hears whether it lives.
  if (is_silent) options_.suspect(server);
  OutMessage message = sending->parcel.make(destination);
  if (message.pieces.empty()) return;
  connection->call(std::move(message), left, [this, sending, server, number](RpcResult result) {
    take(sending, server, number, std::move(result));
  });
}

void Courier::take(const std::shared_ptr<Sending>& sending, int server, uint64_t connection,
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
  {
    MutexLock lock(mutex_);
    Link& link = *links_[static_cast<size_t>(server)];
    const int slot = sending->parcel.slot;
    if (link.connection == connection) {
      link.broken |= is_broken;
      if (is_final && error->code() == ErrorCode::kNotFound &&
          ++sending->not_found <= kMostNotFound) {
        is_final = false;
        link.asked.erase(slot);
        link.ready.erase(slot);
      }
    }
    if (sending->finished) {
      if (is_broken) changed_.notify_all();
      return;
    }
    if (!is_final) {
      const bool asks_for_keys = error == nullptr && header.code == AnswerCode::kNeedKeys;
      if (error != nullptr) sending->refusal = error->what();
      sending->needs_keys |= asks_for_keys;
      sending->under_way = false;
      sending->next = asks_for_keys || is_broken ? Clock::time_point() : Clock::now() + kPause;
      is_due_ = true;
      changed_.notify_all();
    } else if (Clock::now() >= sending->parcel.deadline) {
      error = std::make_unique<Error>(late(*sending));
    } else {
      error = std::make_unique<Error>(error->code(),
                                      str_cat(whereabouts(*sending), ": ", error->what()));
    }
  }
  if (is_broken) options_.suspect(server);
  if (is_final) finish(sending, {}, std::move(error));
}

void Courier::finish(const std::shared_ptr<Sending>& sending, Message answer,
                     std::unique_ptr<Error> error) {
  {
    MutexLock lock(mutex_);
    if (std::exchange(sending->finished, true)) return;
    std::erase(active_, sending);
  }
  sending->parcel.done(std::move(answer), std::move(error));
}

void Courier::keep_time() {
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
        const SlotEntry& entry = view_.slots[static_cast<size_t>(sending->parcel.slot)];
        const bool moved = sending->under_way && sending->epoch != entry.epoch;
        const bool late = now >= sending->parcel.deadline || fatal_ != nullptr;
        if (moved || late || now >= sending->next || has_moved(sending->parcel)) {
          due.push_back(sending);
        }
      }
    }
    for (const auto& sending : due) attempt(sending);
    stop_waiting();
  }
}

std::string Courier::whereabouts(const Sending& sending) const {
  const int slot = sending.parcel.slot;
  const int primary = view_.slots[static_cast<size_t>(slot)].primary;
  if (primary < 0) return str_cat(sending.parcel.what, ", slot ", slot);
  return str_cat(sending.parcel.what, ", slot ", slot, " on parameter server ", primary, " (",
                 view_.servers[static_cast<size_t>(primary)].address, ")");
}

Error Courier::late(const Sending& sending) const {
  const double waited = std::chrono::duration<double>(Clock::now() - sending.begun).count();
  const int primary = view_.slots[static_cast<size_t>(sending.parcel.slot)].primary;
  std::string why = "it does not answer";
  if (primary < 0) {
    why = "its server died, had no backup in sync, and has not come back";
  } else if (!sending.refusal.empty()) {
    why = str_cat("its last word: ", sending.refusal);
  } else if (ready_link(sending.parcel.slot) == nullptr) {
    why = "it cannot be reached";
  }
  return {ErrorCode::kDeadlineExceeded, str_cat(whereabouts(sending), ": no answer within ",
                                                std::round(waited * 10) / 10, " s; ", why)};
}

}  // namespace trireme::ps

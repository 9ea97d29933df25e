#include "ps/client/server_links.h"

#include <pthread.h>

#include <algorithm>
#include <map>
#include <thread>
#include <utility>

#include "ps/client/answer_header.h"

namespace trireme::ps {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTick{50};
// Before a slot is asked again that has just moved, or is not ready.
constexpr milliseconds kPause{5};
// Of a connection's making: longer each time, so that one that has died meanwhile is not waited
// for.
constexpr milliseconds kFirstConnectTimeout{300};
constexpr milliseconds kLongestConnectTimeout{5'000};

}  // namespace

struct ServerLinks::Link {
  int server = 0;
  // Under the lock.
  uint64_t incarnation = 0;
  uint64_t connection = 0;  // counts them
  std::shared_ptr<RpcConnection> data, control;
  bool broken = false;
  milliseconds connect_timeout = kFirstConnectTimeout;
  Clock::time_point pause{};                // not to be tried before
  std::map<int, int64_t> asked, ready;      // the epoch for which a slot was set up, or is being
  std::optional<Clock::time_point> probed;  // since when it owes a sign of life
  std::thread thread;

  bool is_connected() const { return data != nullptr && !broken; }
};

ServerLinks::ServerLinks(ServerLinkOptions options, const ServerView& view, Events events)
    : options_(std::move(options)), events_(std::move(events)), view_(view) {
  for (size_t i = 0; i < view.servers.size(); ++i) {
    links_.push_back(std::make_unique<Link>());
    links_.back()->server = static_cast<int>(i);
  }
  for (auto& link : links_) link->thread = std::thread([this, &link] { keep_link(*link); });
}

ServerLinks::~ServerLinks() { close(); }

void ServerLinks::close() {
  {
    MutexLock lock(mutex_);
    if (std::exchange(closing_, true)) return;
    changed_.notify_all();
  }
  for (auto& link : links_) link->thread.join();
}

void ServerLinks::set_view(const ServerView& view) {
  MutexLock lock(mutex_);
  view_ = view;
  changed_.notify_all();
}

void ServerLinks::fail(const Error& error) {
  MutexLock lock(mutex_);
  if (fatal_ == nullptr) fatal_ = std::make_unique<Error>(error);
  changed_.notify_all();
}

bool ServerLinks::needs_connection(const Link& link) const {
  const ServerEntry& server = view_.servers[static_cast<size_t>(link.server)];
  return server.alive && (!link.is_connected() || link.incarnation != server.incarnation);
}

int ServerLinks::slot_to_set_up(const Link& link) const {
  for (int slot = 0; slot < static_cast<int>(view_.slots.size()); ++slot) {
    const SlotEntry& entry = view_.slots[static_cast<size_t>(slot)];
    if (entry.primary != link.server) continue;
    const auto asked = link.asked.find(slot);
    if (asked == link.asked.end() || asked->second != entry.epoch) return slot;
  }
  return -1;
}

void ServerLinks::keep_link(Link& link) {
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

void ServerLinks::connect(Link& link, const ServerEntry& server) {
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
      events_.on_refusal(error);
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

void ServerLinks::set_up(Link& link, int slot) {
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

void ServerLinks::take_setup(Link& link, uint64_t connection, int slot, const SlotEntry& entry,
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
    events_.on_refusal({error->code(), str_cat("parameter server ", link.server, ", slot ", slot,
                                               ": ", error->what())});
  }
  {
    MutexLock lock(mutex_);
    if (link.connection != connection) return;
    if (accepted) {
      link.ready[slot] = entry.epoch;
    } else {
      link.broken |= is_broken;
      link.asked.erase(slot);
      link.pause = Clock::now() + kPause;
    }
    changed_.notify_all();
  }
  if (accepted) events_.on_ready();
}

ServerLinks::Link* ServerLinks::ready_link(int slot) const {
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

void ServerLinks::wait_until_ready(milliseconds timeout) {
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

std::optional<ServerLinks::Route> ServerLinks::route_to(int slot) const {
  MutexLock lock(mutex_);
  const Link* const link = ready_link(slot);
  if (link == nullptr) return std::nullopt;
  return Route{
      .server = link->server,
      .connection = link->connection,
      .data = link->data,
      .control = link->control,
      .destination = {.view = view_.number, .epoch = view_.slots[static_cast<size_t>(slot)].epoch}};
}

bool ServerLinks::is_ready(int slot) const {
  MutexLock lock(mutex_);
  return ready_link(slot) != nullptr;
}

void ServerLinks::note_broken(int server, uint64_t connection) {
  MutexLock lock(mutex_);
  if (link(server).connection == connection) link(server).broken = true;
  changed_.notify_all();
}

bool ServerLinks::set_up_again(int server, uint64_t connection, int slot) {
  MutexLock lock(mutex_);
  Link& link = this->link(server);
  if (link.connection != connection) return false;
  link.asked.erase(slot);
  link.ready.erase(slot);
  changed_.notify_all();
  return true;
}

void ServerLinks::probe(int server, milliseconds timeout) {
  Link& link = this->link(server);
  std::shared_ptr<RpcConnection> control;
  uint64_t connection = 0;
  int index = 0;
  Destination destination;
  {
    MutexLock lock(mutex_);
    const auto slot = std::ranges::find(view_.slots, server, &SlotEntry::primary);
    if (link.probed || link.control == nullptr || link.broken || slot == view_.slots.end() ||
        !options_.make_probe) {
      return;
    }
    link.probed = Clock::now();
    control = link.control;
    connection = link.connection;
    index = static_cast<int>(slot - view_.slots.begin());
    destination = {.view = view_.number, .epoch = slot->epoch};
  }
  control->call(options_.make_probe(index, destination), timeout,
                [this, &link, connection](const RpcResult& result) {
                  MutexLock lock(mutex_);
                  if (link.connection != connection) return;
                  if (result.error == nullptr) link.probed.reset();
                });
}

std::optional<ServerLinks::Clock::time_point> ServerLinks::silent_since(int server) const {
  MutexLock lock(mutex_);
  return link(server).probed;
}

}  // namespace trireme::ps

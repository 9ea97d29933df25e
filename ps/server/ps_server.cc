#include "ps/server/ps_server.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <future>
#include <map>
#include <optional>
#include <thread>

#include "core/base/logging.h"
#include "distributed/coordination/directory_client.h"
#include "ps/server/control.h"
#include "ps/server/metrics.h"
#include "ps/server/replicator.h"
#include "ps/server/restore.h"
#include "ps/server/slot.h"
#include "ps/server/snapshot_file.h"

namespace trireme::ps {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kTick{100};
constexpr milliseconds kPatience{2'000};  // of a status for its slots
// A backup that has so much left to do answers later, so that its primary sends no faster.
constexpr int64_t kBusy = 1'000;

int64_t machine_memory() {
  return int64_t{::sysconf(_SC_PHYS_PAGES)} * int64_t{::sysconf(_SC_PAGE_SIZE)};
}

int thread_count(const PsServerOptions& options) {
  return options.threads > 0 ? options.threads
                             : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int64_t memory_limit(const PsServerOptions& options) {
  return options.memory_limit > 0 ? options.memory_limit : machine_memory() / 10 * 8;
}

// Work that reads and writes files, one after the other, on a thread of its own.
class Background {
 public:
  Background() : thread_([this] { run(); }) {
    ::pthread_setname_np(thread_.native_handle(), "ps files");
  }
  ~Background() { close(); }
  // Ends when all is done; what is posted later is not.
  void close() EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      closing_ = true;
      changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
  }
  void post(std::function<void()> work) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    work_.push_back(std::move(work));
    changed_.notify_all();
  }

 private:
  void run() {
    for (;;) {
      std::function<void()> work;
      {
        MutexLock lock(mutex_);
        while (work_.empty() && !closing_) changed_.wait(mutex_);
        if (work_.empty()) return;
        work = std::move(work_.front());
        work_.pop_front();
      }
      work();
    }
  }

  Mutex mutex_;
  ConditionVariable changed_;
  std::deque<std::function<void()>> work_ GUARDED_BY(mutex_);
  bool closing_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace

class PsServer::Impl {
 public:
  explicit Impl(PsServerOptions options);
  ~Impl();

  std::string address() const { return rpc_->address(); }
  std::string metrics_address() const { return metrics_->address(); }
  void run(const std::atomic<bool>& stop) EXCLUDES(mutex_);
  std::string status() const EXCLUDES(mutex_);

 private:
  // A slot that is here, and what this server is to it. The manager's, but for `slot` itself.
  struct Hosted {
    std::shared_ptr<Slot> slot;
    int64_t epoch = 0;
    bool primary = false;  // it was promoted, or is as soon as it is restored
    std::unique_ptr<Replicator> replicator;
    int backup = -1;
    uint64_t backup_incarnation = 0;
    Clock::time_point snapshot_due;
    int64_t snapshot_index = 0;  // of the log, when the last one was begun
    std::shared_ptr<std::atomic<bool>> saving = std::make_shared<std::atomic<bool>>(false);
    // The backup has forgotten what it was sent.
    std::shared_ptr<std::atomic<bool>> forgotten = std::make_shared<std::atomic<bool>>(false);
  };
  // What is not needed any more and takes a moment to end.
  struct Retired {
    std::shared_ptr<Slot> slot;
    std::unique_ptr<Replicator> replicator;
  };

  void handle(Message message, std::unique_ptr<Responder> responder);
  void handle_entry(const Message& message, const Request& request,
                    const std::shared_ptr<Slot>& slot, const std::shared_ptr<Responder>& responder);
  void refuse(const Error& error, const RequestHeader& header, Responder* responder) const;
  std::shared_ptr<Slot> find(int slot) const EXCLUDES(mutex_);

  void manage() EXCLUDES(mutex_);  // thread
  void follow(const ServerView& view) EXCLUDES(mutex_);
  void follow_slot(const ServerView& view, int index) EXCLUDES(mutex_);
  void lead(const ServerView& view, int index, const SlotEntry& entry) EXCLUDES(mutex_);
  void set_backup(const ServerView& view, Hosted& hosted, int index, const SlotEntry& entry);
  void drop(int index) EXCLUDES(mutex_);
  void retire(Hosted& hosted);
  Hosted& host(const ServerView& view, int index, int64_t epoch) EXCLUDES(mutex_);
  void tick() EXCLUDES(mutex_);
  void save(int index, Hosted& hosted);
  void fail(const Error& error) EXCLUDES(mutex_);
  ServerLoad load(bool with_tables) const EXCLUDES(mutex_);

  const PsServerOptions options_;
  MemoryBudget budget_;
  BufferPool buffers_;
  std::atomic<int64_t> view_number_{0};
  int64_t attempts_ = 0;  // the manager's

  mutable Mutex mutex_;
  mutable ConditionVariable changed_;
  std::map<int, std::shared_ptr<Slot>> slots_ GUARDED_BY(mutex_);
  std::map<int, int64_t> lags_ GUARDED_BY(mutex_);
  std::deque<ServerView> views_ GUARDED_BY(mutex_);
  std::optional<Error> ended_ GUARDED_BY(mutex_);
  bool over_ GUARDED_BY(mutex_) = false;  // the job is
  bool closing_ GUARDED_BY(mutex_) = false;

  std::map<int, Hosted> hosted_;  // the manager's
  std::vector<Retired> retired_;  // the manager's

  // In the order in which they may end, from the last.
  std::unique_ptr<ShardThreads> threads_;
  std::unique_ptr<Metrics> metrics_;
  Background background_;
  std::unique_ptr<RpcServer> rpc_;
  std::unique_ptr<DirectoryClient> directory_;
  std::thread manager_;
};

PsServer::Impl::Impl(PsServerOptions options)
    : options_(std::move(options)),
      budget_(memory_limit(options_)),
      threads_(std::make_unique<ShardThreads>(thread_count(options_))) {
  metrics_ = std::make_unique<Metrics>(options_.index, options_.listen, options_.metrics_port,
                                       [this] { return load(true); });
  RpcServerOptions rpc{.listen = options_.listen,
                       .secret = options_.secret,
                       .job_id = options_.job_id,
                       .shared_memory = options_.shared_memory};
  rpc_ = make_rpc_server(rpc, [this](Message message, std::unique_ptr<Responder> responder) {
    handle(std::move(message), std::move(responder));
  });
  DirectoryClientOptions directory{.address = options_.coordinator,
                                   .secret = options_.secret,
                                   .job_id = options_.job_id,
                                   .is_server = true,
                                   .index = options_.index,
                                   .incarnation = options_.incarnation,
                                   .server_address = rpc_->address(),
                                   .host = options_.host,
                                   .shared_memory_host = rpc_->shared_memory_host(),
                                   .servers = options_.servers,
                                   .replicas = options_.replicas};
  directory.on_view = [this](const ServerView& view) {
    MutexLock lock(mutex_);
    views_.push_back(view);
    changed_.notify_all();
  };
  directory.on_lost = [this](const Error& error) {
    if (error.code() != ErrorCode::kUnavailable) return fail(error);
    MutexLock lock(mutex_);
    over_ = true;
    changed_.notify_all();
  };
  directory_ = std::make_unique<DirectoryClient>(std::move(directory));
  manager_ = std::thread([this] { manage(); });
  ::pthread_setname_np(manager_.native_handle(), "ps manager");
}

PsServer::Impl::~Impl() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
    changed_.notify_all();
  }
  manager_.join();
  const std::string uneven = describe_uneven(load(false));
  if (!uneven.empty()) {
    log_info(str_cat("parameter server ", options_.index, ": ", uneven));
  }
  for (auto& [index, hosted] : hosted_) {
    hosted.slot->resign();
    hosted.replicator.reset();  // it calls the directory
  }
  retired_.clear();
  directory_.reset();
  rpc_.reset();
  {
    MutexLock lock(mutex_);
    slots_.clear();
  }
  hosted_.clear();  // their last work may still give some to the background
  background_.close();
  metrics_.reset();
}

// ---- requests, on the transport's threads

std::shared_ptr<Slot> PsServer::Impl::find(int slot) const {
  MutexLock lock(mutex_);
  const auto it = slots_.find(slot);
  return it == slots_.end() ? nullptr : it->second;
}

void PsServer::Impl::handle(Message message, std::unique_ptr<Responder> responder) {
  RequestHeader header;
  if (message.bytes.size() >= sizeof(header)) {
    std::memcpy(&header, message.bytes.data(), sizeof(header));
  }
  const auto kind = static_cast<uint32_t>(header.kind);
  if (kind >= 1 && kind <= 4) {
    responder = metrics_->count(static_cast<Metrics::Kind>(kind - 1), message.bytes.size(),
                                std::move(responder));
  }
  try {
    const bool rows = header.kind == RequestKind::kPull || header.kind == RequestKind::kPush;
    const bool is_request = header.magic == kWireMagic && header.version == kWireVersion &&
                            message.bytes.size() >= sizeof(header);
    std::optional<Request> request;
    // What is wrong with a header is found by the same reader that reads all else.
    if (!rows || !is_request) request = parse_request(message, {}, ShardMap({}));
    const auto slot = find(header.slot);
    if (header.kind == RequestKind::kEntry) {
      const std::shared_ptr<Responder> shared(std::move(responder));
      try {
        return handle_entry(message, *request, slot, shared);
      } catch (const Error& error) {
        return refuse(error, header, shared.get());
      }
    }
    // One that knows more than this server may know of another primary.
    if (slot == nullptr || header.view > view_number_.load()) {
      return responder->answer(plain_answer(AnswerCode::kWrongView, view_number_.load()));
    }
    switch (header.kind) {
      case RequestKind::kPull:
        return slot->pull(message, responder);
      case RequestKind::kPush:
        return slot->push(message, responder);
      default:
        return control(
            {.slot = slot,
             .slots = options_.servers,
             .view = view_number_,
             .background =
                 [this](std::function<void()> work) { background_.post(std::move(work)); },
             .metrics = [this] { return metrics_->text(); }},
            *request, responder);
    }
  } catch (const Error& error) {
    refuse(error, header, responder.get());
  } catch (const std::bad_alloc&) {
    refuse(
        Error(ErrorCode::kResourceExhausted, str_cat("the system has no memory for a request of ",
                                                     message.bytes.size(), " bytes")),
        header, responder.get());
  }
}

void PsServer::Impl::refuse(const Error& error, const RequestHeader& header,
                            Responder* responder) const {
  log_warning(str_cat("parameter server ", options_.index, " refuses a request of worker ",
                      header.worker, ": ", error.what()));
  if (responder != nullptr) responder->answer(error_answer(error, view_number_.load()));
}

void PsServer::Impl::handle_entry(const Message& message, const Request& request,
                                  const std::shared_ptr<Slot>& slot,
                                  const std::shared_ptr<Responder>& responder) {
  const int64_t view = view_number_.load();
  // The primary may hear of this backup before the backup does: it sends again.
  if (slot == nullptr) return responder->answer(plain_answer(AnswerCode::kNeedKeys, view));
  const ReceivedEntry entry = parse_entry(message, request.body);
  const auto taken = [this, responder] {
    const int64_t room = budget_.limit() - budget_.used() - budget_.reserved();
    responder->answer(plain_answer(AnswerCode::kOk, view_number_.load(), room));
  };
  const bool busy = threads_->queued() > kBusy || entry.header.kind >= EntryKind::kState;
  switch (slot->apply(
      entry, busy ? std::function<void()>(taken) : [] {})) {
    case Slot::Receipt::kTaken:
      if (!busy) taken();
      return;
    case Slot::Receipt::kMissing:
      return responder->answer(plain_answer(AnswerCode::kNeedKeys, view));
    case Slot::Receipt::kOutdated:
      return responder->answer(plain_answer(AnswerCode::kWrongView, view));
  }
}

// ---- views, on the manager's thread

void PsServer::Impl::manage() {
  auto next_tick = Clock::now() + kTick;
  for (;;) {
    std::optional<ServerView> view;
    {
      MutexLock lock(mutex_);
      while (!closing_ && views_.empty() && Clock::now() < next_tick) {
        changed_.wait_until(mutex_, next_tick);
      }
      if (closing_) return;
      if (!views_.empty()) {
        view = std::move(views_.front());
        views_.pop_front();
      }
    }
    try {
      if (view) follow(*view);
      if (Clock::now() >= next_tick) {
        tick();
        next_tick = Clock::now() + kTick;
      }
    } catch (const Error& error) {
      fail(error);
    }
  }
}

void PsServer::Impl::follow(const ServerView& view) {
  if (view.number <= view_number_.load()) return;
  const auto me = static_cast<size_t>(options_.index);
  // A view of the time before this start of the task.
  if (me >= view.servers.size() || view.servers[me].incarnation != options_.incarnation) return;
  for (int slot = 0; slot < static_cast<int>(view.slots.size()); ++slot) follow_slot(view, slot);
  view_number_ = view.number;
}

void PsServer::Impl::follow_slot(const ServerView& view, int index) {
  const SlotEntry& entry = view.slots[static_cast<size_t>(index)];
  const auto it = hosted_.find(index);
  if (entry.primary == options_.index) return lead(view, index, entry);
  if (it != hosted_.end() && (it->second.primary || entry.backup != options_.index)) drop(index);
  if (entry.backup == options_.index) host(view, index, entry.epoch).epoch = entry.epoch;
}

PsServer::Impl::Hosted& PsServer::Impl::host(const ServerView& view, int index, int64_t epoch) {
  Hosted& hosted = hosted_[index];
  if (hosted.slot != nullptr) return hosted;
  ShardSet shards;
  for (size_t shard = 0; shard < view.slot_of_shard.size(); ++shard) {
    if (view.slot_of_shard[shard] == index && shard < kVirtualShards) shards.set(shard);
  }
  hosted.slot = std::make_shared<Slot>(
      SlotOptions{.index = index,
                  .epoch = epoch,
                  .shards = shards,
                  .servers = static_cast<int>(view.slots.size()),
                  .threads = *threads_,
                  .budget = budget_,
                  .buffers = buffers_,
                  .view = view_number_,
                  .failed = [this, index](const Error& error) {
                    fail(Error(error.code(), str_cat("slot ", index, ": ", error.what())));
                  }});
  hosted.epoch = epoch;
  hosted.snapshot_due = Clock::now() + options_.snapshot_interval;
  MutexLock lock(mutex_);
  slots_[index] = hosted.slot;
  return hosted;
}

void PsServer::Impl::drop(int index) {
  Hosted hosted = std::move(hosted_.at(index));
  hosted_.erase(index);
  {
    MutexLock lock(mutex_);
    slots_.erase(index);
    lags_.erase(index);
  }
  hosted.slot->resign();
  retire(hosted);
  // Its last work is waited for elsewhere.
  background_.post([slot = std::move(hosted.slot)] {});
}

// Its thread may be on the way to a server that does not answer: nobody waits for that.
void PsServer::Impl::retire(Hosted& hosted) {
  if (hosted.replicator == nullptr) return;
  hosted.replicator->end();
  retired_.push_back({hosted.slot, std::move(hosted.replicator)});
}

void PsServer::Impl::lead(const ServerView& view, int index, const SlotEntry& entry) {
  const auto it = hosted_.find(index);
  bool restore = entry.restore;
  if (it != hosted_.end() && !it->second.primary && !it->second.slot->is_complete()) {
    log_error(str_cat("slot ", index, ": this backup becomes the primary before it has all rows"));
    drop(index);
    restore = true;
  }
  const bool is_new = !hosted_.contains(index);
  Hosted& hosted = host(view, index, entry.epoch);
  if (is_new && restore) {
    hosted.primary = true;
    background_.post([this, slot = hosted.slot, epoch = entry.epoch] {
      try {
        restore_newest(*slot, options_.snapshot_directory);
        slot->promote(epoch);
      } catch (const Error& error) {
        fail(error);
      }
    });
  } else if (!hosted.primary || hosted.epoch != entry.epoch) {
    hosted.slot->promote(entry.epoch);
    hosted.primary = true;
    if (!is_new) {
      log_info(str_cat("parameter server ", options_.index, " is the primary of slot ", index,
                       " now, at entry ", hosted.slot->last_index(), " of its log"));
    }
  }
  const bool new_epoch = hosted.epoch != entry.epoch;
  hosted.epoch = entry.epoch;
  if (new_epoch) hosted.backup = -1;
  set_backup(view, hosted, index, entry);
}

void PsServer::Impl::set_backup(const ServerView& view, Hosted& hosted, int index,
                                const SlotEntry& entry) {
  const uint64_t incarnation =
      entry.backup < 0 ? 0 : view.servers[static_cast<size_t>(entry.backup)].incarnation;
  const bool same = hosted.replicator != nullptr && hosted.backup == entry.backup &&
                    hosted.backup_incarnation == incarnation;
  const bool again = same && hosted.forgotten->exchange(false);
  if (same && !again) {
    // A view in which it was not the backup may have been left out.
    if (!entry.backup_in_sync && hosted.replicator->is_in_sync()) {
      directory_->backup_is_in_sync(index, entry.epoch, incarnation);
    }
    return;
  }
  if (hosted.replicator != nullptr) {
    hosted.slot->detach(again);
    retire(hosted);
  }
  hosted.backup = entry.backup;
  hosted.backup_incarnation = incarnation;
  // A primary that is still being restored gets its backup when it is through: see tick().
  if (entry.backup < 0 || !hosted.slot->is_primary()) return;
  const ServerEntry& server = view.servers[static_cast<size_t>(entry.backup)];
  ReplicatorOptions options{
      .connect = {.address = server.address,
                  .secret = options_.secret,
                  .job_id = options_.job_id,
                  .name = str_cat("ps ", server.index)},
      .epoch = entry.epoch,
      // Greater than that of any primary before, on whatever server.
      .attempt = (entry.epoch << 20) + ++attempts_,
      .view = view_number_,
      .hold = again,
      .in_sync =
          [this, index, epoch = entry.epoch, incarnation] {
            log_info(str_cat("slot ", index, ": the backup has all rows"));
            directory_->backup_is_in_sync(index, epoch, incarnation);
          },
      .suspect = [this, server = server.index] { directory_->suspect(server); },
      .forgotten = [forgotten = hosted.forgotten] { forgotten->store(true); },
  };
  hosted.replicator = std::make_unique<Replicator>(*hosted.slot, std::move(options));
}

void PsServer::Impl::tick() {
  const auto now = Clock::now();
  const bool saves = !options_.snapshot_directory.empty();
  std::optional<ServerView> view;
  std::erase_if(retired_, [](const Retired& retired) { return retired.replicator->has_ended(); });
  for (auto& [index, hosted] : hosted_) {
    hosted.slot->tick(now);
    const bool wants_backup = hosted.replicator == nullptr || hosted.forgotten->load();
    if (hosted.primary && hosted.backup >= 0 && wants_backup && hosted.slot->is_primary()) {
      view = directory_->view();
      if (view->number == view_number_.load()) {
        set_backup(*view, hosted, index, view->slots[static_cast<size_t>(index)]);
      }
    }
    if (hosted.replicator != nullptr) {
      const int64_t lag = hosted.replicator->queued();
      MutexLock lock(mutex_);
      lags_[index] = lag;
    }
    if (saves && hosted.slot->is_primary() && now >= hosted.snapshot_due) save(index, hosted);
  }
}

void PsServer::Impl::save(int index, Hosted& hosted) {
  const int64_t last = hosted.slot->last_index();
  if (hosted.saving->load() || last == hosted.snapshot_index) return;
  hosted.saving->store(true);
  hosted.snapshot_index = last;
  hosted.snapshot_due = Clock::now() + options_.snapshot_interval;
  Slot* const slot = hosted.slot.get();
  std::weak_ptr<Slot> weak = hosted.slot;
  slot->open_cut(
      [this, slot, weak, index, saving = hosted.saving](const std::shared_ptr<const Cut>& cut) {
        slot->use_cut(cut->id);
        slot->close_cut(cut->id);  // when it is used no more
        background_.post([this, weak, index, saving, cut] {
          const auto owner = weak.lock();
          if (owner == nullptr) return;
          try {
            const std::string bundle = next_snapshot(options_.snapshot_directory, index);
            write_snapshot(*cut, bundle, -1);
            remove_old_snapshots(options_.snapshot_directory, index, bundle);
          } catch (const Error& error) {
            log_error(str_cat("slot ", index, " could not be written: ", error.what()));
          }
          owner->end_use();
          saving->store(false);
        });
      });
}

// ---- what others see

void PsServer::Impl::fail(const Error& error) {
  MutexLock lock(mutex_);
  if (!ended_) ended_ = error;
  changed_.notify_all();
}

void PsServer::Impl::run(const std::atomic<bool>& stop) {
  MutexLock lock(mutex_);
  while (!stop.load() && !over_ && !ended_) {
    changed_.wait_until(mutex_, Clock::now() + kTick);
  }
  if (ended_) throw Error(*ended_);
}

ServerLoad PsServer::Impl::load(bool with_tables) const {
  ServerLoad load{.queue = threads_->queued(),
                  .table_bytes = budget_.used(),
                  .reserved_bytes = budget_.reserved(),
                  .limit_bytes = budget_.limit()};
  std::map<int, std::shared_ptr<Slot>> slots;
  std::map<int, int64_t> lags;
  {
    MutexLock lock(mutex_);
    slots = slots_;
    lags = lags_;
  }
  for (const auto& [index, slot] : slots) {
    SlotLoad& of = load.slots.emplace_back();
    of.slot = index;
    of.is_primary = slot->is_primary();
    of.step = slot->finished_step();
    of.staleness = slot->staleness();
    of.waiting_pulls = slot->waiting_pulls();
    of.backup_lag = lags[index];
    for (int shard = 0; shard < kVirtualShards; ++shard) {
      if (!slot->shard_set()[static_cast<size_t>(shard)]) continue;
      const ShardLoad& rows = slot->load(shard);
      of.shards.push_back({shard, rows.rows_pulled.load(), rows.rows_pushed.load()});
    }
    const auto setup = slot->setup();
    if (!with_tables || setup == nullptr) continue;
    const auto promise = std::make_shared<std::promise<SlotStatistics>>();
    auto future = promise->get_future();
    slot->statistics(
        [promise](SlotStatistics statistics) { promise->set_value(std::move(statistics)); });
    if (future.wait_for(kPatience) != std::future_status::ready) continue;
    const SlotStatistics statistics = future.get();
    for (size_t i = 0; i < std::min(statistics.tables.size(), setup->tables.size()); ++i) {
      const ShardStatistics& table = statistics.tables[i];
      of.tables.push_back(
          {setup->tables[i].name, table.rows, table.bytes, table.waiting, table.evicted});
    }
  }
  return load;
}

std::string PsServer::Impl::status() const {
  const ServerLoad all = load(true);
  std::string text;
  for (const SlotLoad& slot : all.slots) {
    for (const TableLoad& table : slot.tables) {
      text += str_cat("slot ", slot.slot, slot.is_primary ? "" : " (backup)", ", table \"",
                      table.name, "\": ", table.rows, " rows, ", table.bytes, " bytes, ",
                      table.waiting, " keys wait, ", table.evicted, " rows evicted\n");
    }
  }
  const std::string uneven = describe_uneven(all);
  if (!uneven.empty()) text += uneven + "\n";
  return text;
}

PsServer::PsServer(PsServerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
PsServer::~PsServer() = default;
std::string PsServer::address() const { return impl_->address(); }
std::string PsServer::metrics_address() const { return impl_->metrics_address(); }
void PsServer::run(const std::atomic<bool>& stop) { impl_->run(stop); }
std::string PsServer::status() const { return impl_->status(); }

}  // namespace trireme::ps

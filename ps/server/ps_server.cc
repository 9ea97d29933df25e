#include "ps/server/ps_server.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <filesystem>
#include <future>
#include <optional>
#include <thread>

#include "core/base/logging.h"
#include "core/io/tensor_bundle.h"
#include "distributed/coordination/coordinator_client.h"
#include "distributed/coordination/directory_client.h"
#include "ps/server/control.h"
#include "ps/server/metrics.h"
#include "ps/server/slot_hosts.h"
#include "ps/server/snapshot_file.h"

namespace trireme::ps {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kTick{100};
// For the workers of a job that was told to stop: they finish their step and save.
constexpr milliseconds kServeAfterStop{120'000};
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

// A folder that is used again must not give one job another's rows.
std::string job_folder(const PsServerOptions& options) {
  if (options.snapshot_directory.empty()) return "";
  std::string job = options.job_id.empty() ? "job" : options.job_id;
  std::ranges::replace(job, '/', '_');
  return options.snapshot_directory + "/" + job;
}

Greeting greet(const PsServerOptions& options) {
  return CoordinatorClient({.address = options.coordinator,
                            .secret = options.secret,
                            .encryption = options.encryption,
                            .job_id = options.job_id})
      .hello();
}

// What this server could go on from.
std::vector<Directory::Snapshot> find_snapshots(const PsServerOptions& options,
                                                const std::string& session) {
  std::vector<Directory::Snapshot> found;
  const std::string folder = job_folder(options);
  if (folder.empty()) return found;
  remove_other_snapshots(folder, session);
  for (int slot = 0; slot < options.servers; ++slot) {
    const std::string bundle = newest_snapshot(folder, slot);
    if (bundle.empty()) continue;
    const auto written = std::filesystem::last_write_time(io::index_path(bundle));
    found.push_back({.slot = slot,
                     .step = read_snapshot_head(bundle).step,
                     .age = std::chrono::duration_cast<milliseconds>(
                         std::filesystem::file_time_type::clock::now() - written)});
  }
  return found;
}

int64_t memory_limit(const PsServerOptions& options) {
  return options.memory_limit > 0 ? options.memory_limit : machine_memory() / 10 * 8;
}

}  // namespace

class PsServer::Impl {
 public:
  explicit Impl(PsServerOptions options);
  ~Impl();

  std::string address() const { return rpc_->address(); }
  std::string metrics_address() const { return metrics_->address(); }
  void run(const std::atomic<bool>& stop) EXCLUDES(mutex_);
  std::string status() const;

 private:
  void handle(Message message, std::unique_ptr<Responder> responder);
  void handle_entry(const Message& message, const Request& request,
                    const std::shared_ptr<Slot>& slot, const std::shared_ptr<Responder>& responder);
  void refuse(const Error& error, const RequestHeader& header, Responder* responder) const;

  void manage() EXCLUDES(mutex_);  // thread
  void fail(const Error& error) EXCLUDES(mutex_);
  ServerLoad load(bool with_tables) const;

  const PsServerOptions options_;
  MemoryBudget budget_;
  BufferPool buffers_;

  Mutex mutex_;
  ConditionVariable changed_;
  std::deque<ServerView> views_ GUARDED_BY(mutex_);
  std::optional<Error> ended_ GUARDED_BY(mutex_);
  bool over_ GUARDED_BY(mutex_) = false;  // the job is
  bool closing_ GUARDED_BY(mutex_) = false;

  // In the order in which they may end, from the last.
  std::unique_ptr<ShardThreads> threads_;
  Background background_;
  std::unique_ptr<SlotHosts> hosts_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<RpcServer> rpc_;
  std::unique_ptr<DirectoryClient> directory_;
  std::thread manager_;
};

PsServer::Impl::Impl(PsServerOptions options)
    : options_(std::move(options)),
      budget_(memory_limit(options_)),
      threads_(std::make_unique<ShardThreads>(thread_count(options_))) {
  hosts_ = std::make_unique<SlotHosts>(SlotHostsOptions{
      .server = options_.index,
      .incarnation = options_.incarnation,
      .secret = options_.secret,
      .encryption = options_.encryption,
      .job_id = options_.job_id,
      .snapshot_directory = job_folder(options_),
      .snapshot_interval = options_.snapshot_interval,
      .threads = *threads_,
      .budget = budget_,
      .buffers = buffers_,
      .background = background_,
      .in_sync =
          [this](int slot, int64_t epoch, uint64_t incarnation) {
            directory_->backup_is_in_sync(slot, epoch, incarnation);
          },
      .suspect = [this](int server) { directory_->suspect(server); },
      .shard_moved = [this](int64_t move,
                            const std::string& error) { directory_->shard_moved(move, error); },
      .state_is_lost = [this](
                           int slot, int64_t epoch,
                           const std::string& why) { directory_->state_is_lost(slot, epoch, why); },
      .lost_steps = [this](int slot, int64_t epoch,
                           int64_t steps) { directory_->lost_steps(slot, epoch, steps); },
      .failed = [this](const Error& error) { fail(error); },
      .ops = options_.ops});
  metrics_ =
      std::make_unique<Metrics>(options_.index, options_.metrics, [this] { return load(true); });
  RpcServerOptions rpc{.listen = options_.listen,
                       .secret = options_.secret,
                       .encryption = options_.encryption,
                       .job_id = options_.job_id,
                       .shared_memory = options_.shared_memory};
  rpc_ = make_rpc_server(rpc, [this](Message message, std::unique_ptr<Responder> responder) {
    handle(std::move(message), std::move(responder));
  });
  DirectoryClientOptions directory{.address = options_.coordinator,
                                   .secret = options_.secret,
                                   .encryption = options_.encryption,
                                   .job_id = options_.job_id,
                                   .is_server = true,
                                   .index = options_.index,
                                   .incarnation = options_.incarnation,
                                   .server_address = rpc_->address(),
                                   .host = options_.host,
                                   .shared_memory_host = rpc_->shared_memory_host(),
                                   .servers = options_.servers,
                                   .replicas = options_.replicas,
                                   .connect_timeout = options_.join_timeout,
                                   .stop_signal = options_.stop_signal};
  if (!options_.snapshot_directory.empty()) {
    directory.session = greet(options_).session;
    directory.snapshots = find_snapshots(options_, directory.session);
  }
  directory.on_view = [this](const ServerView& view) {
    MutexLock lock(mutex_);
    views_.push_back(view);
    changed_.notify_all();
  };
  directory.on_lost = [this](const Error& error) {
    if (error.code() == ErrorCode::kUnavailable) {
      return fail(Error(error.code(),
                        str_cat("parameter server ", options_.index, " has lost the directory of ",
                                "its job: ", error.what(), "; start it again while the job runs")));
    }
    if (error.code() != ErrorCode::kCancelled) return fail(error);
    MutexLock lock(mutex_);
    over_ = true;
    changed_.notify_all();
  };
  directory.on_begin_again = [this](const Error& error) { fail(error); };
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
  hosts_->resign();  // it calls the directory
  directory_.reset();
  rpc_.reset();
  hosts_->clear();  // their last work may still give some to the background
  background_.close();
  metrics_.reset();
  bool over = false;
  {
    MutexLock lock(mutex_);
    over = over_;
  }
  // Sessions end with their coordinator: nothing can go on from their snapshots.
  if (over && !options_.snapshot_directory.empty()) {
    remove_other_snapshots(job_folder(options_), "");
  }
}

// ---- requests, on the transport's threads

void PsServer::Impl::handle(Message message, std::unique_ptr<Responder> responder) {
  RequestHeader header;
  if (message.bytes.size() >= sizeof(header)) {
    std::memcpy(&header, message.bytes.data(), sizeof(header));
  }
  const auto kind = static_cast<uint32_t>(header.kind);
  if (kind >= 1 && kind <= 5) {
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
    const auto slot = hosts_->find(header.slot);
    if (header.kind == RequestKind::kEntry) {
      const std::shared_ptr<Responder> shared(std::move(responder));
      try {
        return handle_entry(message, *request, slot, shared);
      } catch (const Error& error) {
        return refuse(error, header, shared.get());
      }
    }
    if (header.kind == RequestKind::kMove) {
      const std::shared_ptr<Responder> shared(std::move(responder));
      try {
        if (slot != nullptr) {
          return hosts_->receive_move(slot, parse_entry(message, request->body), shared);
        }
      } catch (const Error& error) {
        return refuse(error, header, shared.get());
      }
      return shared->answer(plain_answer(AnswerCode::kWrongView, hosts_->view_number().load()));
    }
    // One that knows more than this server may know of another primary.
    if (slot == nullptr || header.view > hosts_->view_number().load()) {
      return responder->answer(plain_answer(AnswerCode::kWrongView, hosts_->view_number().load()));
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
             .view = hosts_->view_number(),
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
  if (responder != nullptr) responder->answer(error_answer(error, hosts_->view_number().load()));
}

void PsServer::Impl::handle_entry(const Message& message, const Request& request,
                                  const std::shared_ptr<Slot>& slot,
                                  const std::shared_ptr<Responder>& responder) {
  const int64_t view = hosts_->view_number().load();
  // The primary may hear of this backup before the backup does: it sends again.
  if (slot == nullptr) return responder->answer(plain_answer(AnswerCode::kNeedKeys, view));
  const ReceivedEntry entry = parse_entry(message, request.body);
  const auto taken = [this, responder] {
    const int64_t room = budget_.limit() - budget_.used() - budget_.reserved();
    responder->answer(plain_answer(AnswerCode::kOk, hosts_->view_number().load(), room));
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
      return responder->answer(plain_answer(AnswerCode::kWrongView, view, slot->attempt()));
  }
}

// ---- the manager's thread

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
      if (view) hosts_->follow(*view);
      if (Clock::now() >= next_tick) {
        hosts_->tick();
        next_tick = Clock::now() + kTick;
      }
    } catch (const Error& error) {
      fail(error);
    } catch (const std::exception& error) {
      fail(Error(ErrorCode::kResourceExhausted, error.what()));
    }
  }
}

// ---- what others see

void PsServer::Impl::fail(const Error& error) {
  MutexLock lock(mutex_);
  if (!ended_) ended_ = error;
  changed_.notify_all();
}

void PsServer::Impl::run(const std::atomic<bool>& stop) {
  std::optional<Clock::time_point> serve_until;
  MutexLock lock(mutex_);
  while (!over_ && !ended_) {
    if (stop.load()) {
      if (!serve_until) serve_until = Clock::now() + kServeAfterStop;
      if (directory_->workers() == 0 || Clock::now() >= *serve_until) break;
    }
    changed_.wait_until(mutex_, Clock::now() + kTick);
  }
  if (ended_) throw Error(*ended_);
}

ServerLoad PsServer::Impl::load(bool with_tables) const {
  ServerLoad load{.queue = threads_->queued(),
                  .table_bytes = budget_.used(),
                  .reserved_bytes = budget_.reserved(),
                  .limit_bytes = budget_.limit()};
  for (const auto& [index, present] : hosts_->all()) {
    const auto& slot = present.slot;
    SlotLoad& of = load.slots.emplace_back();
    of.slot = index;
    of.is_primary = slot->is_primary();
    of.step = slot->finished_step();
    of.staleness = slot->staleness();
    of.waiting_pulls = slot->waiting_pulls();
    of.backup_lag = present.backup_lag;
    const ShardSet shards = slot->shard_set();
    for_each_shard(shards, [&](int shard) {
      const ShardLoad& rows = slot->load(shard);
      of.shards.push_back({shard, rows.rows_pulled.load(), rows.rows_pushed.load()});
    });
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

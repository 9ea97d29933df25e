#include "ps/client/ps_client.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <future>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include "core/base/logging.h"
#include "core/io/atomic_file.h"
#include "distributed/coordination/directory.h"
#include "distributed/coordination/directory_client.h"
#include "proto/ps.pb.h"
#include "ps/client/activity.h"
#include "ps/client/control_calls.h"
#include "ps/client/key_set.h"
#include "ps/client/retrying_sender.h"
#include "ps/client/stop_watch.h"
#include "ps/client/transfers.h"
#include "ps/protocol/setup.h"

namespace trireme::ps {
namespace {

using std::chrono::milliseconds;

static_assert(kMaxServers == kMostVirtualShards && kMostShardsInSlot == kMostShardsOfSlot &&
                  directory_shards(64) == virtual_shards(64) &&
                  directory_shards(65) == virtual_shards(65),
              "the directory deals out all virtual shards");

// A slot that begins from a snapshot may take a while.
constexpr int kSetupPatience = 2;
// A server says who keeps it waiting before this side's own patience ends.
constexpr double kServerPatience = 0.9;

proto::Setup::Consistency to_proto(Consistency consistency) {
  switch (consistency) {
    case Consistency::kSync:
      return proto::Setup::SYNC;
    case Consistency::kBounded:
      return proto::Setup::BOUNDED;
    case Consistency::kAsync:
      break;
  }
  return proto::Setup::ASYNC;
}

proto::ControlRequest setup_request(const PsClientOptions& options) {
  proto::ControlRequest request;
  proto::Setup* setup = request.mutable_setup();
  for (const TableSpec& table : options.tables) to_proto(table, *setup->add_tables());
  setup->set_workers(options.workers);
  const int shards = virtual_shards(options.servers);
  if (shards != kVirtualShards) setup->set_shards(shards);
  setup->set_dense(to_proto(options.dense));
  setup->set_sparse(to_proto(options.sparse));
  setup->set_staleness(options.staleness);
  setup->set_backup_workers(options.backup_workers);
  setup->set_save_every_steps(options.save_every_steps);
  setup->set_steps_per_epoch(options.steps_per_epoch);
  setup->set_timeout_s(std::chrono::duration<double>(options.timeout).count() * kServerPatience);
  return request;
}

std::string manifest_of(const std::string& prefix) { return prefix + ".ps"; }

// Waits for what a function with a callback does.
template <typename Start>
void wait_for(Start start) {
  // Shared: whoever sets the value may still be at it when the wait is over.
  const auto promise = std::make_shared<std::promise<std::unique_ptr<Error>>>();
  start([promise](std::unique_ptr<Error> error) { promise->set_value(std::move(error)); });
  const auto error = promise->get_future().get();
  if (error != nullptr) throw Error(*error);
}

}  // namespace

class PsClient::Impl {
 public:
  explicit Impl(PsClientOptions options)
      : options_(std::move(options)),
        shards_(options_.tables, virtual_shards(options_.servers)),
        setup_(setup_request(options_)),
        directory_(directory_options()),
        view_(directory_.wait_for_view(1, options_.join_timeout)),
        full_sets_(options_.tables.size()) {
    start_sender();
    transfers_ = std::make_unique<Transfers>(options_, shards_, *sender_, slots());
    has_transfers_ = true;
    try {
      sender_->wait_until_ready(options_.timeout);
    } catch (...) {
      stop();
      throw;
    }
  }
  ~Impl() { stop(); }

  const PsClientOptions& options() const { return options_; }
  Transfers& transfers() { return *transfers_; }

  std::shared_ptr<const KeySet> prepare(int table, std::span<const int64_t> keys) const {
    return make_key_set(table, spec(table), keys, shards_, sender_->slot_of_shard());
  }

  std::shared_ptr<const KeySet> all_keys(int table) {
    MutexLock lock(mutex_);
    auto& set = full_sets_[static_cast<size_t>(table)];
    if (!spec(table).is_dense()) {
      throw invalid_argument("table \"", spec(table).name, "\" is sparse: it has no last key");
    }
    const std::vector<int> now = sender_->slot_of_shard();
    if (set == nullptr || !std::ranges::equal(set->slot_of_shard(), now)) {
      set = make_full_key_set(table, spec(table), shards_, now);
    }
    return set;
  }

  struct OpenSnapshot {
    Transfers::Snapshot cuts;
    int64_t step = 0;  // of all of them
  };
  OpenSnapshot snapshot(int64_t id) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const auto found = snapshots_.find(id);
    if (found == snapshots_.end()) throw invalid_argument("snapshot ", id, " is not open");
    return found->second;
  }

  int64_t last_step(int parts) {
    proto::ControlRequest request;
    request.mutable_last_sequence()->set_worker(options_.worker);
    const auto deadline = std::chrono::steady_clock::now() + options_.timeout;
    for (;;) {
      int64_t least = std::numeric_limits<int64_t>::max();
      ShardSet heard;
      for (const auto& answer : ask_all("asking for the last step", request, true)) {
        // Sequences do not begin at 1 when a job was resumed; the step is known then.
        const auto by_sequence = static_cast<int64_t>(answer.last_sequence()) / parts;
        least = std::min(least, std::max(by_sequence, answer.step()));
        heard |= unpack_shards(answer.shards(), shards_.shards());
      }
      if (heard == all_shards(shards_.shards())) return least;
      // A shard was asked for in each slot while it was in the other, and may have less than both.
      require_before(deadline, "the last step of a worker");
    }
  }

  int64_t newest_step(int parts) {
    int64_t most = 0;
    for (int worker = 0; worker < options_.workers; ++worker) {
      proto::ControlRequest request;
      request.mutable_last_sequence()->set_worker(worker);
      for (const auto& answer : ask_all("asking for the newest step", request, true)) {
        most =
            std::max({most, static_cast<int64_t>(answer.last_sequence()) / parts, answer.step()});
      }
    }
    return most;
  }

  bool is_trained() {
    proto::ControlRequest request;
    request.mutable_last_sequence()->set_worker(options_.worker);
    const auto answers = ask_all("asking whether the tables are in use", request, true);
    return std::ranges::any_of(answers, [](const auto& answer) { return answer.trained(); });
  }

  void assign(int table, std::span<const float> values, bool replace);

  int64_t open_snapshot(int64_t step, const std::function<bool()>& give_up) {
    proto::ControlRequest request;
    request.mutable_open_snapshot()->set_step(step);
    const auto deadline = std::chrono::steady_clock::now() + options_.timeout;
    for (;;) {
      OpenSnapshot snapshot{.step = step};
      const auto answers = ask_all("opening a snapshot", request, false, give_up);
      for (const auto& answer : answers) {
        snapshot.cuts.ids.push_back(answer.snapshot());
        if (step == 0) snapshot.step = std::max(snapshot.step, answer.step());
      }
      snapshot.cuts.slot_of_shard = slots_of(answers);
      if (!snapshot.cuts.slot_of_shard.empty()) {
        MutexLock lock(mutex_);
        snapshots_[++last_snapshot_] = std::move(snapshot);
        return last_snapshot_;
      }
      // A shard was on its way from one to the other meanwhile.
      close(snapshot.cuts.ids);
      require_before(deadline, "a snapshot");
    }
  }

  void close(const std::vector<int64_t>& ids) {
    ask_each("closing a snapshot", false, [&](int slot, proto::ControlRequest& request) {
      request.mutable_close_snapshot()->set_snapshot(ids[static_cast<size_t>(slot)]);
    });
  }

  void close_snapshot(int64_t snapshot) {
    close(this->snapshot(snapshot).cuts.ids);
    MutexLock lock(mutex_);
    snapshots_.erase(snapshot);
  }

  io::PartsManifest save_snapshot(int64_t snapshot, const std::string& prefix,
                                  int64_t changed_since) {
    const OpenSnapshot open = this->snapshot(snapshot);
    io::PartsManifest manifest{.step = open.step,
                               .job = options_.run.empty() ? options_.job_id : options_.run,
                               .save = io::make_save_id(),
                               .changed_since = changed_since};
    const auto answers =
        ask_each("saving a snapshot", false, [&](int slot, proto::ControlRequest& request) {
          proto::SaveSnapshot* save = request.mutable_save_snapshot();
          save->set_snapshot(open.cuts.ids[static_cast<size_t>(slot)]);
          save->set_prefix(prefix);
          save->set_changed_since(changed_since);
          save->set_step(manifest.step);
          save->set_job(manifest.job);
          save->set_save(manifest.save);
        });
    for (const auto& answer : answers) {
      manifest.rows += answer.rows_written();
      const proto::SnapshotPart& part = answer.part();
      manifest.parts.push_back({.name = part.name(),
                                .index = {part.index_bytes(), part.index_crc()},
                                .data = {part.data_bytes(), part.data_crc()}});
      require_part(prefix, manifest.parts.back(), static_cast<int>(manifest.parts.size()) - 1);
    }
    // Last of all: without it the rest is no checkpoint.
    io::write_file_atomically(manifest_of(prefix), io::format_manifest(manifest));
    io::read_manifest(manifest_of(prefix));
    return manifest;
  }

  io::PartsManifest save_checkpoint(int64_t step, const std::string& prefix,
                                    const std::function<bool()>& give_up) {
    for (const auto deadline = std::chrono::steady_clock::now() + options_.timeout;;) {
      const int64_t snapshot = open_snapshot(step, give_up);
      try {
        io::PartsManifest manifest = save_snapshot(snapshot, prefix, -1);
        close_snapshot(snapshot);
        return manifest;
      } catch (const Error& error) {
        // Another server has taken over, and does not know of the cut. This worker has not gone on:
        // the rows are at the same step there.
        const bool is_lost =
            error.code() == ErrorCode::kNotFound || error.code() == ErrorCode::kUnavailable;
        MutexLock lock(mutex_);
        snapshots_.erase(snapshot);
        if (!is_lost || std::chrono::steady_clock::now() > deadline) throw;
        log_warning(str_cat("the checkpoint of step ", step, " is begun again: ", error.what()));
      }
    }
  }

  void restore_snapshot(const std::string& prefix, int64_t step) {
    const std::string path = manifest_of(prefix);
    if (!std::filesystem::exists(path)) {
      throw not_found(prefix, " has no rows of parameter servers: expected ", path,
                      ", which is written when all of them are there");
    }
    const io::PartsManifest manifest = io::read_manifest(path);
    proto::ControlRequest request;
    request.mutable_restore_snapshot()->set_prefix(prefix);
    request.mutable_restore_snapshot()->set_step(step < 0 ? manifest.step : step);
    const auto deadline = std::chrono::steady_clock::now() + options_.timeout;
    // Again, when a shard was on its way from one to the other meanwhile.
    while (slots_of(ask_all("restoring a snapshot", request, false)).empty()) {
      require_before(deadline, "a checkpoint that is restored");
    }
  }

  void clear() {
    proto::ControlRequest request;
    request.mutable_restore_snapshot();
    ask_all("clearing the tables", request, true);
  }

  void evict() {
    proto::ControlRequest request;
    request.mutable_evict();
    ask_all("evicting rows", request, true);
  }

  Activity& activity() { return activity_; }

  void sum(const std::string& name, std::span<double> values) {
    const Activity::Call call(activity_);
    directory_.sum(name, options_.workers, values, options_.timeout, [&]() -> std::optional<Error> {
      const StopState state = stop_.state();
      const std::string why = StopWatch::why_in_vain(state);
      if (why.empty()) return std::nullopt;
      return StopWatch::error(state, str_cat("the sum \"", name, "\" of all workers"), why);
    });
  }

  // Nobody wants what is still under way.
  void end_calls() {
    sender_->fail({ErrorCode::kCancelled, "the training with these servers has ended"});
  }

  void tell_lost_steps(int64_t steps) { directory_.lost_steps(-1, 0, steps); }

  std::string status();

 private:
  // The slot that has each virtual shard, by what each of them says that it has; empty: there is
  // one that is in none of them, or in two.
  std::vector<int> slots_of(const std::vector<proto::ControlAnswer>& answers) const {
    std::vector<int> slot_of_shard(static_cast<size_t>(shards_.shards()), -1);
    for (size_t slot = 0; slot < answers.size(); ++slot) {
      const ShardSet shards = unpack_shards(answers[slot].shards(), shards_.shards());
      for (size_t shard = 0; shard < slot_of_shard.size(); ++shard) {
        if (!shards[shard]) continue;
        if (slot_of_shard[shard] >= 0) return {};
        slot_of_shard[shard] = static_cast<int>(slot);
      }
    }
    if (std::ranges::find(slot_of_shard, -1) != slot_of_shard.end()) return {};
    return slot_of_shard;
  }
  void require_before(std::chrono::steady_clock::time_point deadline,
                      const std::string& what) const {
    if (std::chrono::steady_clock::now() < deadline) return;
    throw Error(ErrorCode::kDeadlineExceeded,
                str_cat("virtual shards have been moving for ", options_.timeout.count() / 1000.0,
                        " s: ", what, " would not have each of them once"));
  }

  // What a slot wrote on its host is a part of the checkpoint when it is there for others, too.
  static void require_part(const std::string& prefix, const io::CheckpointPart& part, int slot) {
    try {
      io::verify_part(io::directory_of(prefix), part, false);
    } catch (const Error& error) {
      throw failed("slot ", slot, " has written its part of the checkpoint, and worker 0 does not ",
                   "find it: ", error.what(),
                   "; all servers and worker 0 need the same folder under the same name, a shared "
                   "file system");
    }
  }

  int slots() const { return static_cast<int>(view_.slots.size()); }
  const TableSpec& spec(int table) const {
    TRIREME_CHECK(table >= 0 && static_cast<size_t>(table) < options_.tables.size(), "table ",
                  table);
    return options_.tables[static_cast<size_t>(table)];
  }

  // With a group: always getting on, so that only its silence tells.
  WorkerState state() {
    if (options_.has_group) activity_.note();
    return {.progress = activity_.progress(),
            .waiting = options_.has_group ? std::chrono::milliseconds(0) : activity_.waiting()};
  }

  DirectoryClientOptions directory_options() {
    return {.address = options_.coordinator,
            .secret = options_.secret,
            .encryption = options_.encryption,
            .job_id = options_.job_id,
            .index = options_.worker,
            .incarnation = options_.incarnation,
            .servers = options_.servers,
            .replicas = options_.replicas,
            .step = [this] { return has_transfers_ ? transfers_->acknowledged_step() : 0; },
            .connect_timeout = options_.join_timeout,
            .patience = options_.timeout,
            .stop_signal = options_.stop_signal,
            .state = [this] { return state(); },
            .on_view =
                [this](const ServerView& view) {
                  MutexLock lock(view_mutex_);
                  if (sender_ != nullptr) sender_->set_view(view);
                },
            .on_lost =
                [this](const Error& error) {
                  MutexLock lock(view_mutex_);
                  // For a worker that works it is no end of the job.
                  const bool is_over = error.code() == ErrorCode::kCancelled;
                  lost_ = is_over ? Error(ErrorCode::kUnavailable, error.what()) : error;
                  if (sender_ != nullptr) sender_->fail(*lost_);
                }};
  }

  void start_sender() {
    ServerLinkOptions options;
    options.secret = options_.secret;
    options.encryption = options_.encryption;
    options.job_id = options_.job_id;
    options.shared_memory = options_.shared_memory;
    options.connections = options_.connections;
    options.setup_timeout = kSetupPatience * options_.resend_after;
    if (options_.connect) options.connect = options_.connect;
    options.make_setup = [this](int slot, const Destination& destination) {
      // One that comes back from a snapshot hears at once for which pushes it need not wait: this
      // worker may be waiting for the others, and have nothing to pull or push.
      return control_message(options_, slot, destination, setup_,
                             has_transfers_ ? transfers_->acknowledged_step() : 0);
    };
    options.on_setup = [this](int slot, const SlotEntry& entry, const Message& answer) {
      note_setup(slot, entry, answer);
    };
    options.suspect = [this](int server) { directory_.suspect(server); };
    options.make_probe = [this](int slot, const Destination& destination) {
      proto::ControlRequest request;
      request.mutable_load();
      return control_message(options_, slot, destination, request);
    };
    if (static_cast<int>(view_.slot_of_shard.size()) != shards_.shards()) {
      throw data_loss("the coordinator has sent a view of ", view_.slot_of_shard.size(),
                      " virtual shards, expected ", shards_.shards());
    }
    MutexLock lock(view_mutex_);
    sender_ = std::make_unique<RetryingSender>(
        std::move(options), [this] { return stop_.state(); }, view_);
    sender_->set_view(directory_.view());  // what came since
    if (lost_) sender_->fail(*lost_);
  }

  // Views come as long as the directory's client lives, which is longer.
  void stop() {
    std::unique_ptr<RetryingSender> sender;
    {
      MutexLock lock(view_mutex_);
      sender = std::move(sender_);
    }
  }

  // Says once what was lost when a slot had to begin from a snapshot.
  void note_setup(int slot, const SlotEntry& entry, const Message& message) {
    if (!entry.restore || !has_transfers_) return;
    const int64_t had = transfers_->acknowledged_step(slot);
    const int64_t has = control_answer(message).worker_step();
    if (has >= had) return;
    log_warning(str_cat("slot ", slot,
                        " had no other copy when its server died: it goes on from "
                        "step ",
                        has, " of its last snapshot; ", had - has,
                        " steps of this worker are lost there"));
  }

  std::vector<proto::ControlAnswer> ask_all(const std::string& what,
                                            const proto::ControlRequest& request,
                                            bool is_repeatable,
                                            const std::function<bool()>& give_up = nullptr) {
    std::vector<ControlCall> calls;
    for (int slot = 0; slot < slots(); ++slot) calls.push_back({.slot = slot, .request = &request});
    const Activity::Call call(activity_);
    return ask(*sender_, options_, what, calls, is_repeatable, give_up);
  }
  template <typename Fill>
  std::vector<proto::ControlAnswer> ask_each(const std::string& what, bool is_repeatable,
                                             Fill fill) {
    std::vector<proto::ControlRequest> requests(static_cast<size_t>(slots()));
    std::vector<ControlCall> calls;
    for (int slot = 0; slot < slots(); ++slot) {
      proto::ControlRequest& request = requests[static_cast<size_t>(slot)];
      fill(slot, request);
      calls.push_back({.slot = slot, .request = &request});
    }
    const Activity::Call call(activity_);
    return ask(*sender_, options_, what, calls, is_repeatable);
  }

  const PsClientOptions options_;
  Activity activity_;
  StopWatch stop_{options_.stop_signal, [this] { return directory_.workers() < options_.workers; }};
  const ShardMap shards_;
  const proto::ControlRequest setup_;
  Mutex view_mutex_;  // guards whether there is a sender for the directory's thread
  std::optional<Error> lost_ GUARDED_BY(view_mutex_);
  std::unique_ptr<RetryingSender> sender_;
  std::unique_ptr<Transfers> transfers_;
  std::atomic<bool> has_transfers_{false};
  DirectoryClient directory_;
  const ServerView view_;  // the first: how many slots there are

  Mutex mutex_;
  std::vector<std::shared_ptr<const KeySet>> full_sets_ GUARDED_BY(mutex_);
  std::map<int64_t, OpenSnapshot> snapshots_ GUARDED_BY(mutex_);
  int64_t last_snapshot_ GUARDED_BY(mutex_) = 0;
};

void PsClient::Impl::assign(int table, std::span<const float> values, bool replace) {
  constexpr int64_t kMostBytes = 16 << 20;  // a message
  const std::shared_ptr<const KeySet> set = all_keys(table);
  const TableSpec& table_spec = spec(table);
  const auto given = static_cast<int64_t>(values.size());
  if (given != table_spec.elements && given != table_spec.rows * table_spec.dim) {
    throw invalid_argument("table \"", table_spec.name, "\": expected ", table_spec.elements,
                           " values, found ", values.size());
  }
  std::vector<float> padded(values.begin(), values.end());
  padded.resize(static_cast<size_t>(table_spec.rows * table_spec.dim));
  const int64_t dim = table_spec.dim;
  const int64_t chunk =
      std::max<int64_t>(1, kMostBytes / (dim * static_cast<int64_t>(sizeof(float))));
  std::vector<proto::ControlRequest> requests;
  std::vector<int> slots;
  std::vector<ShardSet> shards;
  for (const SlotKeys& keys : set->slots()) {
    std::vector<float> rows(static_cast<size_t>(keys.count() * dim));
    set->gather(keys, padded.data(), rows.data());
    for (int64_t begin = 0; begin < keys.count(); begin += chunk) {
      const int64_t count = std::min(chunk, keys.count() - begin);
      slots.push_back(keys.slot);
      proto::Assign* assign = requests.emplace_back().mutable_assign();
      assign->set_table(table);
      assign->mutable_keys()->Add(keys.keys.begin() + begin, keys.keys.begin() + begin + count);
      assign->set_rows(rows.data() + begin * dim, static_cast<size_t>(count * dim) * sizeof(float));
      assign->set_replace(replace);
      ShardSet& touched = shards.emplace_back();
      for (const int64_t key : assign->keys()) {
        touched.set(static_cast<size_t>(shards_.shard_of(table, key)));
      }
    }
  }
  std::vector<ControlCall> calls;
  for (size_t i = 0; i < requests.size(); ++i) {
    calls.push_back({.slot = slots[i], .request = &requests[i], .shards = shards[i]});
  }
  try {
    ask(*sender_, options_, str_cat("assigning table \"", table_spec.name, "\""), calls, true);
  } catch (const Error&) {
    if (std::ranges::equal(set->slot_of_shard(), sender_->slot_of_shard())) throw;
    // Shards have moved: once more where they are now, which changes nothing that is done already.
    assign(table, values, replace);
  }
}

std::string PsClient::Impl::status() {
  proto::ControlRequest request;
  request.mutable_status();
  struct Total {
    int64_t rows = 0, bytes = 0, waiting = 0, evicted = 0;
  };
  std::map<std::string, Total> totals;
  for (const auto& answer : ask_all("asking for the status", request, true)) {
    for (const auto& table : answer.tables()) {
      Total& total = totals[table.name()];
      total.rows += table.rows();
      total.bytes += table.bytes();
      total.waiting += table.waiting();
      total.evicted += table.evicted();
    }
  }
  std::ostringstream out;
  for (const auto& [name, total] : totals) {
    out << name << ": " << total.rows << " rows, " << total.bytes << " bytes";
    if (total.waiting > 0) out << ", " << total.waiting << " keys wait to be admitted";
    if (total.evicted > 0) out << ", " << total.evicted << " evicted";
    out << "\n";
  }
  out << describe(directory_.view());
  return out.str();
}

PsClient::PsClient(PsClientOptions options) {
  if (options.cache_staleness > 0 && options.sparse == Consistency::kSync) {
    throw invalid_argument(
        "cached rows would be older than sync consistency allows: use bounded or "
        "async, or no cache");
  }
  impl_ = std::make_unique<Impl>(std::move(options));
}
PsClient::~PsClient() = default;

const PsClientOptions& PsClient::options() const { return impl_->options(); }
const std::vector<TableSpec>& PsClient::tables() const { return impl_->options().tables; }

std::shared_ptr<const KeySet> PsClient::prepare(int table, std::span<const int64_t> keys) {
  return impl_->prepare(table, keys);
}
std::shared_ptr<const KeySet> PsClient::all_keys(int table) { return impl_->all_keys(table); }

void PsClient::pull(int64_t step, std::span<const TableKeys> tables, std::span<float* const> rows,
                    int64_t snapshot) {
  wait_for([&](auto done) { pull_async(step, tables, rows, std::move(done), snapshot); });
}
void PsClient::pull_async(int64_t step, std::span<const TableKeys> tables,
                          std::span<float* const> rows,
                          std::function<void(std::unique_ptr<Error>)> done, int64_t snapshot) {
  done = impl_->activity().watched(std::move(done));
  if (snapshot == 0) {
    impl_->transfers().pull(step, tables, rows, nullptr, std::move(done));
  } else {
    const Transfers::Snapshot open = impl_->snapshot(snapshot).cuts;
    impl_->transfers().pull(step, tables, rows, &open, std::move(done));
  }
}

void PsClient::push(int64_t step, int part, int parts, double learning_rate,
                    std::span<const TableGradients> tables) {
  wait_for(
      [&](auto done) { push_async(step, part, parts, learning_rate, tables, std::move(done)); });
}
void PsClient::push_async(int64_t step, int part, int parts, double learning_rate,
                          std::span<const TableGradients> tables,
                          std::function<void(std::unique_ptr<Error>)> done) {
  done = impl_->activity().watched(std::move(done));
  impl_->transfers().push(step, part, parts, learning_rate, tables, std::move(done));
}
int64_t PsClient::dropped_pushes() const { return impl_->transfers().dropped_pushes(); }

int64_t PsClient::last_step(int parts) { return impl_->last_step(parts); }
int64_t PsClient::newest_step(int parts) { return impl_->newest_step(parts); }
bool PsClient::is_trained() { return impl_->is_trained(); }
void PsClient::assign(int table, std::span<const float> values, bool replace) {
  impl_->assign(table, values, replace);
}

int64_t PsClient::open_snapshot(int64_t step, const std::function<bool()>& give_up) {
  return impl_->open_snapshot(step, give_up);
}
void PsClient::close_snapshot(int64_t snapshot) { impl_->close_snapshot(snapshot); }
io::PartsManifest PsClient::save_snapshot(int64_t snapshot, const std::string& prefix,
                                          int64_t changed_since) {
  return impl_->save_snapshot(snapshot, prefix, changed_since);
}
io::PartsManifest PsClient::save_checkpoint(int64_t step, const std::string& prefix,
                                            const std::function<bool()>& give_up) {
  return impl_->save_checkpoint(step, prefix, give_up);
}
void PsClient::restore_snapshot(const std::string& prefix, int64_t step) {
  impl_->restore_snapshot(prefix, step);
}
void PsClient::clear() { impl_->clear(); }
void PsClient::evict() { impl_->evict(); }

void PsClient::sum(const std::string& name, std::span<double> values) { impl_->sum(name, values); }
void PsClient::end_calls() { impl_->end_calls(); }
void PsClient::tell_lost_steps(int64_t steps) { impl_->tell_lost_steps(steps); }
void PsClient::note_progress() { impl_->activity().note(); }
std::string PsClient::status() const { return impl_->status(); }

}  // namespace trireme::ps

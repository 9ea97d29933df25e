#include "worker/server_training.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/ops/ops.h"
#include "proto/job.pb.h"
#include "worker/rows_checkpoint.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

ps::Consistency consistency(job::Consistency value) {
  switch (value) {
    case job::BOUNDED:
      return ps::Consistency::kBounded;
    case job::ASYNC:
      return ps::Consistency::kAsync;
    default:
      return ps::Consistency::kSync;
  }
}

ps::RowType row_type(job::RowType value) {
  switch (value) {
    case job::ROW_BF16:
      return ps::RowType::kBFloat16;
    case job::ROW_F16:
      return ps::RowType::kFloat16;
    case job::ROW_INT8:
      return ps::RowType::kInt8;
    default:
      return ps::RowType::kFloat32;
  }
}

ps::PsClientOptions client_options(const Task& task, const ServerTrainingOptions& options) {
  const job::ParameterServers& job = task.file.job().parameter_servers();
  ps::PsClientOptions client{.coordinator = task.cluster.coordinator,
                             .secret = task.cluster.secret,
                             .job_id = task.cluster.job_id,
                             .worker = task.cluster.rank,
                             .workers = task.cluster.world_size,
                             .incarnation = options.incarnation + 1,
                             .servers = task.cluster.parameter_servers,
                             .replicas = task.cluster.ps_replicas,
                             .dense = consistency(job.dense()),
                             .sparse = consistency(job.sparse()),
                             .staleness = job.staleness(),
                             .backup_workers = job.backup_workers(),
                             .push_type = row_type(job.push_rows()),
                             .pull_type = row_type(job.pull_rows()),
                             .shared_memory = !job.no_shared_memory(),
                             .cache_staleness = job.cache_staleness()};
  if (job.connections() > 0) client.connections = job.connections();
  const double join_timeout_s = task.file.job().distributed().join_timeout_s();
  if (join_timeout_s > 0) {
    client.join_timeout = milliseconds(static_cast<int64_t>(join_timeout_s * 1000));
  }
  if (job.timeout_s() > 0) {
    client.timeout = milliseconds(static_cast<int64_t>(job.timeout_s() * 1000));
  }
  return client;
}

// A layer's policy for its table; a table is called "LAYER/…".
void set_policy(const job::Job& job, ps::TableSpec& table) {
  const std::string layer = table.name.substr(0, table.name.find('/'));
  for (const job::Layer& candidate : job.model().layers()) {
    if (candidate.name() != layer || !candidate.has_embedding()) continue;
    const job::TablePolicy& policy = candidate.embedding().table();
    if (policy.admit_after() > 0) table.admission.after = policy.admit_after();
    if (policy.admit_probability() > 0) table.admission.probability = policy.admit_probability();
    table.eviction = {.max_age = policy.evict_max_age(),
                      .min_frequency = policy.evict_min_frequency(),
                      .max_rows = policy.evict_max_rows()};
  }
}

constexpr std::chrono::hours kEpochPatience{1};

}  // namespace

ServerTraining::ServerTraining(Task& task, ServerTrainingOptions options)
    : task_(task), options_(std::move(options)) {
  for (const auto& node : task.model->graph().nodes()) {
    if (node->op().name == "PsPush") ++parts_;
  }
  ps::PsClientOptions client = client_options(task, options_);
  client.tables = make_tables();
  client.stop_signal = options_.stop_signal;
  client.has_group = task_.strategy_kind == StrategyKind::kHybrid;
  if (client.tables.empty()) {
    throw invalid_argument(
        task.file.where("strategy"),
        "strategy HYBRID: the model has no embedding, so nothing would be on the "
        "parameter servers; use MULTI_WORKER");
  }
  client_ = std::make_shared<ps::PsClient>(std::move(client));
  store_ = std::make_shared<ps::ClientStore>(client_);
  task_.tables->set(store_);
}

// Where rows may be a step old, those of the next batch come while this one is computed.
void ServerTraining::prefetch_rows(nn::FitOptions& fit) {
  const job::ParameterServers& job = task_.file.job().parameter_servers();
  if (job.sparse() == job::SYNC || job.no_prefetch()) return;
  Node* pull = nullptr;
  for (const auto& node : task_.model->graph().nodes()) {
    if (node->op().name == "PsPull") pull = node.get();
  }
  if (pull == nullptr || pull->attribute<Ints>("dims").empty()) return;
  const size_t lists = pull->attribute<Ints>("dims").size();
  std::istringstream names(pull->attribute<std::string>("tables"));
  std::vector<Value> keys;
  for (std::string name; key_tables_.size() < lists && std::getline(names, name);) {
    key_tables_.push_back(ps::table_index(store_->tables(), name));
    keys.push_back(ops::cast(pull->input(static_cast<int>(keys.size()) + 1), DType::kInt64));
  }
  const auto& features = task_.model->train_graph().forward.features;
  next_keys_ = task_.model->session().function(features, std::move(keys));
  fit.peek = [this, count = features.size()](int64_t step, const data::Element& batch) {
    next_keys_->run(std::span(batch).first(count), keys_);
    std::vector<ps::ClientStore::KeyList> wanted;
    for (size_t i = 0; i < keys_.size(); ++i) {
      wanted.push_back({key_tables_[i], keys_[i].flat<int64_t>()});
    }
    store_->prefetch(step, wanted);
  };
}

ServerTraining::~ServerTraining() { task_.tables->set(nullptr); }

std::vector<ps::TableSpec> ServerTraining::make_tables() const {
  const nn::Model& model = *task_.model;
  const nn::Optimizer& optimizer = *model.compiled().optimizer;
  auto tables = task_.training_tables.embeddings(optimizer, model.options().seed);
  for (ps::TableSpec& table : tables) set_policy(task_.file.job(), table);
  if (task_.strategy_kind == StrategyKind::kParameterServer) {
    auto dense = ps::TrainingTables::variables(model.variables(), optimizer, kVotesTable);
    std::ranges::move(dense, std::back_inserter(tables));
  }
  return tables;
}

void ServerTraining::begin(nn::FitOptions& fit) {
  const int rank = task_.cluster.rank;
  const int64_t last = client_->last_step(parts_);
  nn::TrainPlace place;
  // One that comes back into the middle of it has met the others before.
  if (options_.incarnation == 0 || last == 0) {
    compare_jobs();
    place = agree_on_start(fit);
    if (rank == 0) {
      if (place.step > last) {
        restore();
      } else if (place.step == 0) {
        assign_variables();
      }
    }
    meet("the tables are ready");
  }
  if (last > place.step) place = place_behind(last);
  if (fit.resume) {
    const nn::TrainProgress saved = nn::load_progress(*fit.resume);
    if (saved.step == place.step) place = {saved.step, saved.epoch, saved.epoch_step};
  }
  // Rank 0's checkpoint has the sums of all workers in the epoch so far: they must count once.
  const bool has_sums = fit.resume && rank == 0 && last <= place.step && options_.incarnation == 0;
  if (!has_sums && (place.step > 0 || fit.resume)) fit.place = place;
  store_->set_pushed(place.step);
  log_info(str_cat("worker ", rank, " goes on behind step ", place.step));

  if (task_.file.job().parameter_servers().dense() == job::BOUNDED) {
    fit.steps_after_vote = task_.file.job().parameter_servers().staleness() + 1;
  }
  prefetch_rows(fit);
  fit.refresh = [this] { refresh(); };
  fit.leave_epoch = [this](int64_t epoch, bool stopping, std::span<double> sums) {
    return leave_epoch(epoch, stopping, sums);
  };
  fit.reduce_sums = [this](std::span<double> sums) {
    sum(str_cat("validation of epoch ", epoch_ + 1), sums);
  };
}

void ServerTraining::begin_rows(nn::FitOptions& fit) {
  std::vector<double> steps(static_cast<size_t>(task_.cluster.world_size), 0.0);
  const auto mine = static_cast<size_t>(task_.cluster.rank);
  if (!options_.resumed.empty() && fit.resume) {
    steps[mine] = static_cast<double>(nn::load_progress(*fit.resume).step);
  }
  sum("the steps of the checkpoints", steps);
  const auto most = std::ranges::max_element(steps);
  const bool restores = static_cast<size_t>(most - steps.begin()) == mine && *most > 0;
  if (restores && static_cast<double>(client_->last_step(parts_)) < *most) restore();
  meet("the tables are ready");
  prefetch_rows(fit);
}

void ServerTraining::catch_up(int64_t done) {
  for (int64_t step = client_->last_step(parts_) + 1; step <= done; ++step) {
    log_warning(str_cat("step ", step, ": this worker's gradients of rows are lost"));
    for (int part = 0; part < parts_; ++part) client_->push(step, part, parts_, 0, {});
  }
  store_->set_pushed(done);
}

// Each worker's fingerprint in its own place, in halves that a double keeps exactly.
void ServerTraining::compare_jobs() {
  const auto workers = static_cast<size_t>(task_.cluster.world_size);
  const auto mine = static_cast<size_t>(task_.cluster.rank);
  std::vector<double> halves(2 * workers, 0.0);
  halves[2 * mine] = static_cast<double>(options_.fingerprint >> 32);
  halves[2 * mine + 1] = static_cast<double>(options_.fingerprint & 0xffffffffU);
  sum("the fingerprints of the jobs", halves);
  for (size_t worker = 0; worker < workers; ++worker) {
    if (halves[2 * worker] == halves[0] && halves[2 * worker + 1] == halves[1]) continue;
    throw invalid_argument("worker ", worker,
                           " runs another job than worker 0: all workers must have the same job "
                           "file and the same program");
  }
}

// Where rank 0's checkpoint ends; it may be on its host only.
nn::TrainPlace ServerTraining::agree_on_start(const nn::FitOptions& fit) {
  std::vector<double> place(3, 0.0);
  if (task_.cluster.rank == 0 && !options_.resumed.empty() && fit.resume) {
    const nn::TrainProgress progress = nn::load_progress(*fit.resume);
    place = {static_cast<double>(progress.step), static_cast<double>(progress.epoch),
             static_cast<double>(progress.epoch_step)};
  }
  sum("the place of the checkpoint", place);
  return {static_cast<int64_t>(place[0]), static_cast<int64_t>(place[1]),
          static_cast<int64_t>(place[2])};
}

// At the end of an epoch that epoch is still to be left: others may wait for it.
nn::TrainPlace ServerTraining::place_behind(int64_t step) const {
  const int64_t epoch = (step - 1) / task_.steps_per_epoch;
  return {step, epoch, step - epoch * task_.steps_per_epoch};
}

void ServerTraining::restore() {
  const std::string rows = rows_prefix(options_.resumed);
  if (!has_rows(options_.resumed)) {
    throw not_found("--resume: ", options_.resumed,
                    " was saved without parameter servers: there is no ", rows,
                    ".ps with the rows of its tables");
  }
  client_->restore_snapshot(rows);
  // Those who voted have stopped.
  const auto& tables = store_->tables();
  for (size_t i = 0; i < tables.size(); ++i) {
    const float none = 0;
    if (tables[i].name == kVotesTable) client_->assign(static_cast<int>(i), {&none, 1}, true);
  }
}

void ServerTraining::assign_variables() {
  const auto& tables = store_->tables();
  for (size_t i = 0; i < tables.size(); ++i) {
    const ps::TableSpec& table = tables[i];
    if (!table.is_dense()) continue;
    const Tensor value = table.name == kVotesTable
                             ? Tensor::zeros(DType::kFloat32, {1})
                             : task_.model->session().variables().get(table.name);
    client_->assign(static_cast<int>(i), value.flat<float>());
  }
}

void ServerTraining::refresh() {
  const auto& tables = store_->tables();
  std::vector<std::pair<std::string, Tensor>> values;
  std::vector<ps::TableRows<float>> rows;
  for (size_t i = 0; i < tables.size(); ++i) {
    if (!tables[i].is_dense() || tables[i].name == kVotesTable) continue;
    const nn::VariableSpec* variable = task_.model->variables().find(tables[i].name);
    Tensor value(DType::kFloat32, variable->value.shape());
    rows.push_back({static_cast<int>(i), {}, value.flat<float>().data()});
    values.emplace_back(tables[i].name, std::move(value));
  }
  store_->pull(0, rows);
  for (const auto& [name, value] : values) task_.model->session().variables().set(name, value);
}

bool ServerTraining::leave_epoch(int64_t epoch, bool stopping, std::span<double> sums) {
  std::vector<double> values(sums.begin(), sums.end());
  values.push_back(stopping ? 1 : 0);
  sum(str_cat("training of epoch ", epoch + 1), values);
  std::copy_n(values.begin(), sums.size(), sums.begin());
  epoch_ = epoch;
  return values.back() > 0;
}

void ServerTraining::save(int64_t step) {
  const std::string prefix =
      rows_prefix((fs::absolute(options_.checkpoints) / str_cat("ckpt-", step)).string());
  fs::create_directories(fs::path(prefix).parent_path());
  int64_t written = 0;
  try {
    const int64_t snapshot = client_->open_snapshot();
    written = client_->save_snapshot(snapshot, prefix);
    client_->close_snapshot(snapshot);
  } catch (const Error& error) {
    fault_ = error;
    throw;
  }
  log_info(str_cat("saved ", written, " rows in ", prefix));
}

void ServerTraining::forget(std::span<const io::CheckpointInfo> kept) const {
  std::error_code error;
  const fs::path folder = fs::path(rows_prefix(options_.checkpoints + "/")).parent_path();
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename();
    const bool wanted = std::ranges::any_of(kept, [&](const io::CheckpointInfo& info) {
      return name.starts_with(fs::path(info.prefix).filename().string() + ".");
    });
    if (!wanted && name.starts_with("ckpt-")) fs::remove(entry.path(), error);
  }
}

bool ServerTraining::finish(bool yes) {
  double said = yes ? 1 : 0;
  sum("the end of the training", {&said, 1});
  return said > 0;
}

// The slowest worker may be far behind where workers do not wait for each other's steps.
void ServerTraining::sum(const std::string& name, std::span<double> values) {
  for (const auto begin = std::chrono::steady_clock::now();;) {
    try {
      return client_->sum(name, values);
    } catch (const Error& error) {
      const bool is_late = error.code() == ErrorCode::kDeadlineExceeded;
      if (!is_late || std::chrono::steady_clock::now() > begin + kEpochPatience) throw;
      log_warning(str_cat("still waiting: ", error.what()));
    }
  }
}

void ServerTraining::meet(const std::string& name) {
  double nothing = 0;
  sum(name, {&nothing, 1});
}

std::string ServerTraining::describe() const { return client_->status(); }

}  // namespace trireme

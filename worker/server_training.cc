#include "worker/server_training.h"

#include <algorithm>
#include <chrono>

#include "core/base/activity.h"
#include "core/base/error.h"
#include "core/base/logging.h"
#include "distributed/strategy/votes_table.h"
#include "proto/job.pb.h"
#include "worker/compare_jobs.h"
#include "worker/ps_client_options.h"
#include "worker/rows_checkpoint.h"

namespace trireme {
namespace {

constexpr std::chrono::hours kEpochPatience{1};

}  // namespace

ServerTraining::ServerTraining(Task& task, ServerTrainingOptions options)
    : task_(task), options_(std::move(options)) {
  for (const auto& node : task.model->graph().nodes()) {
    if (node->op().name == "PsPush") ++parts_;
  }
  ps::PsClientOptions client = ps_client_options(task, options_.incarnation, options_.saves);
  client.tables = make_tables();
  client.stop_signal = options_.stop_signal;
  if (client.tables.empty()) {
    throw invalid_argument(
        task.file.where("strategy"), "strategy ", task.strategy_def->name,
        ": the model has no embedding, so nothing would be on the parameter servers; use "
        "multi_worker");
  }
  client_ = std::make_shared<ps::PsClient>(std::move(client));
  store_ = std::make_shared<ps::ClientStore>(client_);
  saver_ = std::make_unique<RowsSaver>(client_, options_.checkpoints, options_.interrupted);
  task_.tables->set(store_);
}

void ServerTraining::prepare_prefetch() {
  const job::ParameterServers& job = task_.file.job().parameter_servers();
  if (job.sparse() == job::SYNC || job.no_prefetch()) return;
  prefetch_ = RowPrefetch::make(*task_.model, store_);
}

data::Dataset ServerTraining::noting_progress(const data::Dataset& batches) {
  return batches.map([this](data::Element&, const auto&) { note_progress(); }, {.threads = 0});
}

int64_t ServerTraining::steps_after_vote() const {
  const job::ParameterServers& job = task_.file.job().parameter_servers();
  return job.dense() == job::BOUNDED ? job.staleness() + 1 : 0;
}

ServerTraining::~ServerTraining() { task_.tables->set(nullptr); }

std::vector<ps::TableSpec> ServerTraining::make_tables() const {
  const nn::Model& model = *task_.model;
  const nn::Optimizer& optimizer = *model.compiled().optimizer;
  auto tables = task_.training_tables.embeddings(optimizer, model.options().seed);
  if (task_.strategy_def->variables_on_servers) {
    auto dense = ps::TrainingTables::variables(model.variables(), optimizer, kVotesTable);
    std::ranges::move(dense, std::back_inserter(tables));
  }
  return tables;
}

void ServerTraining::begin(nn::FitOptions& fit, const std::string& resumed) {
  const int rank = task_.cluster.rank;
  const bool first_start = options_.incarnation == 0;
  // Before the servers are set up: they would refuse another job too, but know less of it.
  if (first_start) compare();
  const int64_t last = client_->last_step(parts_);
  nn::TrainPlace place;
  // One that comes back into the middle of it has met the others before.
  const bool trained = client_->is_trained();
  const bool begins = first_start || !trained;
  if (begins) {
    if (!first_start) compare();
    place = agree_on_start(fit, resumed);
    if (rank == 0) {
      if (place.step > last || (place.step > 0 && !trained)) {
        restore(resumed);
      } else if (place.step == 0) {
        assign_variables();
      }
    }
    meet("the tables are ready");
    if (rank == 0) tell_lost_steps(place.step);
  }
  if (last > place.step) place = place_behind(last);
  if (fit.resume) {
    const nn::TrainProgress saved = nn::load_progress(*fit.resume);
    if (saved.step == place.step) place = {saved.step, saved.epoch, saved.epoch_step};
  }
  // Rank 0's checkpoint has the sums of all workers in the epoch so far: they must count once.
  const bool has_sums = fit.resume && rank == 0 && last <= place.step && begins;
  if (!has_sums && (place.step > 0 || fit.resume)) fit.place = place;
  if (has_sums) warn_of_missing_losses(nn::load_progress(*fit.resume));
  store_->set_pushed(place.step);
  log_info(str_cat("worker ", rank, " goes on behind step ", place.step));
  prepare_prefetch();
}

// A checkpoint in the middle of an epoch has the sums of the worker that wrote it; one that was
// written when all had stopped has those of all.
void ServerTraining::warn_of_missing_losses(const nn::TrainProgress& saved) const {
  nn::RunningMeans means = nn::running_means(task_.model->train_graph().forward);
  if (saved.epoch_step == 0 || !means.restore(saved.epoch_sums)) return;
  const int64_t before =
      std::min(saved.epoch_step * task_.file.job().batch_size(), task_.train_examples());
  const auto counted = static_cast<int64_t>(means.examples());
  if (counted >= before) return;
  log_warning(str_cat(
      "the checkpoint of step ", saved.step, " was saved within epoch ", saved.epoch + 1,
      ": the mean losses and metrics of that epoch will leave out ", before - counted, " of the ",
      before, " examples before it, which other workers saw; the model misses none"));
}

void ServerTraining::begin_rows(nn::FitOptions& fit, const std::string& resumed) {
  std::vector<double> steps(static_cast<size_t>(task_.cluster.world_size), 0.0);
  const auto mine = static_cast<size_t>(task_.cluster.rank);
  if (!resumed.empty() && fit.resume) {
    steps[mine] = static_cast<double>(nn::load_progress(*fit.resume).step);
  }
  sum("the steps of the checkpoints", steps);
  const auto most = std::ranges::max_element(steps);
  const bool restores = static_cast<size_t>(most - steps.begin()) == mine && *most > 0;
  const bool behind = static_cast<double>(client_->last_step(parts_)) < *most;
  if (restores && (behind || !client_->is_trained())) restore(resumed);
  meet("the tables are ready");
  prepare_prefetch();
}

void ServerTraining::catch_up(int64_t done) {
  for (int64_t step = client_->last_step(parts_) + 1; step <= done; ++step) {
    log_warning(str_cat("step ", step, ": this worker's gradients of rows are lost"));
    for (int part = 0; part < parts_; ++part) client_->push(step, part, parts_, 0, {});
  }
  store_->set_pushed(done);
}

// A worker that died in a step that others did not finish may have pushed that one.
bool ServerTraining::is_ahead_of(int64_t done) {
  const int64_t reached = client_->newest_step(parts_);
  if (reached <= done + 1) return false;
  log_warning(str_cat("the rows on the parameter servers are of step ", reached,
                      ", and no worker is left that has more than step ", done,
                      ": they are taken back to it"));
  return true;
}

void ServerTraining::take_back(int64_t done, const std::string& checkpoint) {
  done > 0 ? restore(checkpoint) : client_->clear();
}

void ServerTraining::compare() {
  compare_jobs(options_.handshake, task_.cluster.rank, task_.cluster.world_size,
               [this](const std::string& name, std::span<double> values) { sum(name, values); });
}

// Where rank 0's checkpoint ends; it may be on its host only.
nn::TrainPlace ServerTraining::agree_on_start(const nn::FitOptions& fit,
                                              const std::string& resumed) {
  std::vector<double> place(3, 0.0);
  if (task_.cluster.rank == 0 && !resumed.empty() && fit.resume) {
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

void ServerTraining::restore(const std::string& checkpoint) {
  const nn::StateMap variables = io::load_checkpoint(checkpoint);
  if (!rows_belong_to(checkpoint, variables)) {
    throw not_found("--resume: ", checkpoint, " was saved without parameter servers: there is no ",
                    rows_prefix(checkpoint), ".ps with the rows of its tables");
  }
  client_->restore_snapshot(rows_prefix(checkpoint), nn::load_progress(variables).step);
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

void ServerTraining::pull_variables() {
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

void ServerTraining::tell_lost_steps(int64_t step) {
  const int64_t reached = options_.reached ? options_.reached() : 0;
  if (reached == 0) return;
  const int64_t lost = std::max<int64_t>(0, reached - step);
  log_warning(str_cat("the job had reached step ", reached, " when the state of its parameter ",
                      "servers was lost; it begins again behind step ", step, ": ", lost,
                      " steps are lost"));
  client_->tell_lost_steps(lost);
}

bool ServerTraining::finish(bool yes) {
  double said = yes ? 1 : 0;
  sum("the end of the training", {&said, 1});
  return said > 0;
}

// The slowest worker may be far behind where workers do not wait for each other's steps.
void ServerTraining::sum(const std::string& name, std::span<double> values) {
  const ActivityScope calling(Activity::kServers);
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

bool ServerTraining::add_up(const std::string& name, nn::RunningMeans& means, bool vote) {
  double votes = vote ? 1 : 0;
  int part = 0;
  means.merge_workers(task_.cluster.rank, task_.cluster.world_size,
                      [&](std::span<double> values) {
                        sum(part == 0 ? name : str_cat(name, ", part ", part + 1), values);
                        ++part;
                      },
                      {&votes, 1});
  return votes > 0;
}

void ServerTraining::meet(const std::string& name) {
  double nothing = 0;
  sum(name, {&nothing, 1});
}

std::string ServerTraining::describe() const { return client_->status(); }

}  // namespace trireme

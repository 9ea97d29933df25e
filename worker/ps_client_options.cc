#include "worker/ps_client_options.h"

#include <chrono>

#include "distributed/cluster/security.h"
#include "proto/job.pb.h"

namespace trireme {
namespace {

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

}  // namespace

ps::PsClientOptions ps_client_options(const Task& task, uint64_t incarnation, bool saves) {
  const job::ParameterServers& job = task.file.job().parameter_servers();
  ps::PsClientOptions client{.coordinator = task.cluster.coordinator,
                             .secret = task.cluster.secret,
                             .encryption = make_security(task.cluster).encryption,
                             .job_id = task.cluster.job_id,
                             .run = task.run,
                             .worker = task.cluster.rank,
                             .workers = task.cluster.world_size,
                             .incarnation = incarnation + 1,
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
  client.connections = job.connections();
  const job::Distributed& spread = task.file.job().distributed();
  if (spread.has_join_timeout_s()) {
    client.join_timeout = milliseconds(static_cast<int64_t>(spread.join_timeout_s() * 1000));
  }
  // The group's collectives keep the workers of HYBRID together.
  if (saves && !task.strategy_def->forms_group) {
    client.save_every_steps = task.file.job().checkpoint().every_steps();
    client.steps_per_epoch = task.steps_per_epoch;
  }
  client.timeout = milliseconds(static_cast<int64_t>(job.timeout_s() * 1000));
  client.has_group = task.strategy_def->forms_group;
  return client;
}

}  // namespace trireme

#include "worker/task_strategy.h"

#include <algorithm>
#include <bit>

#include "core/base/error.h"
#include "distributed/strategy/strategies.h"
#include "proto/job.pb.h"

namespace trireme {
namespace {

bool has_servers(const StrategyDef& def) { return def.uses_servers; }
bool has_workers(const StrategyDef& def) { return def.spans_workers && !def.uses_servers; }

void require_fit(const JobFile& file, const StrategyDef& strategy, const ClusterSpec& cluster) {
  const job::Job& job = file.job();
  const auto refuse = [&](std::string_view why) {
    throw invalid_argument(file.where("strategy"), "strategy ", job::Strategy_Name(job.strategy()),
                           ": ", why);
  };
  if (cluster.parameter_servers > 0 && !strategy.uses_servers) {
    refuse(str_cat("the job's ", cluster.parameter_servers,
                   " parameter servers would have nothing to do; use ",
                   strategy_names(" or ", has_servers)));
  }
  if (cluster.parameter_servers == 0 && strategy.uses_servers) {
    refuse(
        "there are no parameter servers; start some, e.g. with trireme launch --workers 2 --ps 2");
  }
  if (strategy.uses_servers && job.early_stopping().restore_best()) {
    throw invalid_argument(file.where("early_stopping.restore_best"),
                           "early_stopping.restore_best: parameter servers do not go back to an "
                           "earlier epoch; leave it out: the checkpoint of the best epoch is kept "
                           "all the same, and the file checkpoints/checkpoint_best names it");
  }
  if (strategy.forms_group && !strategy.group_may_shrink && job.distributed().min_workers() > 0) {
    throw invalid_argument(
        file.where("distributed.min_workers"),
        "distributed.min_workers: parameter servers wait for all workers; a lost "
        "one must come back");
  }
  if (!strategy.spans_workers && !cluster.is_single_process()) {
    const std::string better = strategy_names(" or ", has_workers);
    refuse(strategy.spans_devices
               ? "uses the devices of one process; several workers need " + better
               : str_cat("each of the ", cluster.world_size, " workers would train by itself; use ",
                         better));
  }
}

}  // namespace

const StrategyDef& resolve_strategy(const JobFile& file, const ClusterSpec& cluster,
                                    const DeviceSet& devices) {
  const job::Strategy asked = file.job().strategy();
  const StrategyDef& strategy =
      asked == job::AUTO ? choose_strategy(!cluster.is_single_process(),
                                           static_cast<int>(computing_devices(devices).size()),
                                           cluster.parameter_servers)
                         : find_strategy(job::Strategy_Name(asked));
  require_fit(file, strategy, cluster);
  return strategy;
}

StrategyOptions strategy_options(const JobFile& file, const StrategyDef& strategy,
                                 const ClusterSpec& cluster, const DeviceSet& devices) {
  const job::Job& job = file.job();
  const job::Distributed& distributed = job.distributed();
  StrategyOptions options{.micro_batches = distributed.micro_batches(),
                          .deterministic = distributed.deterministic(),
                          .sync_batch_norm = distributed.sync_batch_norm()};
  const auto bytes_of = [](double mebibytes) {
    return std::max(int64_t{1}, static_cast<int64_t>(mebibytes * (1 << 20)));
  };
  options.bucket_bytes = bytes_of(distributed.bucket_mib());
  options.first_bucket_bytes = bytes_of(distributed.first_bucket_mib());
  if (distributed.compression() == job::BF16) options.compression = Compression::kBFloat16;
  if (distributed.compression() == job::F16) options.compression = Compression::kFloat16;
  if (distributed.compression() == job::TOP_K) options.compression = Compression::kTopK;
  options.top_k_ratio = distributed.top_k_ratio();
  options.devices =
      strategy.spans_devices ? computing_devices(devices) : std::vector{devices.names().front()};
  if (options.deterministic) {
    const int shards = distributed.virtual_shards();
    const int parts = cluster.world_size * static_cast<int>(options.devices.size());
    if (distributed.micro_batches() > 1) {
      throw invalid_argument(
          file.path(),
          ": distributed.micro_batches and deterministic: the virtual shards are "
          "the micro-batches; set virtual_shards");
    }
    if (shards < 1 || !std::has_single_bit(static_cast<unsigned>(shards)) || shards % parts != 0) {
      throw invalid_argument(file.path(),
                             ": distributed.virtual_shards: expected a power of two "
                             "that ",
                             parts, " worker(s) share evenly, found ", shards);
    }
    options.micro_batches = shards / parts;
  }
  return options;
}

}  // namespace trireme

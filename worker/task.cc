#include "worker/task.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <thread>

#include "core/base/batch_share.h"
#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/device/kernel.h"
#include "core/runtime/device_options.h"
#include "distributed/collective/make_communicator.h"
#include "distributed/collective/nccl/device_collective.h"
#include "proto/job.pb.h"
#include "ps/ops/ps_ops.h"
#include "worker/build_csv.h"
#include "worker/build_model.h"
#include "worker/preprocessing.h"
#include "worker/table_policies.h"

namespace trireme {
namespace {

StrategyKind resolve_kind(const JobFile& file, const ClusterSpec& cluster, int devices) {
  const job::Job& job = file.job();
  const bool alone = cluster.is_single_process();
  const auto refuse = [&](std::string_view why) {
    throw invalid_argument(file.where("strategy"), "strategy ", job::Strategy_Name(job.strategy()),
                           ": ", why);
  };
  const bool for_servers = job.strategy() == job::PARAMETER_SERVER ||
                           job.strategy() == job::HYBRID || job.strategy() == job::AUTO;
  if (cluster.parameter_servers > 0 && !for_servers) {
    refuse(str_cat("the job's ", cluster.parameter_servers,
                   " parameter servers would have nothing to do; use parameter_server or hybrid"));
  }
  if (cluster.parameter_servers == 0 && for_servers && job.strategy() != job::AUTO) {
    refuse(
        "there are no parameter servers; start some, e.g. with trireme launch --workers 2 --ps 2");
  }
  if (cluster.parameter_servers > 0 && job.early_stopping().restore_best()) {
    throw invalid_argument(file.where("early_stopping.restore_best"),
                           "early_stopping.restore_best: parameter servers do not go back to an "
                           "earlier epoch; leave it out: the checkpoint of the best epoch is kept "
                           "all the same, and the file checkpoints/checkpoint_best names it");
  }
  if (job.strategy() == job::HYBRID && job.distributed().min_workers() > 0) {
    throw invalid_argument(
        file.where("distributed.min_workers"),
        "distributed.min_workers: parameter servers wait for all workers; a lost "
        "one must come back");
  }
  switch (job.strategy()) {
    case job::ONE_DEVICE:
      if (!alone) {
        refuse(str_cat("each of the ", cluster.world_size,
                       " workers would train by itself; use multi_worker"));
      }
      return StrategyKind::kOneDevice;
    case job::MIRRORED:
    case job::CENTRAL_STORAGE:
      if (!alone) refuse("uses the devices of one process; several workers need multi_worker");
      return job.strategy() == job::MIRRORED ? StrategyKind::kMirrored
                                             : StrategyKind::kCentralStorage;
    case job::MULTI_WORKER:
      return StrategyKind::kMultiWorker;
    case job::PARAMETER_SERVER:
      return StrategyKind::kParameterServer;
    case job::HYBRID:
      return StrategyKind::kHybrid;
    default:
      if (cluster.parameter_servers > 0) return StrategyKind::kParameterServer;
      if (!alone) return StrategyKind::kMultiWorker;
      return devices > 1 ? StrategyKind::kMirrored : StrategyKind::kOneDevice;
  }
}

StrategyOptions strategy_options(const JobFile& file, const ClusterSpec& cluster,
                                 const DeviceSet& devices) {
  const job::Job& job = file.job();
  const job::Distributed& distributed = job.distributed();
  StrategyOptions options{
      .kind = resolve_kind(file, cluster, static_cast<int>(computing_devices(devices).size())),
      .micro_batches = std::max(1, distributed.micro_batches()),
      .deterministic = distributed.deterministic(),
      .sync_batch_norm = distributed.sync_batch_norm()};
  const auto bytes_of = [&](double mebibytes, const char* field) {
    if (mebibytes >= 0 && mebibytes <= 1 << 30) return static_cast<int64_t>(mebibytes * (1 << 20));
    const std::string path = str_cat("distributed.", field);
    throw invalid_argument(file.where(path), path, ": expected 0 to ", 1 << 30, " MiB, found ",
                           mebibytes);
  };
  if (const int64_t bytes = bytes_of(distributed.bucket_mib(), "bucket_mib"); bytes > 0) {
    options.bucket_bytes = bytes;
  }
  if (const int64_t bytes = bytes_of(distributed.first_bucket_mib(), "first_bucket_mib");
      bytes > 0) {
    options.first_bucket_bytes = bytes;
  }
  if (distributed.compression() == job::BF16) options.compression = Compression::kBFloat16;
  if (distributed.compression() == job::F16) options.compression = Compression::kFloat16;
  if (distributed.compression() == job::TOP_K) options.compression = Compression::kTopK;
  if (distributed.top_k_ratio() != 0) options.top_k_ratio = distributed.top_k_ratio();
  const bool several_devices =
      options.kind == StrategyKind::kMirrored || options.kind == StrategyKind::kCentralStorage;
  options.devices =
      several_devices ? computing_devices(devices) : std::vector{devices.names().front()};
  if (options.deterministic) {
    const int shards = distributed.virtual_shards() == 0 ? 4 : distributed.virtual_shards();
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

bool needs_strategy(const StrategyOptions& options) {
  return options.kind != StrategyKind::kOneDevice || options.micro_batches > 1;
}

// OMP_NUM_THREADS is what a launcher gives; under mpirun or srun the tasks of a host share its
// cores.
int task_threads(const job::Job& job, const TaskOptions& options, const ClusterSpec& cluster) {
  if (options.threads > 0) return options.threads;
  if (job.distributed().threads() > 0) return job.distributed().threads();
  if (job.distributed().deterministic()) return 1;
  if (cluster.local_size > 1 && std::getenv("OMP_NUM_THREADS") == nullptr) {
    const int cores = static_cast<int>(std::thread::hardware_concurrency());
    return std::max(1, cores / cluster.local_size);
  }
  return 0;
}

DeviceOptions device_options(const job::Job& job, const TaskOptions& options,
                             const ClusterSpec& cluster) {
  const job::Gpu& gpu = job.gpu();
  DeviceOptions devices{.kind = job.device().empty() ? "cpu" : job.device(),
                        .cpu_devices = options.cpu_devices,
                        .gpu = {.count = gpu.count(),
                                .virtual_per_card = std::max(1, gpu.virtual_()),
                                .memory_limit_mib = gpu.memory_limit_mib(),
                                .memory_growth = !gpu.take_all_memory()}};
  if (cluster.local_size > 1) {
    if (gpu.count() == 0) devices.gpu.count = 1;
    devices.gpu.first = cluster.local_rank * devices.gpu.count;
  }
  return devices;
}

JobData load(const job::Job& job, const TaskOptions& options, const ClusterSpec& cluster,
             std::optional<JobData> given) {
  set_compute_threads(task_threads(job, options, cluster));
  if (given) return *std::move(given);
  return build_data_share(job, options.data_dir, cluster.rank, cluster.world_size);
}

std::shared_ptr<const KernelTable> kernels_with(const KernelTable& program,
                                                const std::shared_ptr<CommunicatorSlots>& slots,
                                                const std::shared_ptr<ps::TableStoreSlot>& tables) {
  auto kernels = std::make_shared<KernelTable>(program);
  register_collective_kernels(*kernels, slots);
  ps::register_ps_kernels(*kernels, tables);
  return kernels;
}

}  // namespace

Task::Task(const JobFile& job_file, const TaskOptions& task_options, TaskUse use,
           std::optional<JobData> given)
    : file(job_file),
      options(task_options),
      cluster(use == TaskUse::kTrain ? resolve_cluster(options.cluster, process_environment())
                                     : ClusterSpec{}),
      devices(make_devices(device_options(file.job(), options, cluster))),
      data(load(file.job(), options, cluster, std::move(given))) {
  const job::Job& job = file.job();
  steps_per_epoch = (train_examples() + job.batch_size() - 1) / job.batch_size();
  if (job.steps_per_epoch() > 0) steps_per_epoch = job.steps_per_epoch();

  if (!options.timeline.empty()) tracer = std::make_shared<Tracer>();
  nn::ModelOptions model_options{.name = job.name(),
                                 .seed = job.seed(),
                                 .session = {.devices = devices,
                                             .log_device_placement = options.log_device_placement,
                                             .tracer = tracer,
                                             .record = !job.gpu().no_graphs(),
                                             .soft_placement = job.soft_placement()},
                                 .precision = nn::precision_from_name(job.precision())};
  if (data.preprocessing) own_preprocessing = preprocessing_text(*data.preprocessing);
  if (const auto unit = label_deviation(data.preprocessing)) {
    label_unit_ = std::make_shared<double>(*unit);
  }
  nn::CompileOptions compile =
      compile_options(file,
                      checked_multiply(steps_per_epoch, job.epochs(),
                                       file.where("epochs") + "epochs: the steps of all of them"),
                      label_unit_);
  bool rows_apart = use == TaskUse::kInferFromTables;
  if (use == TaskUse::kTrain) {
    StrategyOptions spread = strategy_options(file, cluster, *devices);
    strategy_kind = spread.kind;
    check_table_policies(
        file, make_layers(file),
        strategy_kind == StrategyKind::kParameterServer || strategy_kind == StrategyKind::kHybrid);
    if (needs_strategy(spread)) {
      strategy.emplace(std::move(spread));
      rows_apart = strategy->uses_servers();
      compile.build_gradients = [this](nn::TrainGraph& graph) { strategy->build_gradients(graph); };
      compile.rewrite_updates = [this](nn::TrainGraph& graph) { strategy->rewrite_updates(graph); };
      if (cluster.is_single_process()) {
        slots->set(make_local_group(strategy->ranks()), mirrored_gpus());
      }
    }
  }
  model_options.ops = options.tables.ops;
  model_options.session.kernels = options.tables.kernels;
  if (strategy || rows_apart) {
    model_options.session.kernels = kernels_with(*options.tables.kernels, slots, tables);
  }
  if (rows_apart) model_options.embedding_lookup = training_tables.lookup();
  model = std::make_unique<nn::Model>(std::move(model_options));
  build_layers(*model, file, nn::batch_types(train_batches(0, 1)).features);
  model->compile(std::move(compile));
}

void Task::take_preprocessing(const nn::StateMap& state, const std::string& source) {
  const PreprocessingPtr saved = saved_preprocessing(state, source);
  const job::Job& job = file.job();
  if (!saved && job.data().has_csv()) csv_transform(job, saved);  // says that it is needed
  if (!saved || preprocessing_text(*saved) == preprocessing_text(*data.preprocessing)) return;
  data = build_data_share(job, options.data_dir, cluster.rank, cluster.world_size, saved);
  if (label_unit_) *label_unit_ = label_deviation(saved).value();
}

// What adds the gradients of GPUs of this process; nothing where one device or the host does.
DeviceCollectives Task::mirrored_gpus() const {
  std::vector<Device*> gpus;
  for (const auto& device : devices->all()) {
    if (!device->host_memory()) gpus.push_back(device.get());
  }
  const bool reduces = strategy->communicates() && static_cast<int>(gpus.size()) > 1;
  if (!reduces) return {};
  const double timeout_s = file.job().distributed().collective_timeout_s();
  return make_mirrored_collectives(
      gpus, std::chrono::milliseconds(timeout_s > 0 ? static_cast<int64_t>(timeout_s * 1000)
                                                    : int64_t{60'000}));
}

data::Dataset Task::train_batches(int rank, int workers) const {
  const job::Job& job = file.job();
  data::Dataset train = data.train;
  if (!job.data().keep_order()) train = train.shuffle(job.seed());
  if (data.parts > 1) return train.batch(job.batch_size() / data.parts).repeat();
  return train.batch_part(job.batch_size(), rank, workers).repeat();
}

data::Dataset Task::validation_batches(int rank, int workers) const {
  // Whole batches, so that their means are the same for any number of workers.
  const data::Dataset batches = data.validation.batch(kEvaluationBatch);
  return workers == 1 ? batches : batches.shard(workers, rank);
}

int64_t Task::global_rows(int64_t batch) const {
  const int64_t examples = train_examples(), size = file.job().batch_size();
  const int64_t batches = (examples + size - 1) / size;
  return std::min(size, examples - batch % batches * size);
}

int64_t Task::own_rows(int64_t batch, int rank, int workers) const {
  return batch_share(global_rows(batch), rank, workers).size();
}

}  // namespace trireme

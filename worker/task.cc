#include "worker/task.h"

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "core/base/batch_share.h"
#include "core/base/checked.h"
#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/device/kernel.h"
#include "core/nn/tensorboard.h"
#include "core/runtime/device_options.h"
#include "distributed/collective/make_communicator.h"
#include "distributed/collective/nccl/device_collective.h"
#include "proto/job.pb.h"
#include "ps/ops/ps_ops.h"
#include "worker/adapt_layers.h"
#include "worker/build_model.h"
#include "worker/model_text.h"
#include "worker/preprocessing.h"
#include "worker/table_policies.h"
#include "worker/task_strategy.h"

namespace trireme {
namespace {

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
                                .virtual_per_card = gpu.virtual_(),
                                .memory_limit_mib = gpu.memory_limit_mib(),
                                .memory_growth = !gpu.take_all_memory()}};
  if (cluster.local_size > 1) {
    if (gpu.count() == 0) devices.gpu.count = 1;
    devices.gpu.first = cluster.local_rank * devices.gpu.count;
  }
  return devices;
}

JobData load(const JobFile& file, const TaskOptions& options, const ClusterSpec& cluster,
             std::optional<JobData> given) {
  set_compute_threads(task_threads(file.job(), options, cluster));
  if (given) return *std::move(given);
  return build_data_share(file, options.data_dir, cluster.rank, cluster.world_size);
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
      data(load(file, options, cluster, std::move(given))) {
  const job::Job& job = file.job();
  steps_per_epoch = (train_examples() + job.batch_size() - 1) / job.batch_size();
  if (job.steps_per_epoch() > 0) steps_per_epoch = job.steps_per_epoch();

  const auto callbacks = file.make_callbacks();
  const bool traces =
      use == TaskUse::kTrain && std::ranges::any_of(callbacks, [](const auto& callback) {
        const auto* board = dynamic_cast<const nn::TensorBoard*>(callback.get());
        return board != nullptr && board->needs_tracer();
      });
  if (!options.timeline.empty() || traces) tracer = std::make_shared<Tracer>();
  nn::ModelOptions model_options{.name = job.name(),
                                 .seed = job.seed(),
                                 .session = {.devices = devices,
                                             .log_device_placement = options.log_device_placement,
                                             .tracer = tracer,
                                             .record = !job.gpu().no_graphs(),
                                             .soft_placement = job.soft_placement()},
                                 .precision = nn::precision_from_name(job.precision()),
                                 .freeze = {job.freeze().begin(), job.freeze().end()}};
  if (const auto weights = initial_weights_of(file)) {
    model_options.freeze.insert(model_options.freeze.end(), weights->freeze().begin(),
                                weights->freeze().end());
  }
  if (const auto unit = label_deviation(data.preprocessing)) {
    label_unit_ = std::make_shared<double>(*unit);
  }
  nn::CompileOptions compile =
      compile_options(file,
                      checked_multiply(steps_per_epoch, job.epochs(),
                                       file.where("epochs") + "epochs: the steps of all of them"),
                      label_unit_);
  for (const auto& callback : callbacks) {
    compile.gradient_norm |= callback->needs_gradient_norm();
  }
  bool rows_apart = use == TaskUse::kInferFromTables;
  if (use == TaskUse::kTrain) {
    strategy_def = &resolve_strategy(file, cluster, *devices);
    StrategyOptions spread = strategy_options(file, *strategy_def, cluster, *devices);
    check_table_policies(file, file.make_layers(), uses_servers());
    const bool cuts_batches =
        strategy_def->spans_workers || strategy_def->spans_devices || spread.micro_batches > 1;
    if (cuts_batches) {
      strategy = strategy_def->make(std::move(spread));
      rows_apart = uses_servers();
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
  add_layers(*model, file);
  with_places(file, [&] {
    if (use == TaskUse::kTrain) {
      adapt_layers(model->network(), data);
    } else {
      restore_vocabularies(model->network(), data);
    }
    convert_texts(model->network(), data);
    own_preprocessing = data::preprocessing_text(data.preprocessing);
    const std::vector<TensorType> features = nn::batch_types(train_batches(0, 1)).features;
    check_inputs(file, features);
    model->build(features);
  });
  model->compile(std::move(compile));
}

void Task::take_preprocessing(const nn::StateMap& state, const std::string& source) {
  const data::PreprocessingPtr saved = saved_preprocessing(state, source);
  file.data().require_saved(source_context(file, options.data_dir, saved));
  const std::string text = data::preprocessing_text(saved);
  if (!saved || text == data::preprocessing_text(data.preprocessing)) return;
  data = build_data_share(file, options.data_dir, cluster.rank, cluster.world_size, saved);
  restore_vocabularies(model->network(), data);
  convert_texts(model->network(), data);
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
      gpus, std::chrono::milliseconds(static_cast<int64_t>(timeout_s * 1000)));
}

data::Dataset Task::read_ahead(const data::Dataset& batches) const {
  const data::Source& source = file.data();
  if (source.threads() == 0) return batches;
  return batches.prefetch(source.prefetch(), source.threads());
}

data::Dataset Task::train_batches(int rank, int workers) const {
  return read_ahead(training_batches(file, data, rank, workers).repeat());
}

data::Dataset Task::validation_batches(int rank, int workers) const {
  // Whole batches, so that their means are the same for any number of workers.
  const data::Dataset batches = data.validation.batch(kEvaluationBatch);
  const data::Dataset own = workers == 1 ? batches : batches.shard(workers, rank);
  // With servers the thread that validates tells them how far it is, batch by batch.
  return uses_servers() ? own : read_ahead(own);
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

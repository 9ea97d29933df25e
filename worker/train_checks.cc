#include "worker/train_checks.h"

#include <chrono>

#include "core/base/error.h"
#include "core/base/logging.h"
#include "core/io/trial_write.h"
#include "proto/job.pb.h"
#include "worker/train_callbacks.h"

namespace trireme {
namespace {

// Labels are checked again when they are used; what is large need not be read twice.
constexpr std::chrono::milliseconds kLongestRead{500};

void check_monitor(const Task& task) {
  const auto monitored = early_stopping_options(task.file.job());
  if (!monitored) return;
  const std::string place = task.file.where("early_stopping.monitor");
  if (monitored->monitor.starts_with("val_") && task.data.validation.cardinality() == 0) {
    throw invalid_argument(place, "early stopping: there is no ", monitored->monitor,
                           " to monitor, because the validation data have no examples; monitor a "
                           "figure of the training data, such as loss");
  }
  try {
    nn::require_monitored(monitored->monitor, task.model->log_names(true));
  } catch (const Error& error) {
    throw Error(error.code(), place + error.what());
  }
}

void check_validation(const Task& task) {
  const data::Dataset batches = task.validation_batches(0, 1);
  if (batches.cardinality() == 0) return;
  const auto end = std::chrono::steady_clock::now() + kLongestRead;
  data::Iterator iterator = batches.iterator();
  data::Element batch;
  for (int64_t i = 1; std::chrono::steady_clock::now() < end && iterator.next(batch); ++i) {
    if (task.options.stop != nullptr && *task.options.stop) return;
    if (const auto wrong = task.model->find_wrong_label(batch)) {
      throw invalid_argument("the validation data, batch ", i, ": ", *wrong);
    }
  }
  // Rows that are on servers are there only when the servers are.
  if (!task.uses_servers()) (void)task.model->evaluate_means(batches.take(1));
}

uint64_t checkpoint_bytes(const nn::Model& model, bool with_best) {
  uint64_t bytes = 0;
  for (const nn::VariableSpec& spec : model.variables().all()) {
    if (!spec.copy_of.empty()) continue;
    const uint64_t own = spec.value.type().bytes();
    bytes += own;
    if (with_best && spec.role != nn::VariableRole::kSlot) bytes += own;
  }
  return bytes;
}

void check_checkpoints(const Task& task) {
  const job::Job& job = task.file.job();
  if (job.checkpoint().off()) return;
  const std::string directory = checkpoint_directory(job);
  io::trial_write(directory);
  const auto free = io::free_bytes(directory);
  const uint64_t one = checkpoint_bytes(*task.model, job.early_stopping().restore_best());
  // One is written while the one before is still there.
  if (free && *free < 2 * one) {
    throw Error(ErrorCode::kResourceExhausted,
                str_cat(directory, ": a checkpoint of this model needs ", one,
                        " bytes, and room for two is needed; ", *free,
                        " bytes are free there: free some space, choose another --output-dir, or "
                        "do without checkpoints (--set checkpoint.off=true)"));
  }
  const auto kept = static_cast<uint64_t>(job.checkpoint().keep());
  const uint64_t there = std::min<uint64_t>(io::list_checkpoints(directory).size(), kept);
  const uint64_t wanted = (kept + 1 - there) * one;
  if (free && *free < wanted) {
    log_warning(str_cat(directory, ": ", kept, " checkpoints of ", one, " bytes are to be kept; ",
                        *free, " bytes are free there, which is not enough for them"));
  }
}

}  // namespace

void check_before_training(const Task& task) {
  check_monitor(task);
  check_validation(task);
  if (task.cluster.rank != 0) return;
  io::trial_write(task.file.job().output_dir());
  check_checkpoints(task);
  if (!task.options.timeline.empty()) io::trial_write(task.options.timeline);
}

}  // namespace trireme

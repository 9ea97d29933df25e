#include "worker/build_data.h"

#include <cstdint>
#include <filesystem>
#include <vector>

#include "core/base/error.h"
#include "core/nn/losses.h"
#include "proto/job.pb.h"
#include "worker/job_file.h"

namespace trireme {
namespace {

namespace fs = std::filesystem;

// By file pays when reading all of it on every worker does not; else one global shuffle is better.
constexpr uintmax_t kLargeBytes = uintmax_t{1} << 30;

data::LabelUse label_use(const nn::Loss& loss, bool is_only_one) {
  switch (loss.labels) {
    case nn::LabelDomain::kClass:
      return data::LabelUse::kClass;
    case nn::LabelDomain::kUnitInterval:
    case nn::LabelDomain::kZeroOrOne:
      return data::LabelUse::kUnitInterval;
    default:
      return loss.label_power > 0 && is_only_one ? data::LabelUse::kScalableNumber
                                                 : data::LabelUse::kNumber;
  }
}

// Why each worker cannot have files of its own; empty: it can.
std::string why_not_by_file(const JobFile& file, const std::vector<std::string>& files,
                            int workers) {
  const job::Job& job = file.job();
  if (files.empty()) return "the data are not in files that each hold examples";
  if (static_cast<int>(files.size()) % workers != 0) {
    return str_cat(files.size(), " file(s) cannot be shared evenly by ", workers, " workers");
  }
  for (const std::string& path : files) {
    if (fs::file_size(path) == fs::file_size(files[0])) continue;
    return str_cat(path, " has another size than ", files[0]);
  }
  if (job.batch_size() % workers != 0) {
    return str_cat("a batch of ", job.batch_size(), " cannot be shared evenly by ", workers,
                   " workers");
  }
  if (file.data().take() > 0) return "data.take counts over all files";
  if (job.distributed().min_workers() > 0) return "the number of workers may change";
  if (job.distributed().deterministic()) {
    return "in deterministic mode the order must not depend on the workers";
  }
  return "";
}

JobData build_with(const data::Source& source, const data::SourceContext& context) {
  JobData built{data::with_labels(source, source.build(context))};
  if (context.saved) {
    data::require_same_preprocessing(*context.saved, built.preprocessing);
    built.preprocessing =
        data::with_vocabularies(built.preprocessing, data::vocabularies_of(context.saved));
  }
  if (source.take() > 0) built.train = built.train.take(source.take());
  if (source.validation_take() > 0) {
    built.validation = built.validation.take(source.validation_take());
  }
  return built;
}

}  // namespace

data::SourceContext source_context(const JobFile& file, const std::string& data_dir,
                                   const data::PreprocessingPtr& saved) {
  const bool has_own_labels = file.data().label_source() == data::LabelSource::kData;
  return {.data_dir = data_dir,
          .labels = has_own_labels ? label_use(file.loss().make(), file.outputs().empty())
                                   : data::LabelUse::kNumber,
          .saved = saved};
}

JobData build_data(const JobFile& file, const std::string& data_dir,
                   const data::PreprocessingPtr& saved) {
  return build_with(file.data(), source_context(file, data_dir, saved));
}

JobData build_data_share(const JobFile& file, const std::string& data_dir, int rank, int workers,
                         const data::PreprocessingPtr& saved) {
  if (workers == 1) return build_data(file, data_dir, saved);
  data::SourceContext context = source_context(file, data_dir, saved);
  context.workers = workers;
  const data::Source& source = file.data();
  const std::vector<std::string> files = source.train_files(context);
  const std::string why_not = why_not_by_file(file, files, workers);
  const job::DataSharding wanted = file.job().distributed().data_sharding();
  if (wanted == job::BY_FILE && !why_not.empty()) {
    throw invalid_argument(file.where("distributed.data_sharding"),
                           "distributed.data_sharding BY_FILE: ", why_not, "; use BY_EXAMPLE");
  }
  uintmax_t bytes = 0;
  for (const std::string& path : files) bytes += fs::file_size(path);
  const bool by_file = wanted == job::BY_FILE ||
                       (wanted == job::SHARD_AUTO && why_not.empty() && bytes >= kLargeBytes);
  if (!by_file) {
    JobData built = build_with(source, context);
    built.description += source.makes_examples_as_needed()
                             ? "; shared by example: each worker draws its own"
                             : "; shared by example: every worker reads all of it";
    if (wanted == job::SHARD_AUTO) {
      built.description += why_not.empty() ? " (the files are small)" : " (" + why_not + ")";
    }
    return built;
  }
  for (size_t i = static_cast<size_t>(rank); i < files.size(); i += static_cast<size_t>(workers)) {
    context.train_files.push_back(files[i]);
  }
  JobData built = build_with(source, context);
  built.parts = workers;
  built.description += str_cat("; shared by file: each worker reads ", context.train_files.size(),
                               " of ", files.size(), " files");
  return built;
}

data::Dataset training_batches(const JobFile& file, const JobData& data, int rank, int workers) {
  const job::Job& job = file.job();
  const data::Source& source = file.data();
  data::Dataset train = source.cache() ? data.train.cache() : data.train;
  if (!source.keep_order()) {
    train = source.shuffle_block() > 0 ? train.shuffle(job.seed(), source.shuffle_block())
                                       : train.shuffle(job.seed());
  }
  if (data.parts > 1) return train.batch(job.batch_size() / data.parts);
  return train.batch_part(job.batch_size(), rank, workers);
}

}  // namespace trireme

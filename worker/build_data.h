// From the job's `data` to two data sets, each in memory, not yet shuffled or batched.
#pragma once

#include <string>

#include "core/data/source.h"

namespace trireme {

class JobFile;

struct JobData : data::SourceData {
  int parts = 1;  // `train` is one of so many equal parts, each with files of its own
};

// What the job's source is asked with. `saved`: the preprocessing of a checkpoint, which is applied
// instead of what the training rows would decide; null: there is no checkpoint.
data::SourceContext source_context(const JobFile& file, const std::string& data_dir,
                                   const data::PreprocessingPtr& saved = nullptr);

// `data_dir`: where relative names are looked for (data::find_data()). Throws Error.
JobData build_data(const JobFile& file, const std::string& data_dir,
                   const data::PreprocessingPtr& saved = nullptr);

// The same for worker `rank` of `workers`: with sharding by file, `train` has this worker's files
// only; with several workers `description` says which sharding it is, and why. Throws
// Error{kInvalidArgument} when the job asks for sharding by file and the files do not allow it.
JobData build_data_share(const JobFile& file, const std::string& data_dir, int rank, int workers,
                         const data::PreprocessingPtr& saved = nullptr);

// The part of worker `rank` of `workers` of each training batch, shuffled unless the job says
// otherwise; once over the data.
data::Dataset training_batches(const JobFile& file, const JobData& data, int rank, int workers);

}  // namespace trireme

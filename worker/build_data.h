// From the job's `data` to two data sets, each in memory, not yet shuffled or batched.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/data/dataset.h"

namespace trireme {

namespace job {
class Criteo;
class Csv;
class Job;
class Preprocessing;
class Reviews;
}  // namespace job

using PreprocessingPtr = std::shared_ptr<const job::Preprocessing>;

struct JobData {
  data::Dataset train, validation;
  std::string description;  // "mnist: 60000 + 10000 examples from /data/mnist"
  int parts = 1;            // `train` is one of so many equal parts, each with files of its own
  PreprocessingPtr preprocessing = {};  // what was done to the values; a part of the model
};

// `data_dir`: where relative names are looked for first; empty: the environment's TRIREME_DATA_DIR,
// then the current folder, ./data and ../shared/data. Throws Error naming the places that were
// looked in. `saved`: the preprocessing of a checkpoint, which is applied instead of what the
// training rows would decide; null: there is no checkpoint.
JobData build_data(const job::Job& job, const std::string& data_dir,
                   const PreprocessingPtr& saved = nullptr);

// The same for worker `rank` of `workers`: with sharding by file, `train` has this worker's files
// only; with several workers `description` says which sharding it is, and why. Throws
// Error{kInvalidArgument} when the job asks for sharding by file and the files do not allow it.
JobData build_data_share(const job::Job& job, const std::string& data_dir, int rank, int workers,
                         const PreprocessingPtr& saved = nullptr);

// How many of the last rows are to validate with. Throws Error{kInvalidArgument} unless some are
// left to train with.
int64_t held_back_rows(double fraction, int64_t rows, std::string_view source);

// Sizes that follow from the job alone. Throw Error{kInvalidArgument} for those that cannot be.
int64_t reviews_vocabulary(const job::Reviews& reviews);
uint32_t criteo_keys_per_category(const job::Criteo& criteo);

// An existing file or folder for `name`; the same search.
std::string find_data(const std::string& name, const std::string& data_dir);

}  // namespace trireme

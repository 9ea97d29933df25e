// From the job's `data` to two data sets, each in memory, not yet shuffled or batched.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/data/dataset.h"

namespace trireme {

namespace job {
class Data;
class Job;
}  // namespace job

struct JobData {
  data::Dataset train, validation;
  std::string description;  // "mnist: 60000 + 10000 examples from /data/mnist"
  int parts = 1;            // `train` is one of so many equal parts, each with files of its own
};

// `data_dir`: where relative names are looked for first; empty: the environment's TRIREME_DATA_DIR,
// then the current folder, ./data and ../shared/data. Throws Error naming the places that were
// looked in.
JobData build_data(const job::Data& data, const std::string& data_dir);

// The same for worker `rank` of `workers`: with sharding by file, `train` has this worker's files
// only; with several workers `description` says which sharding it is, and why. Throws
// Error{kInvalidArgument} when the job asks for sharding by file and the files do not allow it.
JobData build_data_share(const job::Job& job, const std::string& data_dir, int rank, int workers);

// An existing file or folder for `name`; the same search.
std::string find_data(const std::string& name, const std::string& data_dir);

}  // namespace trireme

// From the job's `data` to two data sets, each in memory, not yet shuffled or batched.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/data/dataset.h"

namespace trireme {

namespace job {
class Data;
}

struct JobData {
  data::Dataset train, validation;
  std::string description;  // "mnist: 60000 + 10000 examples from /data/mnist"
};

// `data_dir`: where relative names are looked for first; empty: the environment's TRIREME_DATA_DIR,
// then the current folder, ./data and ../shared/data. Throws Error naming the places that were
// looked in.
JobData build_data(const job::Data& data, const std::string& data_dir);

// An existing file or folder for `name`; the same search.
std::string find_data(const std::string& name, const std::string& data_dir);

}  // namespace trireme

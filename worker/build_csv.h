// Tables: the two data sets of a job, and examples from another file for the same model. Private to
// worker/.
#pragma once

#include <string>

#include "core/data/csv_table.h"
#include "worker/preprocessing.h"

namespace trireme {

// `saved`: the preprocessing of the model that goes on or is evaluated; null: the training rows of
// the job's file decide it.
JobData build_csv(const job::Job& job, const std::string& data_dir, const PreprocessingPtr& saved);

// How `saved` treats columns, with what the job says about missing values. Throws
// Error{kInvalidArgument} when `saved` is null, or when the job treats columns in another way.
data::CsvTransform csv_transform(const job::Job& job, const PreprocessingPtr& saved);
// The options that the job's file, or another one, is read with.
data::CsvOptions csv_options(const job::Csv& csv);

// All rows of `path`, with their labels.
JobData labeled_csv(const job::Job& job, const PreprocessingPtr& saved, const std::string& path);

}  // namespace trireme

// The preprocessing of a job's data as a part of its model: kept in every checkpoint, applied to
// every other file. Private to worker/.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/data/csv_table.h"
#include "core/nn/callbacks.h"
#include "proto/preprocessing.pb.h"
#include "worker/build_data.h"

namespace trireme {

// As a checkpoint's "preprocessing" has it.
std::string preprocessing_text(const job::Preprocessing& preprocessing);

// Of a checkpoint; null when it has none, as those of older versions. Throws Error{kDataLoss} when
// it cannot be read.
PreprocessingPtr saved_preprocessing(const nn::StateMap& state, const std::string& checkpoint);

job::CsvColumns columns_of(const data::CsvTransform& transform);
data::CsvTransform transform_of(const job::CsvColumns& columns);

// Throws Error{kInvalidArgument} when `job` prepares its data in another way than the model was
// trained with.
void require_same_preprocessing(const job::Preprocessing& saved, const job::Preprocessing& job);

// What a label of 1 is in the units of its column, where labels are scaled; else nothing.
std::optional<double> label_deviation(const PreprocessingPtr& preprocessing);

// Puts it into checkpoints.
class SavesPreprocessing : public nn::Callback {
 public:
  // `of`: asked at each save; may return null.
  explicit SavesPreprocessing(std::function<PreprocessingPtr()> of) : of_(std::move(of)) {}
  void save(nn::StateMap& state) const override;

 private:
  std::function<PreprocessingPtr()> of_;
};

}  // namespace trireme

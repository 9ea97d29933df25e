// The preprocessing of a job's data in checkpoints: a part of the model. Private to worker/.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "core/data/preprocessing.h"
#include "core/nn/callbacks.h"

namespace trireme {

// Of a checkpoint; null when it has none, as those of older versions. Throws Error{kDataLoss} when
// it cannot be read.
data::PreprocessingPtr saved_preprocessing(const nn::StateMap& state,
                                           const std::string& checkpoint);

// What a label of 1 is in the units of its column, where labels are scaled; else nothing.
std::optional<double> label_deviation(const data::PreprocessingPtr& preprocessing);

// `text`: of data::preprocessing_text(), not empty.
void save_preprocessing(const std::string& text, nn::StateMap& state);

// Puts it into checkpoints.
class SavesPreprocessing : public nn::Callback {
 public:
  // `of`: asked at each save; may return null.
  explicit SavesPreprocessing(std::function<data::PreprocessingPtr()> of) : of_(std::move(of)) {}
  void save(nn::StateMap& state) const override;

 private:
  std::function<data::PreprocessingPtr()> of_;
};

}  // namespace trireme

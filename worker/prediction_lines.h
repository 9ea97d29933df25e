// What a model's outputs mean to a user, as lines of JSON or CSV. Private to worker/.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/data/example_reader.h"
#include "core/data/preprocessing.h"
#include "core/tensor/tensor.h"

namespace trireme {

namespace nn {
class Model;
}

enum class PredictionFormat { kJson, kCsv };

// One line an example:
//   {"index": 0, "line": 2, "prediction": [2.1, -0.3], "probabilities": [0.917, 0.083],
//    "class": 0, "class_name": "cat"}
// "prediction" is what the model's last layer gives: scores of classes (logits), or a number in the
// label's own units. Probabilities and classes are there with the cross entropies.
class PredictionLines {
 public:
  // `model`: built. `allows_nan`: predictions may be numbers that are not finite.
  PredictionLines(const nn::Model& model, const data::PreprocessingPtr& preprocessing,
                  PredictionFormat format, bool allows_nan);

  // The header of CSV for a model of so many outputs; empty for JSON.
  std::string header(int64_t outputs, bool has_lines) const;
  // Of a batch whose first example is example `first`. `predictions`: [size, …]. Throws
  // Error{kFailed} for one that is not finite, unless the job allows them.
  std::string lines(const Tensor& predictions, const data::ExampleBatch& batch,
                    int64_t first) const;

 private:
  struct Prediction;
  Prediction of_row(const Tensor& predictions, int64_t row, int64_t width) const;

  PredictionFormat format_;
  bool is_classifier_ = false, is_binary_ = false;
  bool are_probabilities_ = false;  // the last layer gives them
  bool allows_nan_ = false;
  data::OutputMeaning meaning_;
};

}  // namespace trireme

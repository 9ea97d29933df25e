#include "worker/preprocessing.h"

namespace trireme {
namespace {

const std::string kKey = "preprocessing";

}  // namespace

data::PreprocessingPtr saved_preprocessing(const nn::StateMap& state,
                                           const std::string& checkpoint) {
  const auto found = state.find(kKey);
  return found == state.end() ? nullptr : data::parse_preprocessing(found->second, checkpoint);
}

std::optional<double> label_deviation(const data::PreprocessingPtr& preprocessing) {
  const data::OutputMeaning meaning = data::output_meaning(preprocessing);
  if (!meaning.scales_label) return std::nullopt;
  return meaning.label.deviation;
}

void SavesPreprocessing::save(nn::StateMap& state) const {
  if (const data::PreprocessingPtr preprocessing = of_()) {
    state[kKey] = Tensor::scalar<std::string>(data::preprocessing_text(preprocessing));
  }
}

}  // namespace trireme

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

void save_preprocessing(const std::string& text, nn::StateMap& state) {
  state[kKey] = Tensor::scalar<std::string>(text);
}

void SavesPreprocessing::save(nn::StateMap& state) const {
  if (const data::PreprocessingPtr preprocessing = of_()) {
    save_preprocessing(data::preprocessing_text(preprocessing), state);
  }
}

}  // namespace trireme

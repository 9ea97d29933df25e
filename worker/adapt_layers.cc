#include "worker/adapt_layers.h"

#include "core/base/error.h"
#include "core/nn/adaptation.h"
#include "core/nn/strings.h"

namespace trireme {

void adapt_layers(const nn::Network& network, JobData& data) {
  constexpr int64_t kBatch = 256;
  const auto vocabularies = nn::vocabulary_layers(network);
  const bool wants_numbers = nn::wants_data(network);
  if (!wants_numbers && vocabularies.empty()) return;
  if (data.parts > 1) {
    throw invalid_argument(
        "a layer takes its values from all training data, of which each worker has its own files; "
        "give the layer its values, or set distributed.data_sharding: BY_EXAMPLE");
  }
  if (wants_numbers) nn::adapt(network, data.train.batch(kBatch));
  if (vocabularies.empty()) return;
  nn::adapt_strings(network, data.train);
  data::Vocabularies words;
  for (const auto& [name, layer] : vocabularies) words[name] = layer->vocabulary();
  data.preprocessing = data::with_vocabularies(data.preprocessing, words);
}

void restore_vocabularies(const nn::Network& network, const JobData& data) {
  const data::Vocabularies saved = data::vocabularies_of(data.preprocessing);
  for (const auto& [name, layer] : nn::vocabulary_layers(network)) {
    const auto found = saved.find(name);
    if (found == saved.end()) {
      throw invalid_argument("the checkpoint has no vocabulary of the layer \"", name,
                             "\"; it is of another model");
    }
    layer->set_vocabulary(found->second);
  }
}

void convert_texts(const nn::Network& network, JobData& data) {
  data.train = nn::convert_strings(network, data.train);
  data.validation = nn::convert_strings(network, data.validation);
}

}  // namespace trireme

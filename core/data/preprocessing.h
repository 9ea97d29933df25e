// What a source did to the values of its files before the model gets them: a part of the model,
// kept in every checkpoint as a text, applied to every other file.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/standardization.h"
#include "core/tensor/tensor.h"

namespace trireme {

namespace job {
class Preprocessing;  // proto/preprocessing.pb.h
}

namespace data {

struct CsvTransform;

// Null: nothing is known, as of a checkpoint of an older version.
using PreprocessingPtr = std::shared_ptr<const job::Preprocessing>;

// --- for a source of another program

// `source`: its name in the catalog. `text`: what it must know again to treat other files alike, in
// a form of its own. `classes`: the names of classes in the order of their numbers, for people.
PreprocessingPtr make_preprocessing(std::string_view source, std::string_view text,
                                    const std::vector<std::string>& classes = {});
// The text that make_preprocessing() was given. Throws Error{kInvalidArgument} when `preprocessing`
// is that of another source.
std::string preprocessing_values(const job::Preprocessing& preprocessing, std::string_view source);

// --- of Trireme's sources

PreprocessingPtr images_preprocessing(const Shape& image,
                                      const std::vector<std::string>& classes = {});
PreprocessingPtr reviews_preprocessing(int64_t vocabulary, int64_t words = 0);
PreprocessingPtr criteo_preprocessing(int64_t keys_per_category);
PreprocessingPtr clicks_preprocessing(int64_t keys_per_category);
PreprocessingPtr csv_preprocessing(const CsvTransform& transform);
// Throws Error{kInvalidArgument} when `preprocessing` is not that of a table.
CsvTransform csv_transform_of(const job::Preprocessing& preprocessing);

// --- of layers

// The words that layers took from the training data, by the layer's name.
using Vocabularies = std::map<std::string, std::vector<std::string>>;
Vocabularies vocabularies_of(const PreprocessingPtr& preprocessing);  // none of null
// `preprocessing`, which may be null, with those in the place of its own.
PreprocessingPtr with_vocabularies(const PreprocessingPtr& preprocessing,
                                   const Vocabularies& vocabularies);

// --- of all

// What a model's outputs mean.
struct OutputMeaning {
  std::vector<std::string> classes = {};  // names, in the order of their numbers; may be empty
  bool scales_label = false;              // outputs are undone by `label`
  Standardization label = {};
};
OutputMeaning output_meaning(const PreprocessingPtr& preprocessing);

// As a checkpoint has it; empty of null.
std::string preprocessing_text(const PreprocessingPtr& preprocessing);
// Of the tensor of a checkpoint, whose name is for messages. Throws Error{kDataLoss} when it cannot
// be read.
PreprocessingPtr parse_preprocessing(const Tensor& saved, const std::string& checkpoint);

// Throws Error{kInvalidArgument} when `job` prepares its data in another way than the model was
// trained with. What the training rows of a table decided is not compared: it is applied.
void require_same_preprocessing(const job::Preprocessing& saved, const PreprocessingPtr& job);

}  // namespace data
}  // namespace trireme

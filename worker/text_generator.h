// Writes text with a model of characters: draws one after another from what the model gives for the
// next. Private to worker/.
#pragma once

#include <functional>
#include <string_view>

#include "core/base/philox.h"
#include "core/data/characters.h"
#include "core/tensor/tensor.h"
#include "worker/train_task.h"

namespace trireme {

// The number of a character, drawn by `scores` of each: logits, or probabilities.
int64_t draw_character(std::span<const float> scores, bool are_probabilities,
                       const GenerateOptions& options, PhiloxGenerator& random);

// The model: from the numbers of characters i64[1, context] to scores f32[1, context, characters],
// at each place those of the character behind it.
using CharacterModel = std::function<Tensor(const Tensor& numbers)>;

// Hands `options.characters` characters to `write`, one after another, each drawn by what the model
// gives behind the last `context` ones. Throws Error{kInvalidArgument} for a prompt that is not of
// the vocabulary, and for a model that gives something else.
void generate_text(const CharacterModel& model, bool are_probabilities,
                   const data::CharacterVocabulary& vocabulary, int64_t context,
                   const GenerateOptions& options,
                   const std::function<void(std::string_view)>& write);

}  // namespace trireme

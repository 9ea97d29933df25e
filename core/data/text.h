// Labelled lines of text ("label<TAB>text"), as multi-hot vectors of hashed words.
//
// Words are runs of letters, digits and bytes above 127, in lower case; a word's place in the
// vector is its FNV-1a hash modulo the size of the vocabulary, so no word list has to be made or
// kept. The text stays as it is in memory, and a vector is made when its example is read.
//
// The text is read by the rules of core/data/line_reader.h. A damaged line is Error{kDataLoss}
// "file:line:column: …".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/dataset.h"

namespace trireme::data {

struct LabeledText {
  std::string text;                 // of all examples
  std::vector<uint64_t> ends = {};  // example i is text[ends[i - 1], ends[i])
  std::vector<int32_t> labels = {};

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
  std::string_view example(int64_t index) const;
  void add(int32_t label, std::string_view example);
};

// Lines of a label in [0, classes), a tab and text. Blank lines are skipped.
LabeledText parse_labeled_text(std::string_view data, int64_t classes, std::string_view name);
LabeledText read_labeled_text(const std::string& path, int64_t classes);  // packed with gzip or not

// Sets the places of the words of `text` to 1 and the others to 0. REQUIRES: `out` is not empty.
void multi_hot(std::string_view text, std::span<float> out);

// The places of the first words of `text`, in their order, as multi_hot() has them but from 1 on;
// 0 behind the last. REQUIRES: vocabulary_size > 1.
void word_places(std::string_view text, int64_t vocabulary_size, std::span<int64_t> out);

// "text": f32 [vocabulary_size]; "label": f32 [1] for kFloat32 (binary cross entropy), i64 [] for
// kInt64.
Dataset multi_hot_dataset(LabeledText examples, int64_t vocabulary_size,
                          DType label_dtype = DType::kFloat32);
// "text": i64 [words], the places of its first words; "label": f32 [1].
Dataset word_dataset(LabeledText examples, int64_t vocabulary_size, int64_t words);

}  // namespace trireme::data

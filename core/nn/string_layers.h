// Layers that look words up: see core/nn/strings.h for how they get texts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/nn/encoding.h"
#include "core/nn/strings.h"

namespace trireme::nn {

// Words and how often each was seen; the most frequent first, equally frequent ones from the last
// in alphabetical order, as Keras has them.
class WordCounts {
 public:
  void add(std::string_view word) { ++counts_[std::string(word)]; }
  std::vector<std::string> most_frequent(std::optional<int64_t> limit) const;

 private:
  std::unordered_map<std::string, int64_t> counts_;
};

// Words by number.
class Vocabulary {
 public:
  // Throws Error{kInvalidArgument} for a word that stands there twice.
  void set(std::vector<std::string> words);
  const std::vector<std::string>& words() const { return words_; }
  int64_t size() const { return static_cast<int64_t>(words_.size()); }
  std::optional<int64_t> find(std::string_view word) const;

 private:
  std::vector<std::string> words_;
  std::unordered_map<std::string, int64_t> numbers_;
};

// The place of each text in the vocabulary, behind num_oov_indices places for those that are not in
// it, and with a mask_token behind 0, which is its place.
struct StringLookupOptions {
  std::vector<std::string> vocabulary = {};  // empty: of the training data
  std::optional<int64_t> max_tokens = {};    // with all places; nothing: no bound
  int64_t num_oov_indices = 1;
  std::optional<std::string> mask_token = {};
  EncodingMode output_mode = EncodingMode::kInt;
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class StringLookup : public LayerOf<StringLookupOptions>, public StringLayer {
 public:
  explicit StringLookup(StringLookupOptions options = {});
  std::string type() const override { return "string_lookup"; }
  bool keeps_mask() const override { return false; }
  void check() const override;
  Value call(BuildContext& context, Value x) override;

  DType row_dtype() const override { return DType::kInt64; }
  Shape row_shape() const override { return {}; }
  void write_row(std::string_view text, const data::RowView& row) const override;
  bool wants_vocabulary() const override { return options_.vocabulary.empty(); }
  void see(std::string_view text) override { counts_.add(text); }
  void finish() override;
  const std::vector<std::string>& vocabulary() const override { return words_.words(); }
  void set_vocabulary(std::vector<std::string> words) override { words_.set(std::move(words)); }

 private:
  int64_t first_word() const { return options_.num_oov_indices + (options_.mask_token ? 1 : 0); }

  WordCounts counts_;
  mutable Vocabulary words_;  // check() sets those that the options give
};

enum class Standardize { kNone, kLower, kStripPunctuation, kLowerAndStripPunctuation };
enum class Split { kNone, kWhitespace, kCharacter };

// The words of a text. INT: the number of each, 0 behind the last, 1 for those that are not in the
// vocabulary, up to output_sequence_length. MULTI_HOT and COUNT: a row of numbers for all words,
// the first of those that are not in the vocabulary.
struct TextVectorizationOptions {
  std::vector<std::string> vocabulary = {};  // empty: of the training data
  std::optional<int64_t> max_tokens = {};    // with the numbers that stand for no word
  Standardize standardize = Standardize::kLowerAndStripPunctuation;
  Split split = Split::kWhitespace;
  EncodingMode output_mode = EncodingMode::kInt;
  std::optional<int64_t> output_sequence_length = {};  // of INT; must be given
  std::string name = "";

  void describe(OptionVisitor& visitor);
  void check() const;
};
class TextVectorization : public LayerOf<TextVectorizationOptions>, public StringLayer {
 public:
  explicit TextVectorization(TextVectorizationOptions options = {});
  std::string type() const override { return "text_vectorization"; }
  bool keeps_mask() const override { return false; }
  void check() const override;
  Value call(BuildContext& context, Value x) override;

  DType row_dtype() const override;
  Shape row_shape() const override;
  void write_row(std::string_view text, const data::RowView& row) const override;
  bool wants_vocabulary() const override { return options_.vocabulary.empty(); }
  void see(std::string_view text) override;
  void finish() override;
  const std::vector<std::string>& vocabulary() const override { return words_.words(); }
  void set_vocabulary(std::vector<std::string> words) override { words_.set(std::move(words)); }

 private:
  // Calls visit(word) for each, in their order.
  template <typename Visit>
  void for_each_word(std::string_view text, Visit visit) const;
  int64_t first_word() const { return options_.output_mode == EncodingMode::kInt ? 2 : 1; }

  WordCounts counts_;
  mutable Vocabulary words_;  // check() sets those that the options give
};

}  // namespace trireme::nn

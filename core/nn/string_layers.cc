#include "core/nn/string_layers.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/device/hash_bucket.h"

namespace trireme::nn {
namespace {

int64_t most_words(const std::optional<int64_t>& max_tokens, int64_t others) {
  return *max_tokens - others;
}

// Those of the training data beside the `others` that stand for no word.
std::vector<std::string> found_words(std::string_view layer, const WordCounts& counts,
                                     const std::optional<int64_t>& max_tokens, int64_t others) {
  std::optional<int64_t> limit;
  if (max_tokens) limit = most_words(max_tokens, others);
  std::vector<std::string> words = counts.most_frequent(limit);
  if (words.empty()) {
    throw invalid_argument(layer, ": expected training data with at least one word, found none");
  }
  return words;
}

void check_vocabulary(std::string_view layer, const std::vector<std::string>& vocabulary,
                      const std::optional<int64_t>& max_tokens, int64_t others) {
  Vocabulary words;
  try {
    words.set(vocabulary);
  } catch (const Error& error) {
    throw invalid_argument(layer, ": ", error.what());
  }
  if (!max_tokens) return;
  if (*max_tokens <= others) {
    throw invalid_argument(layer, ": max_tokens: expected more than the ", others,
                           " that stand for no word, found ", *max_tokens);
  }
  if (words.size() > most_words(max_tokens, others)) {
    throw invalid_argument(layer, ": expected at most ", most_words(max_tokens, others),
                           " words for max_tokens ", *max_tokens, ", found ", words.size());
  }
}

void describe_vocabulary(OptionVisitor& visitor, std::vector<std::string>& vocabulary,
                         std::optional<int64_t>& max_tokens) {
  visitor.field({.name = "vocabulary",
                 .help = "the words, each once",
                 .default_text = "the most frequent ones of the training data"},
                vocabulary);
  visitor.field({.name = "max_tokens",
                 .help = "most numbers that there are, with those that stand for no word",
                 .range = at_least(1),
                 .default_text = "no bound"},
                max_tokens);
}

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_punctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
         (c >= '{' && c <= '~');
}

}  // namespace

std::vector<std::string> WordCounts::most_frequent(std::optional<int64_t> limit) const {
  std::vector<std::pair<int64_t, std::string>> all;
  for (const auto& [word, count] : counts_) all.emplace_back(count, word);
  std::ranges::sort(all, std::greater<>());
  if (limit && static_cast<int64_t>(all.size()) > *limit) all.resize(static_cast<size_t>(*limit));
  std::vector<std::string> words;
  for (auto& [count, word] : all) words.push_back(std::move(word));
  return words;
}

void Vocabulary::set(std::vector<std::string> words) {
  numbers_.clear();
  for (size_t i = 0; i < words.size(); ++i) {
    if (numbers_.emplace(words[i], static_cast<int64_t>(i)).second) continue;
    throw invalid_argument("vocabulary: the word \"", words[i], "\" stands there twice");
  }
  words_ = std::move(words);
}

std::optional<int64_t> Vocabulary::find(std::string_view word) const {
  const auto found = numbers_.find(std::string(word));
  if (found == numbers_.end()) return std::nullopt;
  return found->second;
}

// --- StringLookup

StringLookup::StringLookup(StringLookupOptions options) : LayerOf(std::move(options)) {}

void StringLookupOptions::describe(OptionVisitor& visitor) {
  describe_vocabulary(visitor, vocabulary, max_tokens);
  visitor.field({.name = "num_oov_indices",
                 .help = "places of texts that are not in the vocabulary; 0: they become -1",
                 .range = at_least(0)},
                num_oov_indices);
  visitor.field({.name = "mask_token", .help = "the text whose place is 0", .default_text = "none"},
                mask_token);
  describe_output_mode(visitor, output_mode);
}

void StringLookupOptions::check() const {
  check_vocabulary("string_lookup", vocabulary, max_tokens, num_oov_indices + (mask_token ? 1 : 0));
  if (mask_token && std::ranges::count(vocabulary, *mask_token) > 0) {
    throw invalid_argument("string_lookup: the mask_token \"", *mask_token,
                           "\" is in the vocabulary too");
  }
}

void StringLookup::check() const {
  options_.check();
  if (!options_.vocabulary.empty()) words_.set(options_.vocabulary);
}

void StringLookup::finish() {
  words_.set(found_words("string_lookup", counts_, options_.max_tokens, first_word()));
  counts_ = {};
}

void StringLookup::write_row(std::string_view text, const data::RowView& row) const {
  const auto& o = options_;
  int64_t& place = row.as<int64_t>()[0];
  if (o.mask_token && text == *o.mask_token) {
    place = 0;
  } else if (const auto word = words_.find(text)) {
    place = first_word() + *word;
  } else if (o.num_oov_indices == 0) {
    place = -1;
  } else {
    const auto key = static_cast<int64_t>(hash_name(text));
    place = first_word() - o.num_oov_indices + hash_bucket(key, 0, o.num_oov_indices);
  }
}

Value StringLookup::call(BuildContext& context, Value x) {
  require_converted(x);
  context.require(x.dtype() == DType::kInt64, "what convert_strings() made of texts");
  return encoded(context, x, first_word() + words_.size(), options_.output_mode);
}

// --- TextVectorization

TextVectorization::TextVectorization(TextVectorizationOptions options)
    : LayerOf(std::move(options)) {}

void TextVectorizationOptions::describe(OptionVisitor& visitor) {
  static constexpr EnumName<Standardize> kStandardize[] = {
      {Standardize::kNone, "NONE"},
      {Standardize::kLower, "LOWER"},
      {Standardize::kStripPunctuation, "STRIP_PUNCTUATION"},
      {Standardize::kLowerAndStripPunctuation, "LOWER_AND_STRIP_PUNCTUATION"}};
  static constexpr EnumName<Split> kSplit[] = {
      {Split::kNone, "NONE"}, {Split::kWhitespace, "WHITESPACE"}, {Split::kCharacter, "CHARACTER"}};
  describe_vocabulary(visitor, vocabulary, max_tokens);
  visitor.field({.name = "standardize",
                 .help = "what becomes of letters A to Z and of ASCII punctuation first"},
                standardize, kStandardize);
  visitor.field({.name = "split", .help = "what a word is; CHARACTER: each of UTF-8"}, split,
                kSplit);
  describe_output_mode(visitor, output_mode);
  visitor.field({.name = "output_sequence_length",
                 .help = "numbers of a text in the mode INT: others are cut off, and 0 fills up",
                 .range = at_least(1),
                 .default_text = "must be given in the mode INT"},
                output_sequence_length);
}

void TextVectorizationOptions::check() const {
  if (output_mode == EncodingMode::kOneHot) {
    throw invalid_argument("text_vectorization: output_mode: expected INT, MULTI_HOT or COUNT");
  }
  if ((output_mode == EncodingMode::kInt) != output_sequence_length.has_value()) {
    throw invalid_argument(
        "text_vectorization: expected an output_sequence_length in the mode INT, "
        "and in no other");
  }
  check_vocabulary("text_vectorization", vocabulary, max_tokens,
                   output_mode == EncodingMode::kInt ? 2 : 1);
}

void TextVectorization::check() const {
  options_.check();
  if (!options_.vocabulary.empty()) words_.set(options_.vocabulary);
}

template <typename Visit>
void TextVectorization::for_each_word(std::string_view text, Visit visit) const {
  const auto& o = options_;
  const bool lowers = o.standardize == Standardize::kLower ||
                      o.standardize == Standardize::kLowerAndStripPunctuation;
  const bool strips = o.standardize == Standardize::kStripPunctuation ||
                      o.standardize == Standardize::kLowerAndStripPunctuation;
  std::string clean;
  for (char c : text) {
    if (strips && is_punctuation(c)) continue;
    clean += lowers && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  const std::string_view all = clean;
  if (o.split == Split::kNone) return visit(all);
  for (size_t begin = 0; begin < all.size();) {
    size_t end = begin + 1;
    if (o.split == Split::kCharacter) {
      while (end < all.size() && (static_cast<unsigned char>(all[end]) & 0xc0) == 0x80) ++end;
    } else {
      if (is_space(all[begin])) {
        ++begin;
        continue;
      }
      while (end < all.size() && !is_space(all[end])) ++end;
    }
    visit(all.substr(begin, end - begin));
    begin = end;
  }
}

void TextVectorization::see(std::string_view text) {
  for_each_word(text, [&](std::string_view word) { counts_.add(word); });
}

void TextVectorization::finish() {
  words_.set(found_words("text_vectorization", counts_, options_.max_tokens, first_word()));
  counts_ = {};
}

DType TextVectorization::row_dtype() const {
  return options_.output_mode == EncodingMode::kInt ? DType::kInt64 : DType::kFloat32;
}

Shape TextVectorization::row_shape() const {
  if (options_.output_mode == EncodingMode::kInt) return {*options_.output_sequence_length};
  return {first_word() + words_.size()};
}

void TextVectorization::write_row(std::string_view text, const data::RowView& row) const {
  const int64_t first = first_word();
  if (options_.output_mode == EncodingMode::kInt) {
    const auto numbers = row.as<int64_t>();
    size_t length = 0;
    for_each_word(text, [&](std::string_view word) {
      if (length == numbers.size()) return;
      const auto found = words_.find(word);
      numbers[length++] = found ? first + *found : first - 1;
    });
    std::ranges::fill(numbers.subspan(length), 0);
    return;
  }
  const auto counts = row.as<float>();
  std::ranges::fill(counts, 0.f);
  for_each_word(text, [&](std::string_view word) {
    const auto found = words_.find(word);
    float& count = counts[static_cast<size_t>(found ? first + *found : first - 1)];
    count = options_.output_mode == EncodingMode::kCount ? count + 1 : 1;
  });
}

Value TextVectorization::call(BuildContext& context, Value x) {
  require_converted(x);
  context.require(x.dtype() == row_dtype(), "what convert_strings() made of texts");
  return x;
}

}  // namespace trireme::nn

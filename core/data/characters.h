// A text as the numbers of its characters, for models that predict the next one.
//
// A character is a code point of UTF-8. Its number is its place in the vocabulary: the characters
// that a text has, in the order of their code points. The vocabulary is a part of the model and
// stands in its checkpoints; other texts are read with it.
//
// The text is read by the rules of core/base/text_file.h, packed with gzip or not. What is no UTF-8
// is Error{kDataLoss} "file:line:column: …".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/data/dataset.h"
#include "core/data/preprocessing.h"

namespace trireme::data {

class CharacterVocabulary {
 public:
  // Those of a text in UTF-8. Throws Error{kDataLoss} naming the place where it is none, and for
  // more than 65,536 different ones. `name` is for messages.
  static CharacterVocabulary of(std::string_view text, std::string_view name);
  // That a checkpoint keeps. Throws Error{kInvalidArgument} when it is of other data.
  explicit CharacterVocabulary(const job::Preprocessing& saved);
  PreprocessingPtr preprocessing() const;

  int64_t size() const { return static_cast<int64_t>(characters_.size()); }
  std::string character(int64_t number) const;  // in UTF-8. REQUIRES: 0 ≤ number < size()
  // Throws Error{kInvalidArgument} naming the place of a character that is not among them.
  std::vector<int64_t> numbers(std::string_view text, std::string_view name) const;

 private:
  friend class CharacterText;
  CharacterVocabulary() = default;
  std::optional<uint16_t> number_of(char32_t character) const;

  std::u32string characters_;  // ascending
};

// What a source of characters says besides, for those who write text with its models.
class CharacterWindows {
 public:
  virtual ~CharacterWindows() = default;
  virtual int64_t context() const = 0;  // characters of an example
};

// The numbers of a text, in a byte each where the vocabulary allows it, else in two.
class CharacterText {
 public:
  // Throws as CharacterVocabulary::numbers(). `text` is used up.
  CharacterText(std::string text, const CharacterVocabulary& vocabulary, std::string_view name);

  int64_t size() const {
    return static_cast<int64_t>(wide_.empty() ? narrow_.size() : wide_.size());
  }
  void copy(int64_t begin, int64_t count, int64_t* to) const;

 private:
  std::string narrow_;
  std::vector<uint16_t> wide_;  // empty: narrow_ has them
};

// A file by these rules, of at most 1 GiB unpacked.
std::string read_character_file(const std::string& path);

// Example i is the `context` characters from begin + i·stride and the same shifted by one, both i64
// [context]; as many as lie in [begin, end).
Dataset character_windows(std::shared_ptr<const CharacterText> text, int64_t begin, int64_t end,
                          int64_t context, int64_t stride);

}  // namespace trireme::data

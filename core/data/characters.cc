#include "core/data/characters.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "core/base/suggest.h"
#include "core/data/line_reader.h"
#include "proto/preprocessing.pb.h"

namespace trireme::data {
namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 30;
constexpr size_t kMostCharacters = 65536;
constexpr std::string_view kSource = "characters";

// The code points of a text one after another, with the place of each for messages.
class Decoder {
 public:
  Decoder(std::string_view text, std::string_view name) : text_(text), name_(name) {}

  // False at the end. Throws Error{kDataLoss} for what is no UTF-8 (RFC 3629).
  bool next(char32_t& character) {
    last_ = at_;
    if (at_ == text_.size()) return false;
    const auto first = static_cast<unsigned char>(text_[at_]);
    if (first < 0x80) {
      character = first;
      ++at_;
      return true;
    }
    const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || at_ + length > text_.size()) throw no_utf8();
    char32_t code = first & (0xFF >> (length + 1));
    for (size_t i = 1; i < length; ++i) {
      const auto byte = static_cast<unsigned char>(text_[at_ + i]);
      if ((byte & 0xC0) != 0x80) throw no_utf8();
      code = code << 6 | (byte & 0x3F);
    }
    constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < kSmallest[length] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      throw no_utf8();
    }
    character = code;
    at_ += length;
    return true;
  }

  // "name:line:column" of the last one, counted in bytes.
  std::string place() const {
    const std::string_view before = text_.substr(0, last_);
    const auto line = 1 + std::ranges::count(before, '\n');
    const size_t begin = before.rfind('\n');
    const size_t column = begin == std::string_view::npos ? last_ + 1 : last_ - begin;
    return str_cat(name_, ':', line, ':', column);
  }

 private:
  Error no_utf8() const {
    return data_loss(place(), ": expected text in UTF-8, found the byte ",
                     int{static_cast<unsigned char>(text_[at_])},
                     "; convert the file with `iconv -t UTF-8`");
  }

  std::string_view text_, name_;
  size_t at_ = 0, last_ = 0;
};

void append_utf8(std::string& text, char32_t c) {
  const auto add = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (c < 0x80) return add(c);
  if (c < 0x800) {
    add(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      add(0xE0 | c >> 12);
    } else {
      add(0xF0 | c >> 18);
      add(0x80 | (c >> 12 & 0x3F));
    }
    add(0x80 | (c >> 6 & 0x3F));
  }
  add(0x80 | (c & 0x3F));
}

class Windows final : public IndexedExamples {
 public:
  Windows(std::shared_ptr<const CharacterText> text, int64_t begin, int64_t count, int64_t context,
          int64_t stride)
      : text_(std::move(text)), begin_(begin), count_(count), context_(context), stride_(stride) {}

  ElementSpec spec() const override {
    return {{"characters", DType::kInt64, {context_}}, {"next", DType::kInt64, {context_}}};
  }
  int64_t size() const override { return count_; }
  void read(int64_t index, std::span<const RowView> out) const override {
    const int64_t at = begin_ + index * stride_;
    text_->copy(at, context_, out[0].as<int64_t>().data());
    text_->copy(at + 1, context_, out[1].as<int64_t>().data());
  }

 private:
  std::shared_ptr<const CharacterText> text_;
  int64_t begin_, count_, context_, stride_;
};

}  // namespace

CharacterVocabulary CharacterVocabulary::of(std::string_view text, std::string_view name) {
  std::vector<bool> seen(0x110000);
  Decoder decoder(text, name);
  for (char32_t c = 0; decoder.next(c);) seen[c] = true;
  CharacterVocabulary vocabulary;
  for (char32_t c = 0; c < seen.size(); ++c) {
    if (seen[c]) vocabulary.characters_ += c;
  }
  if (vocabulary.characters_.size() > kMostCharacters) {
    throw data_loss(name, ": expected at most ", kMostCharacters, " different characters, found ",
                    vocabulary.characters_.size());
  }
  return vocabulary;
}

CharacterVocabulary::CharacterVocabulary(const job::Preprocessing& saved) {
  const std::string text = preprocessing_values(saved, kSource);
  Decoder decoder(text, "the model's vocabulary");
  for (char32_t c = 0; decoder.next(c);) {
    if (!characters_.empty() && c <= characters_.back()) {
      throw data_loss("the model's vocabulary of characters is damaged: they are not in order");
    }
    characters_ += c;
  }
  if (characters_.size() > kMostCharacters) {
    throw data_loss("the model's vocabulary of characters is damaged: it has ", characters_.size());
  }
}

PreprocessingPtr CharacterVocabulary::preprocessing() const {
  std::string all;
  std::vector<std::string> each;
  for (int64_t i = 0; i < size(); ++i) {
    each.push_back(character(i));
    all += each.back();
  }
  return make_preprocessing(kSource, all, each);
}

std::string CharacterVocabulary::character(int64_t number) const {
  std::string text;
  append_utf8(text, characters_.at(static_cast<size_t>(number)));
  return text;
}

std::optional<uint16_t> CharacterVocabulary::number_of(char32_t character) const {
  const auto at = std::ranges::lower_bound(characters_, character);
  if (at == characters_.end() || *at != character) return std::nullopt;
  return static_cast<uint16_t>(at - characters_.begin());
}

namespace {

Error unknown_character(const Decoder& decoder, char32_t character, int64_t known) {
  std::string shown;
  append_utf8(shown, character);
  char code[16];
  std::snprintf(code, sizeof code, "U+%04X", static_cast<unsigned>(character));
  return invalid_argument(decoder.place(), ": the character ", code, " \"", printable(shown),
                          "\" is not among the ", known, " that the model was trained with");
}

}  // namespace

std::vector<int64_t> CharacterVocabulary::numbers(std::string_view text,
                                                  std::string_view name) const {
  std::vector<int64_t> numbers;
  Decoder decoder(text, name);
  for (char32_t c = 0; decoder.next(c);) {
    const auto number = number_of(c);
    if (!number) throw unknown_character(decoder, c, size());
    numbers.push_back(*number);
  }
  return numbers;
}

CharacterText::CharacterText(std::string text, const CharacterVocabulary& vocabulary,
                             std::string_view name) {
  constexpr uint16_t kUnknown = UINT16_MAX;  // of the bytes that are characters by themselves
  std::array<uint16_t, 128> ascii;
  for (char32_t c = 0; c < ascii.size(); ++c) ascii[c] = vocabulary.number_of(c).value_or(kUnknown);
  const bool is_narrow = vocabulary.size() <= 256;
  size_t count = 0;
  {
    Decoder decoder(text, name);
    for (char32_t c = 0; decoder.next(c); ++count) {
      const bool is_ascii = c < ascii.size() && ascii[c] != kUnknown;
      const auto number = is_ascii ? ascii[c] : vocabulary.number_of(c);
      if (!number) throw unknown_character(decoder, c, vocabulary.size());
      if (!is_narrow) {
        wide_.push_back(*number);
      }
    }
  }
  if (!is_narrow) return;
  // Written over what was read: a number is no longer than its character.
  Decoder decoder(text, name);
  size_t to = 0;
  for (char32_t c = 0; decoder.next(c);) {
    const bool is_ascii = c < ascii.size();
    text[to++] = static_cast<char>(is_ascii ? ascii[c] : *vocabulary.number_of(c));
  }
  text.resize(count);
  text.shrink_to_fit();
  narrow_ = std::move(text);
}

void CharacterText::copy(int64_t begin, int64_t count, int64_t* to) const {
  if (wide_.empty()) {
    for (int64_t i = 0; i < count; ++i) {
      to[i] = static_cast<unsigned char>(narrow_[static_cast<size_t>(begin + i)]);
    }
  } else {
    for (int64_t i = 0; i < count; ++i) to[i] = wide_[static_cast<size_t>(begin + i)];
  }
}

std::string read_character_file(const std::string& path) {
  return read_text(path, kMostBytes, "a text");
}

Dataset character_windows(std::shared_ptr<const CharacterText> text, int64_t begin, int64_t end,
                          int64_t context, int64_t stride) {
  const int64_t spare = end - begin - context - 1;  // characters behind the first window
  const int64_t count = spare < 0 ? 0 : spare / stride + 1;
  return from_examples(std::make_shared<Windows>(std::move(text), begin, count, context, stride));
}

}  // namespace trireme::data

// Texts as numbers of characters: data { characters }.
#include "core/data/characters.h"

#include "core/data/source.h"
#include "proto/preprocessing.pb.h"
#include "tests/core/data/files.h"
#include "tests/core/data/helpers.h"
#include "tests/support/option_texts.h"

namespace trireme::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CharactersTest : public FileTest {
 protected:
  std::unique_ptr<Source> source(test::OptionTexts options) const {
    Catalog<Source> catalog;
    register_core_sources(catalog);
    auto made = catalog.make("characters");
    if (!options.contains("file")) options["file"] = path("t.txt");
    test::with_options(*made, options);
    return made;
  }
  static std::vector<std::vector<int64_t>> rows(const Dataset& data, size_t component) {
    std::vector<std::vector<int64_t>> rows;
    Iterator all = data.iterator();
    for (Element element; all.next(element);) {
      const auto values = element.at(component).flat<int64_t>();
      rows.emplace_back(values.begin(), values.end());
    }
    return rows;
  }
  static std::string error_of(const std::function<void()>& body) {
    try {
      body();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }
};

// The label of a window is the window one character on, also of its last character.
TEST_F(CharactersTest, WindowsAndTheirLabelsCoverTheText) {
  write("t.txt", bytes_of("abcab"));
  const SourceData data = source({{"context", "2"}, {"validation_fraction", "0"}})->build({});
  EXPECT_THAT(rows(data.train, 0),
              ElementsAre(ElementsAre(0, 1), ElementsAre(1, 2), ElementsAre(2, 0)));
  EXPECT_THAT(rows(data.train, 1),
              ElementsAre(ElementsAre(1, 2), ElementsAre(2, 0), ElementsAre(0, 1)));
  EXPECT_EQ(data.validation.cardinality(), 0);
}

// A character that was trained on is not validated with.
TEST_F(CharactersTest, TheLastPartValidatesInWindowsSideBySide) {
  write("t.txt", bytes_of("aaaaaaaaaabcdefghijk"));
  const SourceData data =
      source({{"context", "3"}, {"validation_fraction", "0.5"}, {"stride", "4"}})->build({});
  EXPECT_EQ(data.train.cardinality(), 2);
  EXPECT_THAT(rows(data.validation, 0),
              ElementsAre(ElementsAre(1, 2, 3), ElementsAre(4, 5, 6), ElementsAre(7, 8, 9)));
  EXPECT_THAT(rows(data.validation, 1).back(), ElementsAre(8, 9, 10));
}

// Code points are characters, in their order; a line ends with LF however the file has it.
TEST_F(CharactersTest, ReadsUtf8AndLineEndsAndGzip) {
  write("t.txt", gzip("\xEF\xBB\xBFé€\r\n𐍈é"));
  const SourceData data = source({{"context", "4"}, {"validation_fraction", "0"}})->build({});
  EXPECT_THAT(rows(data.train, 0), ElementsAre(ElementsAre(1, 2, 0, 3)));
  EXPECT_THAT(output_meaning(data.preprocessing).classes, ElementsAre("\n", "é", "€", "𐍈"));
}

// Numbers of one byte are not enough there.
TEST_F(CharactersTest, HoldsMoreThan256DifferentCharacters) {
  std::string text;
  for (int i = 0; i < 300; ++i) {
    text += static_cast<char>(0xE4 + i / 4096);
    text += static_cast<char>(0x80 + i / 64 % 64);
    text += static_cast<char>(0x80 + i % 64);
  }
  write("t.txt", bytes_of(text));
  const SourceData data = source({{"context", "299"}, {"validation_fraction", "0"}})->build({});
  EXPECT_EQ(rows(data.train, 1)[0].back(), 299);
}

// The same character must have the same number in every file that the model reads.
TEST_F(CharactersTest, AModelKeepsItsVocabulary) {
  write("t.txt", bytes_of("abcabc"));
  const auto trained = source({{"context", "1"}, {"validation_fraction", "0"}})->build({});
  const PreprocessingPtr kept = parse_preprocessing(
      Tensor::scalar<std::string>(preprocessing_text(trained.preprocessing)), "ckpt-1");
  const std::string other = write("other.txt", bytes_of("cbc"));
  const auto again = source({{"context", "1"}})->labeled_examples({.saved = kept}, other);
  EXPECT_THAT(rows(again.train, 0), ElementsAre(ElementsAre(2), ElementsAre(1)));

  const std::string unknown = write("unknown.txt", bytes_of("ab\ncéx"));
  EXPECT_THAT(error_of([&] {
                (void)source({{"file", unknown}})->build({.saved = kept});
              }),
              HasSubstr("unknown.txt:1:3: the character U+000A \"?\" is not among the 3"));
  EXPECT_EQ(CharacterVocabulary(*kept).character(1), "b");
  EXPECT_THAT(CharacterVocabulary(*kept).numbers("ca", "a prompt"), ElementsAre(2, 0));
  EXPECT_THAT(error_of([&] { (void)CharacterVocabulary(*reviews_preprocessing(5)); }),
              HasSubstr("the model was trained with texts (reviews), the job has characters"));
}

TEST_F(CharactersTest, RefusesWhatIsNoTextOrTooShort) {
  const auto error = [&](const Bytes& bytes) {
    write("t.txt", bytes);
    return error_of([&] { (void)source({{"context", "4"}})->build({}); });
  };
  EXPECT_THAT(error(bytes_of("ab\nc\xFFz and more")),
              HasSubstr("t.txt:2:2: expected text in UTF-8, found the byte 255"));
  EXPECT_THAT(error(bytes_of("ab\xE2\x82")), HasSubstr("t.txt:1:3: expected text in UTF-8"));
  EXPECT_THAT(error(bytes_of("\xC0\x80 overlong")), HasSubstr("t.txt:1:1: expected"));
  EXPECT_THAT(error(bytes_of("abcd")), HasSubstr("4 characters to train with, expected at least"));
  EXPECT_THAT(error(bytes_of("abcdefgh")), HasSubstr("characters to validate with"));
  EXPECT_THAT(error({}), HasSubstr("t.txt"));
}

}  // namespace
}  // namespace trireme::data

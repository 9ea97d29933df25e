// data { characters }
#include <cmath>

#include "core/base/error.h"
#include "core/data/characters.h"
#include "core/data/source.h"

namespace trireme::data {
namespace {

// A text with the vocabulary that it is read by.
struct OpenText {
  CharacterVocabulary vocabulary;
  std::shared_ptr<const CharacterText> text;
};

OpenText open(const std::string& path, const PreprocessingPtr& saved) {
  std::string bytes = read_character_file(path);
  OpenText open{saved ? CharacterVocabulary(*saved) : CharacterVocabulary::of(bytes, path), {}};
  open.text = std::make_shared<CharacterText>(std::move(bytes), open.vocabulary, path);
  return open;
}

class CharactersSource final : public Source, public CharacterWindows {
 public:
  int64_t context() const override { return context_; }
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "file",
                   .help = "a text in UTF-8, .txt or .txt.gz",
                   .default_text = "must be given"},
                  file_);
    visitor.field({.name = "context",
                   .help = "characters of an example; its label is the same shifted by one",
                   .range = from_to(1, 1 << 20)},
                  context_);
    visitor.field({.name = "stride",
                   .help = "characters from one example to train with to the next; those to "
                           "validate with lie side by side",
                   .range = at_least(1)},
                  stride_);
    visitor.field({.name = "validation_fraction",
                   .help = "the last part of the text, to validate with; 0: no validation",
                   .range = from_below(0, 1)},
                  validation_fraction_);
  }
  void check() const override {
    if (file_.empty()) throw invalid_argument("file: expected the name of a text, found none");
  }

  SourceData build(const SourceContext& context) const override {
    const std::string path = context.find(file_);
    const OpenText open = data::open(path, context.saved);
    const int64_t size = open.text->size();
    const auto held_back =
        static_cast<int64_t>(std::llround(static_cast<double>(size) * validation_fraction_));
    const int64_t training = size - held_back;
    const Dataset train = character_windows(open.text, 0, training, context_, stride_);
    const Dataset validation = character_windows(open.text, training, size, context_, context_);
    require_window(train, path, training, "to train with");
    if (validation_fraction_ > 0) require_window(validation, path, held_back, "to validate with");
    return {.train = train,
            .validation = validation,
            .description = str_cat("characters ", path, ": ", training, " + ", held_back,
                                   " characters, ", open.vocabulary.size(), " different ones",
                                   context.saved ? " that the model was trained with" : "",
                                   ", in windows of ", context_),
            .preprocessing = context.saved ? context.saved : open.vocabulary.preprocessing()};
  }
  std::vector<SourceFile> files(const SourceContext& context) const override {
    return {{"data.characters.file", context.find(file_)}};
  }
  void require_saved(const SourceContext& context) const override {
    if (!context.saved) {
      throw invalid_argument("the checkpoint does not say which characters its numbers stand for");
    }
  }
  SourceData labeled_examples(const SourceContext& context,
                              const std::string& path) const override {
    require_saved(context);
    const OpenText open = data::open(path, context.saved);
    const Dataset all = character_windows(open.text, 0, open.text->size(), context_, context_);
    require_window(all, path, open.text->size(), "to evaluate with");
    return {.train = all,
            .validation = all,
            .description = str_cat("characters ", path, ": ", open.text->size(), " characters"),
            .preprocessing = context.saved};
  }

 private:
  void require_window(const Dataset& windows, const std::string& path, int64_t characters,
                      std::string_view purpose) const {
    if (windows.cardinality() > 0) return;
    throw invalid_argument(path, ": ", characters, " characters ", purpose,
                           ", expected at least data.characters.context + 1, which is ",
                           context_ + 1,
                           "; choose a shorter context or another "
                           "validation_fraction");
  }

  std::string file_;
  int64_t context_ = 128, stride_ = 1;
  double validation_fraction_ = 0.1;
};

}  // namespace

void add_characters(Catalog<Source>& catalog) {
  catalog.add<CharactersSource>(
      "characters", "",
      "Windows over a text, each with the same window one character on as its label: to predict "
      "the next character.");
}

}  // namespace trireme::data

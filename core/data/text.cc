#include "core/data/text.h"

#include <algorithm>
#include <charconv>

#include "core/base/error.h"
#include "core/data/line_reader.h"

namespace trireme::data {
namespace {

class MultiHotSource final : public IndexedExamples {
 public:
  MultiHotSource(LabeledText examples, int64_t vocabulary_size, DType label_dtype)
      : examples_(std::move(examples)),
        vocabulary_size_(vocabulary_size),
        label_dtype_(label_dtype) {
    if (vocabulary_size < 1 || vocabulary_size > int64_t{1} << 31) {
      throw invalid_argument("multi-hot text: expected a vocabulary of 1 to 2^31 words, found ",
                             vocabulary_size);
    }
    if (label_dtype != DType::kFloat32 && label_dtype != DType::kInt64) {
      throw invalid_argument("multi-hot text: expected f32 or i64 as the type of labels, found ",
                             name(label_dtype));
    }
  }

  ElementSpec spec() const override {
    return {{"text", DType::kFloat32, {vocabulary_size_}},
            {"label", label_dtype_, label_dtype_ == DType::kFloat32 ? Shape{1} : Shape{}}};
  }
  int64_t size() const override { return examples_.size(); }
  void read(int64_t index, std::span<const RowView> out) const override {
    multi_hot(examples_.example(index), out[0].as<float>());
    const int32_t label = examples_.labels[static_cast<size_t>(index)];
    if (label_dtype_ == DType::kFloat32) {
      out[1].as<float>()[0] = static_cast<float>(label);
    } else {
      out[1].as<int64_t>()[0] = label;
    }
  }

 private:
  LabeledText examples_;
  int64_t vocabulary_size_;
  DType label_dtype_;
};

bool in_word(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c > 127;
}

// Calls `visit(hash)` for each word until it returns false.
template <typename Visit>
void for_each_word(std::string_view text, const Visit& visit) {
  constexpr uint64_t kStart = hash_name("");
  uint64_t hash = kStart;
  bool inside = false;
  for (const char character : text) {
    auto c = static_cast<unsigned char>(character);
    if (!in_word(c)) {
      if (inside && !visit(hash)) return;
      hash = kStart;
      inside = false;
      continue;
    }
    if (c >= 'A' && c <= 'Z') c = static_cast<unsigned char>(c - 'A' + 'a');
    hash = (hash ^ c) * 0x100000001b3ull;  // as hash_name(), byte by byte
    inside = true;
  }
  if (inside) visit(hash);
}

class WordSource final : public IndexedExamples {
 public:
  WordSource(LabeledText examples, int64_t vocabulary_size, int64_t words)
      : examples_(std::move(examples)), vocabulary_size_(vocabulary_size), words_(words) {
    if (vocabulary_size < 2 || words < 1) {
      throw invalid_argument(
          "words of text: expected a vocabulary of at least 2 and at least 1 word, found ",
          vocabulary_size, " and ", words);
    }
  }
  ElementSpec spec() const override {
    return {{"text", DType::kInt64, {words_}}, {"label", DType::kFloat32, {1}}};
  }
  int64_t size() const override { return examples_.size(); }
  void read(int64_t index, std::span<const RowView> out) const override {
    word_places(examples_.example(index), vocabulary_size_, out[0].as<int64_t>());
    out[1].as<float>()[0] = static_cast<float>(examples_.labels[static_cast<size_t>(index)]);
  }

 private:
  LabeledText examples_;
  int64_t vocabulary_size_, words_;
};

LabeledText read(LineReader lines, int64_t classes) {
  LabeledText result;
  for (std::string_view line; lines.next(line);) {
    if (line.empty()) continue;
    const size_t tab = line.find('\t');
    if (tab == std::string_view::npos) {
      throw lines.error(1, "expected \"label<TAB>text\", found no tab");
    }
    int32_t label = -1;
    const auto [stop, status] = std::from_chars(line.data(), line.data() + tab, label);
    if (status != std::errc() || stop != line.data() + tab || label < 0 || label >= classes) {
      throw lines.error(1, "expected a label from 0 to ", classes - 1, " before the tab, found \"",
                        line.substr(0, std::min<size_t>(tab, 40)), '"');
    }
    result.add(label, line.substr(tab + 1));
  }
  if (result.size() == 0) {
    throw data_loss(lines.name(), ": expected lines of \"label<TAB>text\", found none");
  }
  return result;
}

}  // namespace

std::string_view LabeledText::example(int64_t index) const {
  const size_t i = static_cast<size_t>(index);
  const uint64_t begin = i == 0 ? 0 : ends[i - 1];
  return std::string_view(text).substr(begin, ends[i] - begin);
}

void LabeledText::add(int32_t label, std::string_view example) {
  text += example;
  ends.push_back(text.size());
  labels.push_back(label);
}

LabeledText parse_labeled_text(std::string_view data, int64_t classes, std::string_view name) {
  return read(LineReader(data, name), classes);
}

LabeledText read_labeled_text(const std::string& path, int64_t classes) {
  return read(LineReader(path), classes);
}

void multi_hot(std::string_view text, std::span<float> out) {
  std::ranges::fill(out, 0.f);
  for_each_word(text, [&](uint64_t hash) {
    out[hash % out.size()] = 1;
    return true;
  });
}

void word_places(std::string_view text, int64_t vocabulary_size, std::span<int64_t> out) {
  size_t words = 0;
  for_each_word(text, [&](uint64_t hash) {
    if (words == out.size()) return false;
    out[words++] = static_cast<int64_t>(1 + hash % static_cast<uint64_t>(vocabulary_size - 1));
    return true;
  });
  std::ranges::fill(out.subspan(words), 0);
}

Dataset multi_hot_dataset(LabeledText examples, int64_t vocabulary_size, DType label_dtype) {
  return from_examples(
      std::make_shared<MultiHotSource>(std::move(examples), vocabulary_size, label_dtype));
}

Dataset word_dataset(LabeledText examples, int64_t vocabulary_size, int64_t words) {
  return from_examples(std::make_shared<WordSource>(std::move(examples), vocabulary_size, words));
}

}  // namespace trireme::data

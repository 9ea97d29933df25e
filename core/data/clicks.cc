#include "core/data/clicks.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/base/area_under_curve.h"
#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/io/atomic_file.h"

namespace trireme::data {
namespace {

constexpr double kMeanLogit = -1.3;
constexpr float kWordDeviation = 0.4f;  // of the weights of a category's most frequent words
constexpr float kRareRank = 100;        // from which on they become smaller
constexpr float kMissingNumber = 0.05f;
constexpr uint32_t kMissingWord = 8;  // of 256
constexpr int64_t kBiasExamples = 4096;
constexpr int64_t kMaxKeys = 500'000'000;

// Random numbers of their own for each purpose.
uint64_t key_of(uint64_t seed, std::string_view purpose) {
  return hash_name(purpose) + seed * 0x9E3779B97F4A7C15ull;
}

// A file that is written from its start to its end, packed or not, and then appears.
class TextWriter {
 public:
  explicit TextWriter(const std::string& path) : file_(path) {
    const int fd = ::fcntl(file_.descriptor(), F_DUPFD_CLOEXEC, 3);
    packed_ = fd < 0 ? nullptr : gzdopen(fd, path.ends_with(".gz") ? "wb1" : "wbT");
    if (packed_ == nullptr) {
      const int error_number = errno;
      if (fd >= 0) ::close(fd);
      throw failed(path, ": cannot be written: ", std::strerror(error_number));
    }
    gzbuffer(packed_, 1 << 18);
  }
  ~TextWriter() {
    if (packed_ != nullptr) gzclose(packed_);
  }
  TextWriter(const TextWriter&) = delete;

  void write(std::string_view text) {
    if (gzwrite(packed_, text.data(), static_cast<unsigned>(text.size())) == 0) fail();
  }
  void close() {
    // What was written last may be in zlib's buffer still.
    if (gzflush(packed_, Z_FINISH) != Z_OK) fail();
    errno = 0;
    if (gzclose(std::exchange(packed_, nullptr)) != Z_OK) {
      throw failed(file_.path(), ": cannot be written: ", std::strerror(errno));
    }
    file_.commit();
  }

 private:
  [[noreturn]] void fail() {
    const int error_number = errno;
    int code = Z_OK;
    const std::string reason = gzerror(packed_, &code);
    throw failed(file_.path(),
                 ": cannot be written: ", code == Z_ERRNO ? std::strerror(error_number) : reason);
  }

  io::AtomicFile file_;
  gzFile packed_ = nullptr;
};

std::array<char, 8> hexadecimal(uint32_t word) {
  std::array<char, 8> text;
  for (int i = 7; i >= 0; --i, word >>= 4) {
    text[static_cast<size_t>(i)] = "0123456789abcdef"[word & 15];
  }
  return text;
}

// Walker's alias method (1977): the cells of a table from which one random cell and one random
// fraction choose a rank.
std::shared_ptr<const std::vector<Clicks::Cell>> zipf_cells(size_t n, double zipf) {
  std::vector<double> share(n);
  double sum = 0;
  for (size_t r = 0; r < n; ++r) {
    share[r] = std::pow(static_cast<double>(r + 1), -zipf);
    sum += share[r];
  }
  // Each cell holds a part of its own rank and, above that, a part of one that has too much.
  auto cells = std::make_shared<std::vector<Clicks::Cell>>(n);
  std::vector<uint32_t> small, large;
  for (size_t r = n; r-- > 0;) {
    share[r] *= static_cast<double>(n) / sum;
    (share[r] < 1 ? small : large).push_back(static_cast<uint32_t>(r));
  }
  while (!small.empty() && !large.empty()) {
    const uint32_t poor = small.back(), rich = large.back();
    small.pop_back();
    (*cells)[poor] = {static_cast<float>(share[poor]), rich};
    share[rich] -= 1 - share[poor];
    if (share[rich] < 1) {
      large.pop_back();
      small.push_back(rich);
    }
  }
  for (const auto& rest : {small, large}) {
    for (const uint32_t r : rest) (*cells)[r] = {1, r};
  }
  return cells;
}

class ClicksSource final : public IndexedExamples {
 public:
  ClicksSource(Clicks clicks, int64_t first, int64_t count)
      : clicks_(std::move(clicks)), first_(first), count_(count) {}
  ElementSpec spec() const override { return click_spec(); }
  int64_t size() const override { return count_; }
  void read(int64_t index, std::span<const RowView> out) const override {
    write_click(clicks_.draw(first_ + index), clicks_.keys_per_category(), out);
  }

 private:
  const Clicks clicks_;
  const int64_t first_, count_;
};

}  // namespace

// An example with what stands in the log and what the label was drawn from.
struct Clicks::Drawn {
  Click click;
  double logit = 0, probability = 0;
  std::array<int64_t, kClickNumbers> numbers;               // -1: missing
  std::array<std::array<char, 8>, kClickCategories> words;  // hexadecimal
  std::array<bool, kClickCategories> word_is_missing;

  std::string_view word(size_t column) const {
    return {words[column].data(), word_is_missing[column] ? 0 : words[column].size()};
  }
  void append_line(std::string& text) const {
    text += static_cast<char>('0' + click.label);
    for (const int64_t number : numbers) {
      text += '\t';
      std::array<char, 20> digits;
      if (number >= 0)
        text.append(digits.data(), std::to_chars(digits.begin(), digits.end(), number).ptr);
    }
    for (size_t column = 0; column < words.size(); ++column) {
      text += '\t';
      text += word(column);
    }
    text += '\n';
  }
};

Clicks::Clicks(const ClicksOptions& options)
    : seed_(options.seed), keys_per_category_(data::keys_per_category(options.keys)) {
  if (!(options.zipf >= 0 && options.zipf <= 10)) {
    throw invalid_argument("clicks: expected a zipf from 0 to 10, found ", options.zipf);
  }
  if (options.keys > kMaxKeys) {
    throw invalid_argument("clicks: expected at most ", kMaxKeys,
                           " keys, because their words are kept in memory; found ", options.keys);
  }
  ranks_ = zipf_cells(words_per_category(), options.zipf);
  words_ = find_words();

  PhiloxGenerator random(key_of(seed_, "columns"));
  for (Column& column : columns_) {
    column.location = random.uniform(0, 4);
    column.scale = random.uniform(0.5f, 1.5f);
    column.weight = 0.3f * random.normal() / column.scale;
  }
  double logits = 0;
  for (int64_t i = 0; i < kBiasExamples; ++i) logits += draw_all(i).logit;
  bias_ = kMeanLogit - logits / static_cast<double>(kBiasExamples);
}

// Words whose keys differ, so that what tells words apart tells keys apart. The last free keys
// would take long to find.
size_t Clicks::words_per_category() const {
  const uint64_t keys = keys_per_category_;
  return static_cast<size_t>(std::max<uint64_t>(1, keys * 19 / 20));
}

std::shared_ptr<const std::vector<uint32_t>> Clicks::find_words() const {
  const size_t count = words_per_category();
  auto words = std::make_shared<std::vector<uint32_t>>();
  words->reserve(count * kClickCategories);
  const uint64_t key = key_of(seed_, "words");
  std::vector<bool> taken(keys_per_category_);
  for (int column = 0; column < kClickCategories; ++column) {
    taken.assign(taken.size(), false);
    if (count < taken.size()) taken[click_key(column, "", keys_per_category_)] = true;
    size_t found = 0;
    for (uint64_t i = 0; found < count; ++i) {
      for (const uint32_t word : philox(key, static_cast<uint64_t>(column), i)) {
        const auto text = hexadecimal(word);
        const uint32_t at = click_key(column, {text.data(), text.size()}, keys_per_category_);
        if (taken[at] || found == count) continue;
        taken[at] = true;
        words->push_back(word);
        ++found;
      }
    }
  }
  return words;
}

float Clicks::word_weight(int column, uint64_t rank) const {
  // Four uniform numbers make a good enough normal one.
  const PhiloxBlock bits = philox(key_of(seed_, "weights"), static_cast<uint64_t>(column), rank);
  float sum = -2;
  for (const uint32_t b : bits) sum += uniform_float(b);
  const float deviation = kWordDeviation / std::sqrt(1 + static_cast<float>(rank) / kRareRank);
  return sum * std::sqrt(3.f) * deviation;
}

Clicks::Drawn Clicks::draw_all(int64_t index) const {
  PhiloxGenerator random(key_of(seed_, "examples"), static_cast<uint64_t>(index));
  Drawn drawn;
  drawn.logit = bias_;
  for (size_t i = 0; i < columns_.size(); ++i) {
    const Column& column = columns_[i];
    const bool is_missing = random.uniform() < kMissingNumber;
    const float size = std::exp(column.location + column.scale * random.normal());
    const auto number = static_cast<int64_t>(size);
    drawn.numbers[i] = is_missing ? -1 : number;
    drawn.click.numbers[i] = is_missing ? 0.f : click_number(number);
    drawn.logit += column.weight * (drawn.click.numbers[i] - column.location);
  }
  for (int column = 0; column < kClickCategories; ++column) {
    const auto i = static_cast<size_t>(column);
    const uint64_t cell = (uint64_t{random.next()} * ranks_->size()) >> 32;
    const uint32_t fraction = random.next();
    const Cell& choice = (*ranks_)[cell];
    const uint64_t rank = uniform_float(fraction) < choice.keep ? cell : choice.other;
    drawn.words[i] = hexadecimal((*words_)[i * ranks_->size() + rank]);
    drawn.word_is_missing[i] = (fraction & 0xff) < kMissingWord;
    drawn.click.keys[i] = click_key(column, drawn.word(i), keys_per_category_);
    if (!drawn.word_is_missing[i]) drawn.logit += word_weight(column, rank);
  }
  drawn.probability = 1 / (1 + std::exp(-drawn.logit));
  drawn.click.label = random.uniform() < drawn.probability ? 1 : 0;
  return drawn;
}

double Clicks::probability(int64_t index) const { return draw_all(index).probability; }
Click Clicks::draw(int64_t index) const { return draw_all(index).click; }

Dataset Clicks::dataset(int64_t first, int64_t count) const {
  return from_examples(std::make_shared<ClicksSource>(*this, first, count));
}

std::optional<double> Clicks::bayes_auc(int64_t first, int64_t count) const {
  RankedScores scores;
  for (int64_t i = first; i < first + count; ++i) {
    const Drawn drawn = draw_all(i);
    scores.add(static_cast<float>(drawn.probability), drawn.click.label == 1);
  }
  return scores.area_under_curve();
}

Clicks::Written Clicks::write(const std::string& path, int64_t first, int64_t count) const {
  constexpr size_t kPiece = 1 << 18;
  TextWriter file(path);
  RankedScores scores;
  Written written;
  std::string text;
  for (int64_t i = first; i < first + count; ++i) {
    const Drawn drawn = draw_all(i);
    drawn.append_line(text);
    if (text.size() >= kPiece) {
      file.write(text);
      text.clear();
    }
    scores.add(static_cast<float>(drawn.probability), drawn.click.label == 1);
    written.clicks += drawn.click.label;
  }
  if (!text.empty()) file.write(text);
  file.close();
  written.examples = count;
  written.bayes_auc = scores.area_under_curve();
  return written;
}

}  // namespace trireme::data

#include "core/data/criteo.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/data/line_reader.h"

namespace trireme::data {
namespace {

constexpr int kMaxWord = 32;  // digits of a category

// The fields of one line, one after another.
class LineParser {
 public:
  LineParser(std::string_view line, std::string_view path, int64_t number)
      : line_(line), at_(line.data()), end_(at_ + line.size()), path_(path), number_(number) {}

  Click parse(uint32_t keys_per_category, bool has_label) {
    Click click{};
    fields_ = kClickNumbers + kClickCategories + (has_label ? 1 : 0);
    if (has_label) {
      if (at_ == end_ || (*at_ != '0' && *at_ != '1')) fail("the label 0 or 1");
      click.label = static_cast<uint8_t>(*at_++ - '0');
    }
    for (float& number : click.numbers) {
      if (has_label || at_ != line_.data()) tab();
      number = parse_number();
    }
    for (int column = 0; column < kClickCategories; ++column) {
      tab();
      click.keys[static_cast<size_t>(column)] = click_key(column, word(), keys_per_category);
    }
    if (at_ != end_) fail("the end of the line");
    return click;
  }

 private:
  void tab() {
    if (at_ == end_ || *at_ != '\t') fail(str_cat("a tab and the next of ", fields_, " fields"));
    ++at_;
  }

  float parse_number() {
    const char* const begin = at_;
    const bool negative = at_ != end_ && *at_ == '-';
    if (negative) ++at_;
    int64_t n = 0;
    const char* const digits = at_;
    for (; at_ != end_ && *at_ >= '0' && *at_ <= '9'; ++at_) {
      if (at_ - digits == 18) fail("an integer of at most 18 digits");
      n = 10 * n + (*at_ - '0');
    }
    if (at_ == begin && field_ends()) return 0;  // empty
    if (at_ == digits || !field_ends()) fail("an integer or nothing");
    return click_number(negative ? -n : n);
  }

  std::string_view word() {
    const char* const begin = at_;
    for (; !field_ends(); ++at_) {
      const char c = static_cast<char>(*at_ | 0x20);
      if (!((c >= '0' && c <= '9' && *at_ == c) || (c >= 'a' && c <= 'f'))) {
        fail("a word of hexadecimal digits or nothing");
      }
      if (at_ - begin == kMaxWord) fail(str_cat("a word of at most ", kMaxWord, " digits"));
    }
    return {begin, static_cast<size_t>(at_ - begin)};
  }

  bool field_ends() const { return at_ == end_ || *at_ == '\t'; }

  [[noreturn]] void fail(std::string_view expected) const {
    std::string found = "the end of the line";
    if (at_ != end_ && *at_ == '\t') {
      found = "a tab";
    } else if (at_ != end_) {
      const char* const stop = std::find(at_, std::min(end_, at_ + 20), '\t');
      found = "'";
      for (const char* c = at_; c != stop; ++c) found += *c >= ' ' && *c <= '~' ? *c : '?';
      found += "'";
    }
    throw data_loss(path_, ":", number_, ":", at_ - line_.data() + 1, ": expected ", expected,
                    ", found ", found);
  }

  std::string_view line_;
  const char* at_;
  const char* end_;
  std::string_view path_;
  int64_t number_;
  int fields_ = 0;
};

class ClickLogSource final : public IndexedExamples {
 public:
  explicit ClickLogSource(ClickLog log) : log_(std::move(log)) {}
  ElementSpec spec() const override { return click_spec(); }
  int64_t size() const override { return log_.size(); }
  void read(int64_t index, std::span<const RowView> out) const override {
    write_click(log_.at(index), log_.keys_per_category(), out);
  }

 private:
  const ClickLog log_;
};

}  // namespace

ElementSpec click_spec() {
  return {{"numbers", DType::kFloat32, {kClickNumbers}},
          {"keys", DType::kInt64, {kClickCategories}},
          {"label", DType::kFloat32, {1}}};
}

float click_number(int64_t n) {
  return n <= 0 ? 0.f : static_cast<float>(std::log1p(static_cast<double>(n)));
}

uint32_t click_key(int column, std::string_view word, uint32_t keys_per_category) {
  // The words of real logs are hashes of 32 bits already; FNV's low bits alone would do less well.
  uint64_t hash = hash_name(word) + static_cast<uint64_t>(column) * 0x9E3779B97F4A7C15ull;
  hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ull;
  return static_cast<uint32_t>((hash ^ (hash >> 32)) % keys_per_category);
}

Click parse_click(std::string_view line, uint32_t keys_per_category, std::string_view path,
                  int64_t number, bool has_label) {
  return LineParser(line, path, number).parse(keys_per_category, has_label);
}

void write_click(const Click& click, uint32_t keys_per_category, std::span<const RowView> out) {
  std::ranges::copy(click.numbers, out[0].as<float>().begin());
  const auto keys = out[1].as<int64_t>();
  int64_t offset = 0;
  for (size_t column = 0; column < keys.size(); ++column, offset += keys_per_category) {
    keys[column] = offset + click.keys[column];
  }
  out[2].as<float>()[0] = click.label;
}

uint32_t keys_per_category(int64_t keys) {
  const int64_t each = keys / kClickCategories;
  if (each < 1 || each > UINT32_MAX) {
    throw invalid_argument("expected at least one key for each of ", kClickCategories,
                           " categories and at most 2^32 - 1, found ", keys, " keys in all");
  }
  return static_cast<uint32_t>(each);
}

void ClickLog::add(const Click& click) {
  const int64_t at = size_ % kBlock;
  if (at == 0) blocks_.push_back(std::make_shared<Block>());
  (*blocks_.back())[static_cast<size_t>(at)] = click;
  ++size_;
}

void ClickLog::read(const std::string& path, int64_t limit) {
  LineReader lines(path);
  for (std::string_view line; (limit < 0 || size_ < limit) && lines.next(line);) {
    if (line.empty()) continue;
    add(parse_click(line, keys_per_category_, path, lines.number()));
  }
}

Dataset ClickLog::dataset() const { return from_examples(std::make_shared<ClickLogSource>(*this)); }

}  // namespace trireme::data

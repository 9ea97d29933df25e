// Elements that are kept in a file: save and load, snapshot, cache with a path.
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/core/data/helpers.h"
#include "tests/support/process.h"

namespace trireme::data {
namespace {

using ::testing::HasSubstr;

class ElementFileTest : public ::testing::Test {
 protected:
  // Even numbers of [0, n), counted as they are made.
  Dataset evens(int64_t n) {
    return numbers(n).shuffle(1).filter([this](const Element& e) {
      ++calls_;
      return e[1].item<int64_t>() % 2 == 0;
    });
  }
  std::string bytes() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  testing::TemporaryDirectory folder_;
  const std::string path_ = folder_ / "elements";
  int calls_ = 0;
};

TEST_F(ElementFileTest, GivesBackWhatWasSaved) {
  const Dataset words = from_function(
      {{"words", DType::kString, {-1}}, {"x", DType::kFloat64, {}}, {"flag", DType::kBool, {2}}}, 4,
      [](int64_t i, Element& out) {
        std::vector<std::string> texts(static_cast<size_t>(i),
                                       std::string(static_cast<size_t>(i), 'x'));
        out = {Tensor::from<std::string>({i}, texts), Tensor::scalar(static_cast<double>(i)),
               Tensor::from<bool>({2}, {i == 1, true})};
      });
  words.save(path_);
  const Dataset loaded = load(path_);
  EXPECT_EQ(loaded.element_spec(), words.element_spec());
  EXPECT_EQ(loaded.cardinality(), 4);
  Iterator expected = words.iterator(), found = loaded.iterator();
  Element a, b;
  while (expected.next(a)) {
    ASSERT_TRUE(found.next(b));
    for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].to_string(), b[i].to_string());
  }
  EXPECT_FALSE(found.next(b));
}

// A stream of unknown length is read once; then it has a cardinality, and can be shuffled.
TEST_F(ElementFileTest, ASnapshotTurnsAStreamIntoAnIndex) {
  const auto expected = drain(evens(30));
  calls_ = 0;
  const Dataset data = evens(30).snapshot(path_);
  EXPECT_EQ(calls_, 30);
  EXPECT_EQ(data.cardinality(), 15);
  EXPECT_EQ(drain(data.repeat(2)).size(), 30u);
  EXPECT_EQ(drain(data), expected);
  EXPECT_EQ(sorted(drain(data.shuffle(5).batch(4))), sorted(expected));
  EXPECT_EQ(drain(evens(30).snapshot(path_)), expected);
  EXPECT_EQ(calls_, 30) << "another run takes the file as it is";
}

TEST_F(ElementFileTest, ACacheIsWrittenWhenItIsFirstRead) {
  const Dataset data = evens(30).cache(path_);
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_EQ(drain(data.repeat(3)), drain(evens(30).cache().repeat(3)));
  EXPECT_EQ(calls_, 60);
  EXPECT_EQ(drain(evens(30).cache(path_)), drain(data));
  EXPECT_EQ(calls_, 60);
  EXPECT_EQ(numbers(9).cache(folder_ / "other").cardinality(), 9);
  EXPECT_THAT(message_of([&] { numbers(9).repeat().cache(path_); }),
              HasSubstr("cache before repeat()"));
}

// Augmentation behind a cache belongs to the example, as it does without one.
TEST_F(ElementFileTest, ExamplesKeepTheirNumbers) {
  std::vector<int64_t> without, with;
  const auto note = [](std::vector<int64_t>& numbers) {
    return [&numbers](Element&, const MapContext& context) { numbers.push_back(context.index); };
  };
  drain(evens(30).map(note(without), {.threads = 0}));
  drain(evens(30).snapshot(path_).map(note(with), {.threads = 0}));
  EXPECT_EQ(without, with);
}

TEST_F(ElementFileTest, BelongsToItsChain) {
  evens(30).snapshot(path_);
  EXPECT_THAT(
      message_of([&] { numbers(30).snapshot(path_); }),
      HasSubstr(path_ + ": expected the elements of this data set, found those of another"));
  EXPECT_THAT(message_of([&] { drain(evens(31).cache(path_)); }), HasSubstr("remove the file"));
  EXPECT_THAT(message_of([&] { load(folder_ / "none"); }), HasSubstr("none"));
  EXPECT_THAT(message_of([&] { numbers(3).repeat().save(path_); }), HasSubstr("endless"));
}

// Any byte of it may be wrong: that is noticed, at the latest when the element is read.
TEST_F(ElementFileTest, NoticesDamage) {
  numbers(5).save(path_);
  const std::string whole = bytes();
  const auto write = [&](const std::string& text) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << text;
  };
  const auto expected = drain(numbers(5));
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x41);
    write(damaged);
    try {
      const Dataset found = load(path_);
      // The names and the fingerprint are the user's business.
      if (found.element_spec() != numbers(1).element_spec()) continue;
      EXPECT_EQ(drain(found), expected) << "byte " << i;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(path_)) << "byte " << i;
      EXPECT_EQ(error.code(), ErrorCode::kDataLoss) << error.what();
    }
  }
  for (size_t size = 0; size < whole.size(); size += 7) {
    write(whole.substr(0, size));
    EXPECT_THAT(message_of([&] { load(path_); }), HasSubstr("a damaged one; remove it")) << size;
  }
}

}  // namespace
}  // namespace trireme::data

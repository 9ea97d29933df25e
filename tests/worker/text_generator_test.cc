// Text that is drawn from what a model of characters gives.
#include "worker/text_generator.h"

#include <gmock/gmock.h>

#include <map>

#include "core/base/error.h"

namespace trireme {
namespace {

using ::testing::HasSubstr;

const std::vector<float> kScores = {0, 3, 1, 2};

std::map<int64_t, int> drawn(const GenerateOptions& options, bool are_probabilities,
                             const std::vector<float>& scores = kScores) {
  PhiloxGenerator random(7);
  std::map<int64_t, int> count;
  for (int i = 0; i < 4000; ++i)
    ++count[draw_character(scores, are_probabilities, options, random)];
  return count;
}

// Shares of softmax(scores / temperature), to four standard deviations.
TEST(TextGeneratorTest, DrawsByTheSharesOfTheScores) {
  for (const double temperature : {0.5, 1.0, 3.0}) {
    const auto count = drawn({.temperature = temperature}, false);
    double sum = 0;
    for (const float score : kScores) sum += std::exp(score / temperature);
    for (const auto& [i, n] : count) {
      const double share = std::exp(kScores[static_cast<size_t>(i)] / temperature) / sum;
      EXPECT_NEAR(n / 4000.0, share, 4 * std::sqrt(share * (1 - share) / 4000)) << temperature;
    }
  }
  const auto shares = drawn({}, true, {0.1f, 0.6f, 0.3f});
  EXPECT_NEAR(shares.at(1) / 4000.0, 0.6, 0.04);
}

TEST(TextGeneratorTest, DrawsAmongTheBestOnly) {
  const auto two = drawn({.top_k = 2}, false);
  EXPECT_EQ(two.size(), 2u);
  EXPECT_TRUE(two.contains(1) && two.contains(3));
  EXPECT_EQ(drawn({.temperature = 0}, false), (std::map<int64_t, int>{{1, 4000}}));
  EXPECT_EQ(drawn({.temperature = 5, .top_k = 1}, false), (std::map<int64_t, int>{{1, 4000}}));
}

// A model that always wants the character behind the last one of the vocabulary: a, b, c, d, a, …
class Successor {
 public:
  Tensor operator()(const Tensor& numbers) {
    const int64_t context = numbers.shape()[1];
    Tensor scores = Tensor::zeros(DType::kFloat32, {1, context, 4});
    for (int64_t i = 0; i < context; ++i) {
      const auto next = (numbers.flat<int64_t>()[static_cast<size_t>(i)] + 1) % 4;
      scores.flat<float>()[static_cast<size_t>(4 * i + next)] = 1;
    }
    return scores;
  }
};

std::string text_of(const GenerateOptions& options, int64_t context) {
  std::string text;
  generate_text(Successor(), false, data::CharacterVocabulary::of("abcd", "text"), context, options,
                [&](std::string_view part) { text += part; });
  return text;
}

// The prediction that counts is the one behind the last character, wherever it stands in the
// window.
TEST(TextGeneratorTest, GoesOnBehindThePrompt) {
  EXPECT_EQ(text_of({.characters = 6, .prompt = "ab", .temperature = 0}, 4), "cdabcd");
  EXPECT_EQ(text_of({.characters = 6, .prompt = "abcdabc", .temperature = 0}, 3), "dabcda");
  EXPECT_EQ(text_of({.characters = 9, .temperature = 0}, 1), "bcdabcdab");
}

TEST(TextGeneratorTest, RefusesWhatTheModelDoesNotKnow) {
  const auto error = [](const std::function<void()>& body) -> std::string {
    try {
      body();
    } catch (const Error& refused) {
      return refused.what();
    }
    return "";
  };
  EXPECT_THAT(error([] { (void)text_of({.characters = 1, .prompt = "abx"}, 4); }),
              HasSubstr("--prompt:1:3: the character U+0078 \"x\" is not among the 4"));
  const CharacterModel flat = [](const Tensor&) { return Tensor::zeros(DType::kFloat32, {1, 4}); };
  EXPECT_THAT(error([&] {
                generate_text(flat, false, data::CharacterVocabulary::of("abcd", "text"), 3,
                              {.characters = 1}, [](std::string_view) {});
              }),
              HasSubstr("expected a model that gives f32[1, 3, 4]"));
}

}  // namespace
}  // namespace trireme

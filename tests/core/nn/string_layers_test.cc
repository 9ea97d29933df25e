// Layers that make numbers of texts: what Keras 3.15 gives for the same words.
#include "core/nn/string_layers.h"

#include "core/nn/functional.h"
#include "tests/core/nn/helpers.h"

namespace trireme::nn {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

data::Dataset texts(const std::vector<std::string>& lines) {
  const auto n = static_cast<int64_t>(lines.size());
  Tensor column(DType::kString, {n});
  std::ranges::copy(lines, column.flat<std::string>().begin());
  return data::from_tensors({column, Tensor::zeros(DType::kFloat32, {n, 1})}, {"text", "label"});
}

const std::vector<std::string> kTexts = {"The cat, the dog.", "A dog!  a DOG?",
                                         "no Cat\tno hat; no  way"};

// The layer's numbers for `lines`, after it has seen `seen`.
template <typename T, typename L>
std::vector<std::vector<T>> rows_of(typename L::Options options,
                                    const std::vector<std::string>& seen,
                                    const std::vector<std::string>& lines,
                                    std::vector<std::string>* vocabulary = nullptr) {
  Model model;
  model.add<L>(std::move(options));
  adapt_strings(model.network(), texts(seen));
  const auto layers = vocabulary_layers(model.network());
  if (vocabulary != nullptr && !layers.empty()) *vocabulary = layers[0].second->vocabulary();
  const Tensor y = model.predict(
      convert_strings(model.network(), texts(lines)).batch(static_cast<int64_t>(lines.size())));
  const auto all = y.flat<T>();
  const size_t width = all.size() / lines.size();
  std::vector<std::vector<T>> rows;
  for (size_t i = 0; i < lines.size(); ++i) {
    rows.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(i * width),
                      all.begin() + static_cast<std::ptrdiff_t>((i + 1) * width));
  }
  return rows;
}

TEST(TextVectorizationTest, NumbersTheWordsAsKerasDoes) {
  std::vector<std::string> words;
  const auto rows = rows_of<int64_t, TextVectorization>({.output_sequence_length = 6}, kTexts,
                                                        {"the hat of a Cat", "dog"}, &words);
  EXPECT_THAT(words, ElementsAre("no", "dog", "the", "cat", "a", "way", "hat"));
  EXPECT_THAT(rows, ElementsAre(ElementsAre(4, 8, 1, 6, 5, 0), ElementsAre(3, 0, 0, 0, 0, 0)));
  EXPECT_THAT((rows_of<int64_t, TextVectorization>({.max_tokens = 5, .output_sequence_length = 4},
                                                   kTexts, {"the hat of a Cat", "dog"})),
              ElementsAre(ElementsAre(4, 1, 1, 1), ElementsAre(3, 0, 0, 0)));
  EXPECT_THAT((rows_of<int64_t, TextVectorization>({.standardize = Standardize::kNone,
                                                    .split = Split::kCharacter,
                                                    .output_sequence_length = 4},
                                                   {"ab", "bc"}, {"cab?"})),
              ElementsAre(ElementsAre(3, 4, 2, 1)));
}

TEST(TextVectorizationTest, CountsTheWordsAsKerasDoes) {
  EXPECT_THAT((rows_of<float, TextVectorization>({.output_mode = EncodingMode::kCount}, kTexts,
                                                 {"the hat of a Cat the end"})),
              ElementsAre(ElementsAre(2, 0, 0, 2, 1, 1, 0, 1)));
  EXPECT_THAT(
      (rows_of<float, TextVectorization>({.max_tokens = 4, .output_mode = EncodingMode::kMultiHot},
                                         kTexts, {"the hat of a dog dog"})),
      ElementsAre(ElementsAre(1, 0, 1, 1)));
}

TEST(StringLookupTest, NumbersWholeTextsAsKerasDoes) {
  std::vector<std::string> words;
  EXPECT_THAT(
      (rows_of<int64_t, StringLookup>({}, {"b", "a", "b", "c", "a", "b"}, {"a", "x", "b"}, &words)),
      ElementsAre(ElementsAre(2), ElementsAre(0), ElementsAre(1)));
  EXPECT_THAT(words, ElementsAre("b", "a", "c"));
  EXPECT_THAT((rows_of<int64_t, StringLookup>({.vocabulary = {"x", "y"}, .mask_token = ""}, {},
                                              {"y", "", "q"})),
              ElementsAre(ElementsAre(3), ElementsAre(0), ElementsAre(1)));
  EXPECT_THAT(
      (rows_of<float, StringLookup>(
          {.vocabulary = {"x", "y"}, .output_mode = EncodingMode::kOneHot}, {}, {"y", "q"})),
      ElementsAre(ElementsAre(0, 0, 1), ElementsAre(1, 0, 0)));
}

// Texts are hashed by their bytes, so that equal ones meet in any job.
TEST(HashingTest, HashesTexts) {
  const auto rows =
      rows_of<int64_t, Hashing>({.num_bins = 1000, .mask_text = ""}, {}, {"a", "b", "a", ""});
  EXPECT_EQ(rows[0], rows[2]);
  EXPECT_NE(rows[0], rows[1]);
  EXPECT_EQ(rows[3][0], 0);
  EXPECT_GT(rows[0][0], 0);
}

// From texts to a trained model: the words that tell the classes apart are learned.
TEST(TextVectorizationTest, AModelLearnsFromTexts) {
  std::vector<std::string> lines;
  std::vector<float> labels;
  for (int i = 0; i < 64; ++i) {
    lines.push_back(str_cat("number ", i, i % 2 == 0 ? " good film" : " bad film"));
    labels.push_back(i % 2 == 0 ? 1 : 0);
  }
  Tensor column(DType::kString, {64});
  std::ranges::copy(lines, column.flat<std::string>().begin());
  const data::Dataset examples =
      data::from_tensors({column, Tensor::from<float>({64, 1}, labels)}, {"text", "label"});
  Model model;
  model.add<TextVectorization>({.max_tokens = 10, .output_mode = EncodingMode::kMultiHot});
  model.add<Dense>({.units = 1});
  adapt_strings(model.network(), examples);
  model.compile(
      {.optimizer = std::make_shared<Adam>(constant_rate(0.1)), .loss = binary_cross_entropy()});
  const History history =
      model.fit(convert_strings(model.network(), examples).shuffle(1).batch(16), quiet(20));
  EXPECT_LT(history.last("loss"), 0.05);
  std::vector<Tensor> features = {Tensor(DType::kString, {2})};
  features[0].flat<std::string>()[0] = "a good one";
  features[0].flat<std::string>()[1] = "a bad one";
  convert_strings(model.network(), features);
  const Tensor y = model.predict(features);
  EXPECT_GT(y.as_double(0), 0);
  EXPECT_LT(y.as_double(1), 0);
}

TEST(StringLayersTest, SayWhatTextsNeed) {
  Model plain;
  plain.add<Flatten>();
  EXPECT_THAT(error_of([&] { convert_strings(plain.network(), texts({"a"})); }),
              AllOf(HasSubstr("layer 1 (flatten \"flatten\")"), HasSubstr("feature_0 is texts"),
                    HasSubstr("text_vectorization")));
  EXPECT_THAT(error_of([] { Model().add<TextVectorization>(); }),
              HasSubstr("expected an output_sequence_length in the mode INT"));
  EXPECT_THAT(error_of([] {
                Model().add<StringLookup>({.vocabulary = {"a", "a"}});
              }),
              HasSubstr("the word \"a\" stands there twice"));
  EXPECT_THAT(error_of([] { rows_of<int64_t, StringLookup>({}, {}, {"a"}); }),
              HasSubstr("expected training data with at least one word"));
  Model unconverted;
  unconverted.add<StringLookup>({.vocabulary = {"a"}});
  EXPECT_THAT(error_of([&] {
                unconverted.build({DType::kString, {-1}});
              }),
              HasSubstr("let the data go through convert_strings() first"));
}

}  // namespace
}  // namespace trireme::nn

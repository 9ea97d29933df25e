#include "worker/text_generator.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/base/error.h"

namespace trireme {

int64_t draw_character(std::span<const float> scores, bool are_probabilities,
                       const GenerateOptions& options, PhiloxGenerator& random) {
  std::vector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  // Of equal scores the first counts as the better one, so that the order is always the same.
  const auto better = [&](int64_t a, int64_t b) {
    const float left = scores[static_cast<size_t>(a)], right = scores[static_cast<size_t>(b)];
    return left != right ? left > right : a < b;
  };
  if (options.temperature == 0) return *std::ranges::min_element(order, better);
  const auto most = static_cast<int64_t>(scores.size());
  const int64_t kept = options.top_k == 0 ? most : std::min(options.top_k, most);
  std::ranges::partial_sort(order, order.begin() + kept, better);
  order.resize(static_cast<size_t>(kept));
  const auto logit = [&](int64_t i) {
    const double score = scores[static_cast<size_t>(i)];
    return (are_probabilities ? std::log(score) : score) / options.temperature;
  };
  const double largest = logit(order[0]);
  std::vector<double> sums;
  double sum = 0;
  for (const int64_t i : order) sums.push_back(sum += std::exp(logit(i) - largest));
  const double drawn = random.uniform() * sum;
  const auto at = std::ranges::upper_bound(sums, drawn) - sums.begin();
  return order[static_cast<size_t>(std::min<int64_t>(at, kept - 1))];
}

void generate_text(const CharacterModel& model, bool are_probabilities,
                   const data::CharacterVocabulary& vocabulary, int64_t context,
                   const GenerateOptions& options,
                   const std::function<void(std::string_view)>& write) {
  std::vector<int64_t> text = vocabulary.numbers(options.prompt, "--prompt");
  if (text.empty()) text.push_back(0);  // a line end where the vocabulary has one
  PhiloxGenerator random(options.seed, 0);
  for (int64_t i = 0; i < options.characters; ++i) {
    // What stands behind the last character changes nothing of what is given there.
    const auto known = std::min(static_cast<int64_t>(text.size()), context);
    std::vector<int64_t> window(static_cast<size_t>(context), 0);
    std::copy(text.end() - known, text.end(), window.begin());
    const Tensor scores = model(Tensor::from<int64_t>({1, context}, window));
    if (scores.dtype() != DType::kFloat32 ||
        scores.shape() != Shape{1, context, vocabulary.size()}) {
      throw invalid_argument(
          "--generate: expected a model that gives f32[1, ", context, ", ", vocabulary.size(),
          "], a score of each character behind each of the window, found ", scores.type());
    }
    const auto row =
        scores.flat<float>().subspan(static_cast<size_t>((known - 1) * vocabulary.size()),
                                     static_cast<size_t>(vocabulary.size()));
    if (!std::ranges::all_of(row, [](float score) { return std::isfinite(score); })) {
      throw failed("--generate: a score of character ", i + 1,
                   " is not finite: the weights of the checkpoint hold numbers that are not finite "
                   "or very large");
    }
    text.push_back(draw_character(row, are_probabilities, options, random));
    write(vocabulary.character(text.back()));
    if (static_cast<int64_t>(text.size()) > 2 * context) {
      text.erase(text.begin(), text.end() - context);
    }
  }
}

}  // namespace trireme

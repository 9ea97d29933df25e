// Made-up click logs, for whoever has no real ones, whose best possible AUC is known.
//
// Example i is a function of (options, i), and the drawing of one costs about 2 µs: only the words
// are kept in memory. Numbers are heavy-tailed, and some are missing. The words of each category
// follow Zipf's law, and each has a key of its own. The label is drawn from a logistic model over
// what stands in the log: a weight for each number's feature, and one for each word; about a
// quarter are clicks. Rare words weigh less, so that what can be learnt from some million examples
// comes near the AUC of the true probabilities.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/data/criteo.h"

namespace trireme::data {

struct ClicksOptions {
  int64_t keys = 1'000'000;  // possible ones, in all
  double zipf = 1.1;         // rank r of a category is r^-zipf as frequent as the first
  uint64_t seed = 1;
};

// Const calls from any thread.
class Clicks {
 public:
  // Takes about 0.3 s for a million keys. Throws Error{kInvalidArgument} for keys as
  // keys_per_category() does, for more than 500 million, and for a `zipf` that is not in [0, 10].
  explicit Clicks(const ClicksOptions& options);

  uint32_t keys_per_category() const { return keys_per_category_; }
  double probability(int64_t index) const;  // of a click: what the label was drawn from
  Click draw(int64_t index) const;

  // Examples [first, first + count).
  Dataset dataset(int64_t first, int64_t count) const;
  // The AUC of the true probabilities on those: the best that a model can reach, but for the luck
  // of the draw. Nothing when they are of one class.
  std::optional<double> bayes_auc(int64_t first, int64_t count) const;

  struct Written {
    int64_t examples = 0, clicks = 0;
    std::optional<double> bayes_auc = {};
  };
  // Writes those examples as a log in Criteo's format, packed when `path` ends with ".gz". Reading
  // it with keys_per_category() gives the elements of dataset(). Throws Error when the file cannot
  // be written; then it is removed.
  Written write(const std::string& path, int64_t first, int64_t count) const;

  // Rank `cell` with the chance `keep`, else `other`.
  struct Cell {
    float keep;
    uint32_t other;
  };

 private:
  struct Drawn;
  Drawn draw_all(int64_t index) const;
  size_t words_per_category() const;
  std::shared_ptr<const std::vector<uint32_t>> find_words() const;
  float word_weight(int column, uint64_t rank) const;

  uint64_t seed_;
  uint32_t keys_per_category_;
  std::shared_ptr<const std::vector<Cell>> ranks_;
  std::shared_ptr<const std::vector<uint32_t>> words_;  // by category, then by rank
  struct Column {
    float location, scale, weight;
  };
  std::array<Column, kClickNumbers> columns_;
  double bias_ = 0;
};

}  // namespace trireme::data

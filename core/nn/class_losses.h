// Losses of classes besides the cross entropies of losses.h, which says what each is given and
// gives.
#pragma once

#include "core/nn/losses.h"

namespace trireme::nn {

// max(0, 1 − label·output), or its square, where the labels are −1 (or 0) and 1; the mean over the
// last axis.
Loss hinge();
Loss squared_hinge();
// max(0, 1 + the largest output of another class − that of the label's), for one-hot labels.
Loss categorical_hinge();
// Σ label·log(label / output) over the last axis; outputs are probabilities.
Loss kl_divergence();

// Cross entropies in which what is right already counts little (Lin et al. 2017).
struct BinaryFocalOptions {
  bool from_logits = true;
  double gamma = 2;  // the power of 1 − the probability of the right class
  bool apply_class_balancing = false;
  double alpha = 0.25;  // with that: the weight of class 1; class 0 has 1 − alpha
  double label_smoothing = 0;
};
Loss binary_focal_cross_entropy(const BinaryFocalOptions& options = {});
struct CategoricalFocalOptions {
  bool from_logits = true;
  double gamma = 2;
  double alpha = 0.25;  // a factor of the loss
  double label_smoothing = 0;
};
Loss categorical_focal_cross_entropy(const CategoricalFocalOptions& options = {});

// (1 − p^q) / q of the probability p of the label's class (Zhang and Sabuncu 2018): the nearer q is
// to 1, the less a wrong label counts. Labels are class numbers, outputs probabilities.
Loss categorical_generalized_cross_entropy(double q = 0.5);

// How little the outputs, from 0 to 1, and the labels overlap, over all elements of an example.
// Keras takes the elements of the whole batch together, which would depend on how it is split.
Loss dice();
Loss tversky(double alpha = 0.5, double beta = 0.5);

// Of two-tower retrieval: cross entropy of finding the right candidate among those of the batch.
struct InBatchSoftmaxOptions {
  double temperature = 1;  // scores are divided by it
  // Negatives come from groups of so many examples that follow each other, so that the loss does
  // not depend on how many workers share a batch when each has whole groups. 0: from all that the
  // worker has.
  int64_t group = 0;
};
// predictions: [batch, 2·width], the query's vector and then the candidate's; labels: i32 or i64
// [batch], the candidate's number: candidates with the number of the right one are no negatives.
Loss in_batch_softmax(const InBatchSoftmaxOptions& options = {});
// Of each query, the scores of the other candidates of its group, [groups, n, n] or [n, n], where
// those of the right one's number have -1e30; and the score of the right one, [groups, n] or [n].
struct InBatchScores {
  Value others, right;
};
InBatchScores in_batch_scores(std::string_view what, Value predictions, Value labels,
                              int64_t group);

void register_class_losses(Catalog<LossOptions>& catalog);

}  // namespace trireme::nn

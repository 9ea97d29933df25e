// Which labels a loss or a metric takes, and the check of a batch's labels.
//
// The check reads the batch before a step does: so it holds on every device, and a batch with a
// wrong label changes no variable. It allocates nothing when the labels are right.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/tensor/tensor.h"

namespace trireme::nn {

enum class LabelDomain {
  kAny,
  kFinite,        // no NaN, no infinity
  kUnitInterval,  // [0, 1]: a class, or the probability of class 1
  kZeroOrOne,
  kClass,         // integers [0, classes)
  kSign,          // -1 or 0, and 1: the two classes
  kNotNegative,   // finite numbers from 0
  kWeight,        // the same, of how much an example counts
  kDistribution,  // rows of [0, 1] that add up to 1: one-hot, or the probability of each class
};

struct LabelRule {
  LabelDomain domain = LabelDomain::kAny;
  std::string_view of;                  // the loss or metric, for the message; outlives the rule
  int64_t classes = 0;                  // of kClass
  std::optional<int64_t> ignored = {};  // of kClass: this label too
};

// How a row that breaks the rule is described: `row 5 of this batch has the label 2; binary_cross…
// takes labels from 0 to 1: …`. Nothing: all are right. `labels`: [batch, …], in host memory.
std::optional<std::string> find_wrong_label(const LabelRule& rule, const Tensor& labels);

}  // namespace trireme::nn

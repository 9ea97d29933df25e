#include "tests/support/op_cases.h"

namespace trireme::testing {

std::vector<OpCase> all_op_cases() {
  std::vector<OpCase> all;
  for (auto family :
       {source_cases, elementwise_cases, reduction_cases, shaping_cases, indexing_cases,
        random_cases, update_cases, linear_cases, convolution_cases, pooling_cases,
        normalization_cases, loss_cases, pairwise_dots_cases, attention_cases, layer_norm_cases,
        recurrent_cases, axis_indexing_cases, sorting_cases, image_cases}) {
    for (OpCase& op_case : family()) all.push_back(std::move(op_case));
  }
  return all;
}

}  // namespace trireme::testing

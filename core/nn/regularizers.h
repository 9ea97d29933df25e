// Regularizers: penalties that are added to the loss which is minimised, of a layer's variables or
// of what it gives.
//
// A penalty is a part of the graph, so its gradient reaches a variable like that of the loss, under
// every strategy. Immutable; any thread.
#pragma once

#include <memory>

#include "core/catalog/catalog.h"
#include "core/graph/graph.h"

namespace trireme::nn {

// To add one: derive a class, and add it in register_core_regularizers(), or in a program's own
// list.
class Regularizer : public Component {
 public:
  static constexpr std::string_view kFamily = "regularizer";
  // f32[], of all elements of `x`, which is floating-point. Throws Error{kInvalidArgument} for a
  // shape that it does not take.
  virtual Value penalty(Value x) const = 0;
};
using RegularizerPtr = std::shared_ptr<const Regularizer>;

RegularizerPtr l1(double strength = 0.01);           // strength · Σ|x|
RegularizerPtr l2(double strength = 0.01);           // strength · Σx²
RegularizerPtr l1_l2(double l1 = 0, double l2 = 0);  // the sum of both
// factor · mean of |cosine| of each pair of a matrix's rows, or columns.
RegularizerPtr orthogonal_rows(double factor = 0.01);
RegularizerPtr orthogonal_columns(double factor = 0.01);

// As an option of a layer.
void describe(OptionVisitor& visitor, const OptionInfo& info, RegularizerPtr& regularizer);
void register_core_regularizers(Catalog<Regularizer>& catalog);

}  // namespace trireme::nn

// Adapting layers take some of their values from the training data before the model is built:
// Normalization its mean and variance, Discretization the boundaries of its buckets. The values are
// variables of the layer, so a checkpoint has them.
//
//   Model model;
//   model.add<Normalization>().add<Dense>({.units = 1});
//   adapt(model.network(), train.batch(256));
//   model.compile(…);
//   model.fit(train.batch(32));
//
// A job does so by itself, from all training examples, on every worker alike.
#pragma once

#include "core/data/dataset.h"
#include "core/nn/network.h"

namespace trireme::nn {

// What a layer adds to Layer. One thread.
class AdaptingLayer {
 public:
  virtual ~AdaptingLayer() = default;
  // Its options leave its values to the data.
  virtual bool wants_data() const = 0;
  // The feature of some examples, of any numeric dtype: [batch, …].
  virtual void see(const Tensor& batch) = 0;
  // All examples were seen. Throws Error{kInvalidArgument} when there is nothing to learn from.
  virtual void finish() = 0;
};

// Whether a layer of the network wants data.
bool wants_data(const Network& network);

// Shows the layers that want data one pass of `batches`, a data set of features and labels. Throws
// LayerError for a layer that wants data and is not called on a feature, and for data without end.
// REQUIRES: the model is not built.
void adapt(const Network& network, const data::Dataset& batches);

}  // namespace trireme::nn

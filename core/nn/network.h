// A Network: the layers of a model, and which of them is called on what.
//
// It is made in one of two ways. Layers are added one after the other, each called once, on the one
// above or on those that its `inputs` name; the last gives the output. Or functions are called on
// what others give:
//
//   auto x = nn::input({28, 28, 1});                        // core/nn/functional.h
//   auto y = nn::dense({.units = 10})(nn::flatten()(x));
//   Model model({x}, {y});
//
// There a layer may be called several times, and has the same variables each time; and a model may
// have several outputs. Building happens on one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/nn/layer.h"

namespace trireme::nn {

// What an input or a call of a layer will give. Copies are of the same one.
class LayerOutput {
 public:
  // An input of a model. `type`: with the batch in front, of any size.
  explicit LayerOutput(TensorType type);
  LayerOutput(std::shared_ptr<Layer> layer, std::vector<LayerOutput> inputs);

 private:
  friend class Network;
  struct Call;
  std::shared_ptr<const Call> call_;
};

// A layer as a function. Copies are of the same layer.
class LayerFunction {
 public:
  explicit LayerFunction(std::shared_ptr<Layer> layer) : layer_(std::move(layer)) {}
  LayerOutput operator()(LayerOutput x) const { return LayerOutput(layer_, {std::move(x)}); }
  LayerOutput operator()(std::vector<LayerOutput> inputs) const {
    return LayerOutput(layer_, std::move(inputs));
  }

 private:
  std::shared_ptr<Layer> layer_;
};

class Network {
 public:
  Network() = default;
  // Throws Error{kInvalidArgument} when an output depends on an input that is not among `inputs`,
  // for options out of their range, and for two layers of one name.
  Network(const std::vector<LayerOutput>& inputs, const std::vector<LayerOutput>& outputs);

  // Appends a layer; gives it a name if it has none. Throws Error{kInvalidArgument} when its name
  // is there already, when one of its `inputs` is nothing above it, and for options out of their
  // range. REQUIRES: the network was not made of outputs.
  void add(std::shared_ptr<Layer> layer);

  const std::vector<std::shared_ptr<Layer>>& layers() const { return layers_; }
  const std::vector<LayerCall>& calls() const { return calls_; }  // inputs come before their use
  // Of the model; the first is what the loss is of.
  const std::vector<ValueSource>& outputs() const { return outputs_; }
  // Instead of the last layer: those of these names. Throws Error{kInvalidArgument} for another
  // name. REQUIRES: the network was not made of outputs.
  void set_outputs(const std::vector<std::string>& names);
  // Which of the outputs the layer of that name gives; empty: the first. Throws
  // Error{kInvalidArgument} when it gives none.
  size_t output_index(const std::string& name) const;
  // Of the data's features, where the model was built by functions.
  const std::optional<std::vector<TensorType>>& input_types() const { return input_types_; }

  // Each layer is called once, on the one above.
  bool is_row() const;
  // Throws LayerError for a layer whose output nothing uses.
  void require_used() const;
  // "dense", or "feature_1".
  std::string name_of(const ValueSource& source) const;

 private:
  size_t add_layer(std::shared_ptr<Layer> layer);
  ValueSource find_source(const std::string& name) const;

  std::vector<std::shared_ptr<Layer>> layers_;
  LayerNames names_;
  std::vector<LayerCall> calls_;
  std::vector<ValueSource> outputs_;
  std::optional<std::vector<TensorType>> input_types_;
};

}  // namespace trireme::nn

// Builds the layers of a network one after the other, as a graph only, to learn what each gives and
// which variables it has. No variable gets a value.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/graph/graph.h"
#include "core/nn/layer.h"

namespace trireme::formats {

class NetworkBuilder {
 public:
  // `types`: of the network's inputs, with the batch in front.
  explicit NetworkBuilder(const std::vector<TensorType>& types);

  // A value of the network: an input, or what a layer gives.
  using Source = nn::ValueSource;
  Source input(size_t index) const { return {.is_feature = true, .index = index}; }

  // Calls the layer, which has a name. Throws LayerError for what does not fit.
  Source call(nn::Layer& layer, std::vector<Source> inputs);

  const TensorType& type_of(const Source& source) const;
  bool is_masked(const Source& source) const;
  // Of the last call.
  std::span<const nn::VariableSpec> new_variables() const;
  std::span<const nn::VariableSpec> variables() const { return registry_.all(); }

 private:
  std::unique_ptr<Graph> graph_;
  nn::VariableRegistry registry_;
  std::unique_ptr<nn::BuildContext> context_;
  size_t calls_ = 0, before_ = 0;  // variables that were there before the last call
};

}  // namespace trireme::formats

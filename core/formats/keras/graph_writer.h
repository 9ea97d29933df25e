// Makes Keras's nodes of Trireme's layers. For the sources of this folder only.
#pragma once

#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/formats/keras/component_config.h"
#include "core/formats/keras/keras_graph.h"
#include "core/formats/keras/network_builder.h"

namespace trireme::formats {

class GraphWriter {
 public:
  GraphWriter(KerasGraph& graph, const nn::Catalogs& catalogs, std::string place)
      : graph_(graph), catalogs_(catalogs), place_(std::move(place)) {}

  // Names of nodes.
  using Inputs = std::vector<std::string>;

  void add_input(const std::string& name, const TensorType& type);
  // A layer of the model, or a part of one, called on `inputs`; returns the node that gives its
  // output. `scope`: of its variables, "block/attention/". `type`: of what it gives.
  std::string add(const nn::Layer& layer, const std::string& name, const std::string& scope,
                  Inputs inputs, const TensorType& type);
  // An operation of Keras: module "numpy", "nn" or "core", class "Sum". `config` without the name.
  std::string add_operation(const std::string& module, const std::string& class_name,
                            const std::string& name, std::vector<KerasArgument> arguments,
                            Json config, const TensorType& type);

  void set_variables(std::span<const nn::VariableSpec> specs) { specs_ = specs; }
  const TensorType& type_of(const std::string& node) const { return types_.at(node); }
  // The variables' specs of the layer at hand.
  const nn::VariableSpec& variable(const std::string& name) const;

 private:
  std::string unique(std::string name);
  std::string add_layer(const nn::Layer& layer, const std::string& name, const std::string& scope,
                        Inputs inputs, const TensorType& type);
  KerasCall call_of(const nn::Layer& layer, const Inputs& inputs, const std::string& place);

  KerasGraph& graph_;
  const nn::Catalogs& catalogs_;
  std::string place_;
  std::span<const nn::VariableSpec> specs_;
  std::set<std::string> names_;
  std::map<std::string, TensorType> types_;
};

// Writes a layer that Keras does not have as several; nothing: it is none of these.
std::optional<std::string> add_composite(GraphWriter& writer, const nn::Layer& layer,
                                         const std::string& name, const std::string& scope,
                                         const GraphWriter::Inputs& inputs, const TensorType& type);

}  // namespace trireme::formats

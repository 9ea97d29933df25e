// Layers, initializers, optimizers … of the catalogs as Keras's configurations, both ways.
//
// The mapping follows from the catalogs: CatalogEntry::keras is the class, OptionInfo::keras or its
// name the key. What differs in form is in config_exceptions.h. A key that nothing knows is an
// Error, unless it has Keras's default.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/formats/keras/json.h"
#include "core/nn/catalogs.h"

namespace trireme::formats {

struct ConfigContext {
  const nn::Catalogs& catalogs;
  std::string place;  // "model.keras: layer \"conv\"", for messages
  bool is_keras2 = false;
  std::vector<TensorType> inputs = {};        // what the layer is called on
  bool in_wrapper = false;                    // of the layer in a Bidirectional
  std::vector<std::string>* notes = nullptr;  // what could not be taken over; null: nobody asks
};

// {"module": …, "class_name": …, "config": …, "registered_name": null}; `name`: of a layer, which
// the config has too. Throws Error{kInvalidArgument} for what Keras has no class for.
Json component_json(const Component& component, std::string_view family,
                    const ConfigContext& context, const std::string& name = "");

// From such an object, or from a text: "glorot_uniform". Throws Error{kInvalidArgument} naming
// place and key.
std::unique_ptr<Component> read_component(const Json& json, std::string_view family,
                                          const ConfigContext& context);
// The same with the class and its config by themselves.
std::unique_ptr<Component> read_component(const std::string& class_name, const Json& config,
                                          std::string_view family, const ConfigContext& context);

// The entry that Keras calls so: "GlorotUniform", "glorot_uniform", "mse". Null: there is none.
const CatalogEntry* find_keras(const CatalogBase& catalog, std::string_view name);

}  // namespace trireme::formats

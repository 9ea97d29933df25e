// Options as a configuration of Keras: the visitors that write and read one.
#pragma once

#include "core/formats/keras/component_config.h"

namespace trireme::formats {

// Of the options that `component` describes, but what all layers have. Throws
// Error{kInvalidArgument} for a value that Keras cannot be told.
Json write_options(const Component& component, std::string_view family,
                   const ConfigContext& context);

// Sets the options of `component` from `config`. Throws Error{kInvalidArgument} naming the key.
void read_options(Component& component, std::string_view family, const Json& config,
                  const ConfigContext& context);

}  // namespace trireme::formats

// Where a configuration of Keras differs in form from what the descriptions of options say.
#pragma once

#include <string>
#include <string_view>

#include "core/formats/keras/component_config.h"

namespace trireme::formats {

// Brings a config from Keras's form into the one that follows from the options of the catalog's
// entry `name`, and back. Keys that are absent get Keras's defaults where these are not ours.
void adapt_from_keras(std::string_view family, std::string_view name, Json& config,
                      const ConfigContext& context);
void adapt_to_keras(std::string_view family, std::string_view name, Json& config,
                    const ConfigContext& context);

// Whether a key that no option has changes nothing: because it is a default of Keras's, or of no
// consequence for what is computed.
bool is_harmless(std::string_view family, const std::string& key, const Json& value,
                 const ConfigContext& context);

}  // namespace trireme::formats

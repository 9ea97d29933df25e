#include "core/formats/keras/component_config.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/formats/keras/config_exceptions.h"
#include "core/formats/keras/option_config.h"

namespace trireme::formats {
namespace {

struct Module {
  std::string_view family, name;
};
constexpr std::array<Module, 8> kModules = {{
    {"layer", "keras.layers"},
    {"initializer", "keras.initializers"},
    {"regularizer", "keras.regularizers"},
    {"constraint", "keras.constraints"},
    {"optimizer", "keras.optimizers"},
    {"schedule", "keras.optimizers.schedules"},
    {"loss", "keras.losses"},
    {"metric", "keras.metrics"},
}};

// Other names that Keras takes, in the form of plain().
struct Alias {
  std::string_view family, alias, name;
};
constexpr auto kAliases = std::to_array<Alias>({
    {"initializer", "uniform", "randomuniform"},
    {"initializer", "normal", "randomnormal"},
    {"initializer", "zero", "zeros"},
    {"initializer", "one", "ones"},
    {"initializer", "identityinitializer", "identity"},
    {"initializer", "orthogonalinitializer", "orthogonal"},
    {"regularizer", "orthogonal", "orthogonalregularizer"},
    {"constraint", "nonnegative", "nonneg"},
    {"layer", "groupedqueryattention", "groupqueryattention"},
    {"layer", "maxpool1d", "maxpooling1d"},
    {"layer", "maxpool2d", "maxpooling2d"},
    {"layer", "maxpool3d", "maxpooling3d"},
    {"layer", "avgpool1d", "averagepooling1d"},
    {"layer", "avgpool2d", "averagepooling2d"},
    {"layer", "avgpool3d", "averagepooling3d"},
    {"layer", "convolution1d", "conv1d"},
    {"layer", "convolution2d", "conv2d"},
    {"layer", "convolution3d", "conv3d"},
    {"layer", "batchnormalizationv1", "batchnormalization"},
    {"loss", "mse", "meansquarederror"},
    {"loss", "mae", "meanabsoluteerror"},
    {"loss", "mape", "meanabsolutepercentageerror"},
    {"loss", "msle", "meansquaredlogarithmicerror"},
    {"loss", "bce", "binarycrossentropy"},
    {"loss", "kld", "kldivergence"},
    {"loss", "kullbackleiblerdivergence", "kldivergence"},
    {"metric", "acc", "accuracy"},
    {"metric", "mse", "meansquarederror"},
    {"metric", "mae", "meanabsoluteerror"},
    {"metric", "mape", "meanabsolutepercentageerror"},
    {"metric", "msle", "meansquaredlogarithmicerror"},
    {"metric", "bce", "binarycrossentropy"},
    {"metric", "kld", "kldivergence"},
    {"metric", "logcosh", "logcosherror"},
});

// "GlorotUniform" and "glorot_uniform" → "glorotuniform".
std::string plain(std::string_view name) {
  std::string result;
  for (const char c : name) {
    if (c != '_') result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return result;
}

const CatalogBase& catalog_of(std::string_view family, const ConfigContext& context) {
  const CatalogBase* const catalog = context.catalogs.find(family);
  TRIREME_CHECK(catalog != nullptr, "no catalog of the family '", family, "'");
  return *catalog;
}

// Keras's class. What has none of its own may be another with certain options, which
// adapt_to_keras() sets.
std::string class_of(const CatalogEntry& entry) {
  if (entry.name == "amsgrad") return "Adam";
  if (entry.name == "fan_in_uniform") return "VarianceScaling";
  return entry.keras;
}

bool is_layer(std::string_view family) { return family == nn::Layer::kFamily; }

}  // namespace

const CatalogEntry* find_keras(const CatalogBase& catalog, std::string_view name) {
  std::string wanted = plain(name);
  for (const Alias& alias : kAliases) {
    if (alias.family == catalog.family() && alias.alias == wanted) wanted = alias.name;
  }
  const auto& entries = catalog.entries();
  const auto found = std::ranges::find_if(entries, [&](const CatalogEntry& entry) {
    return !entry.keras.empty() && plain(entry.keras) == wanted;
  });
  return found == entries.end() ? nullptr : &*found;
}

Json component_json(const Component& component, std::string_view family,
                    const ConfigContext& context, const std::string& name) {
  const CatalogEntry* const entry = catalog_of(family, context).entry_of(component);
  const std::string class_name = entry == nullptr ? "" : class_of(*entry);
  if (class_name.empty()) {
    const std::string kind = entry == nullptr ? "of this program's own" : entry->name;
    throw invalid_argument(context.place, ": expected a ", family, " that Keras has, too, found ",
                           kind);
  }
  Json config = Json::object();
  if (!name.empty()) config["name"] = name;
  if (is_layer(family)) config["trainable"] = dynamic_cast<const nn::Layer&>(component).trainable();
  config.update(write_options(component, family, context));
  if (member(config, "name") == "") config.erase("name");  // a metric's: that of its kind
  adapt_to_keras(family, entry->name, config, context);
  const auto* const module = std::ranges::find(kModules, family, &Module::family);
  TRIREME_CHECK(module != kModules.end(), "no module of Keras for ", family);
  Json json = Json::object();
  json["module"] = module->name;
  json["class_name"] = class_name;
  json["config"] = std::move(config);
  json["registered_name"] = nullptr;
  return json;
}

std::unique_ptr<Component> read_component(const Json& json, std::string_view family,
                                          const ConfigContext& context) {
  if (json.is_string()) {
    return read_component(json.get<std::string>(), Json::object(), family, context);
  }
  if (!json.is_object()) {
    throw invalid_argument(context.place, ": expected a ", family,
                           " as an object with class_name and config, or as a name, found ",
                           brief(json));
  }
  std::string class_name = text_member(json, "class_name", context.place);
  // Keras 2 writes its own optimizers so.
  constexpr std::string_view kCustom = "Custom>";
  if (family == nn::Optimizer::kFamily && class_name.starts_with(kCustom)) {
    class_name.erase(0, kCustom.size());
  }
  const Json& registered = member(json, "registered_name");
  if (registered.is_string() && registered.get<std::string>().find('>') != std::string::npos) {
    throw invalid_argument(context.place, ": expected a ", family, " of Keras's, found ",
                           brief(registered), " of a program's own");
  }
  return read_component(class_name, member(json, "config"), family, context);
}

std::unique_ptr<Component> read_component(const std::string& class_name, const Json& config,
                                          std::string_view family, const ConfigContext& context) {
  const CatalogBase& catalog = catalog_of(family, context);
  const CatalogEntry* entry = find_keras(catalog, class_name);
  if (entry == nullptr) {
    throw invalid_argument(context.place, ": there is no ", family, " for Keras's ", class_name);
  }
  if (entry->name == "adam" && member(config, "amsgrad") == true) entry = &catalog.find("amsgrad");
  Json options = config.is_null() ? Json::object() : config;
  if (!options.is_object()) {
    throw invalid_argument(context.place, ": config: expected an object, found ", brief(options));
  }
  std::unique_ptr<Component> component = entry->make();
  if (is_layer(family)) {
    auto& layer = dynamic_cast<nn::Layer&>(*component);
    if (const Json& name = member(options, "name"); name.is_string()) {
      layer.set_name(name.get<std::string>());
    }
    if (const Json& trainable = member(options, "trainable"); trainable.is_boolean()) {
      layer.set_trainable(trainable.get<bool>());
    }
    options.erase("trainable");
  }
  const Json& name = member(options, "name");
  const bool is_default = !name.is_string() || plain(name.get<std::string>()) == plain(class_name);
  if (family != nn::MetricOptions::kFamily || is_default) options.erase("name");
  adapt_from_keras(family, entry->name, options, context);
  read_options(*component, family, options, context);
  component->check();
  return component;
}

}  // namespace trireme::formats

#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/error.h"
#include "core/formats/keras/option_config.h"

namespace trireme::formats {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

std::string key_of(const OptionInfo& info) {
  return std::string(info.keras.empty() ? info.name : info.keras);
}

class OptionWriter final : public OptionVisitor {
 public:
  explicit OptionWriter(const ConfigContext& context) : context_(context) {}

  // Directions and sides, of which each may have been visited by itself, as one list.
  Json finish() {
    for (const auto& [name, parent] : parents_) {
      if (parent.parts.empty()) continue;
      const bool alike = !parent.parts.front().has_value();
      Json list = Json::array();
      for (const auto& part : parent.parts) {
        if (alike) {
          list.push_back(config_[parent.key]);
          continue;
        }
        if (!part) {
          throw invalid_argument(context_.place, ": ", name, ": expected a number for each ",
                                 "direction, as Keras's configuration has them, found some only");
        }
        list.push_back(*part);
      }
      if (alike && config_[parent.key].is_null()) continue;
      config_[parent.key] = parent.parts.size() < 4 ? list : in_pairs(list);
    }
    return std::move(config_);
  }

  void field(const OptionInfo& info, bool& value) override { put(info, value); }
  void field(const OptionInfo& info, int64_t& value) override { put(info, value); }
  void field(const OptionInfo& info, uint64_t& value) override { put(info, value); }
  void field(const OptionInfo& info, double& value) override { put(info, value); }
  void field(const OptionInfo& info, std::string& value) override { put(info, value); }
  void field(const OptionInfo& info, std::optional<bool>& value) override {
    put_maybe(info, value);
  }
  void field(const OptionInfo& info, std::optional<int64_t>& value) override {
    if (const auto parent = parents_.find(info.default_text); parent != parents_.end()) {
      parent->second.parts.push_back(value);
      return;
    }
    parents_[std::string(info.name)] = {.key = key_of(info)};
    put_maybe(info, value);
  }
  void field(const OptionInfo& info, std::optional<double>& value) override {
    put_maybe(info, value);
  }
  void field(const OptionInfo& info, std::optional<std::string>& value) override {
    put_maybe(info, value);
  }
  void field(const OptionInfo& info, std::vector<int64_t>& value) override { put(info, value); }
  void field(const OptionInfo& info, std::vector<double>& value) override { put(info, value); }
  void field(const OptionInfo& info, std::vector<std::string>& value) override { put(info, value); }
  void negated(const OptionInfo&, bool&) override {}
  void choice(const OptionInfo& info, std::span<const std::string_view> names,
              size_t& index) override {
    const bool is_activation = names.front() == "NONE" && names[1] == "RELU";
    put(info, is_activation && index == 0 ? "linear" : lower(names[index]));
  }
  // Which rows a table has on parameter servers: nothing that Keras knows or that changes a value.
  bool begin_group(const OptionInfo&, bool&) override { return false; }
  void end_group() override {}
  void component(const OptionInfo& info, ComponentSlot& slot) override {
    Json& value = config_[key_of(info)];
    value = nullptr;
    if (slot.get() != nullptr) value = component_json(*slot.get(), slot.family(), context_);
  }
  void components(const OptionInfo& info, ComponentListSlot& slot) override {
    Json list = Json::array();
    for (size_t i = 0; i < slot.size(); ++i) {
      const auto* const layer = dynamic_cast<const nn::Layer*>(slot.get(i));
      const std::string name = layer == nullptr        ? ""
                               : layer->name().empty() ? layer->type()
                                                       : layer->name();
      list.push_back(component_json(*slot.get(i), slot.family(), context_, name));
    }
    config_[key_of(info)] = std::move(list);
  }

 private:
  struct Parent {
    std::string key;
    std::vector<std::optional<int64_t>> parts = {};
  };

  template <typename T>
  void put(const OptionInfo& info, const T& value) {
    config_[key_of(info)] = value;
  }
  template <typename T>
  void put_maybe(const OptionInfo& info, const std::optional<T>& value) {
    Json& json = config_[key_of(info)];
    json = nullptr;
    if (value) json = *value;
  }
  static Json in_pairs(const Json& list) {
    Json pairs = Json::array();
    for (size_t i = 0; i + 1 < list.size(); i += 2) {
      pairs.push_back(Json::array({list[i], list[i + 1]}));
    }
    return pairs;
  }

  const ConfigContext& context_;
  Json config_ = Json::object();
  std::map<std::string, Parent, std::less<>> parents_;  // options that parts may follow
};

}  // namespace

Json write_options(const Component& component, std::string_view family,
                   const ConfigContext& context) {
  OptionWriter writer(context);
  auto& visited = const_cast<Component&>(component);  // the writer only looks
  if (family != nn::Layer::kFamily) visited.describe_common(writer);
  visited.describe(writer);
  return writer.finish();
}

}  // namespace trireme::formats

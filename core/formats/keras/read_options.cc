#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/base/error.h"
#include "core/formats/keras/config_exceptions.h"
#include "core/formats/keras/option_config.h"

namespace trireme::formats {
namespace {

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return result;
}

std::string key_of(const OptionInfo& info) {
  return std::string(info.keras.empty() ? info.name : info.keras);
}

// What is a whole number, 3 or 3.0.
std::optional<int64_t> whole(const Json& json) {
  if (!json.is_number()) return std::nullopt;
  if (json.is_number_integer() && !json.is_number_unsigned()) return json.get<int64_t>();
  constexpr double kExact = 9007199254740992;  // 2^53
  const auto value = json.get<double>();
  if (!(std::abs(value) <= kExact) || value != std::floor(value)) return std::nullopt;
  return static_cast<int64_t>(value);
}

// [[1, 2], [3, 4]] → 1, 2, 3, 4.
bool flatten(const Json& json, std::vector<int64_t>& numbers) {
  if (const auto number = whole(json)) {
    numbers.push_back(*number);
    return true;
  }
  if (!json.is_array() || json.size() > 16) return false;
  return std::ranges::all_of(json, [&](const Json& part) { return flatten(part, numbers); });
}

// The name of a function of keras.activations: a text, or an object around one.
std::optional<std::string> function_name(const Json& json) {
  if (json.is_null()) return "linear";
  if (json.is_string()) return json.get<std::string>();
  if (member(json, "class_name") == "function" && member(json, "config").is_string()) {
    return member(json, "config").get<std::string>();
  }
  return std::nullopt;
}

class OptionReader final : public OptionVisitor {
 public:
  OptionReader(const Json& config, std::string_view family, const ConfigContext& context)
      : config_(config), family_(family), context_(context) {}

  void finish() const {
    for (const auto& [name, list] : lists_) {
      if (list.next == 0 ? list.numbers.size() == 1 || list.alike
                         : list.next == list.numbers.size())
        continue;
      refuse(list.key, "as many numbers as there are directions", config_.at(list.key));
    }
    for (const auto& [key, value] : config_.items()) {
      if (used_.contains(key) || is_harmless(family_, key, value, context_)) continue;
      throw invalid_argument(context_.place, ": ", key, ": expected Keras's default, as there is ",
                             "no such option here, found ", brief(value));
    }
  }

  void field(const OptionInfo& info, bool& value) override {
    const Json* json = take(info);
    if (json == nullptr) return;
    if (!json->is_boolean()) refuse(key_of(info), "true or false", *json);
    value = json->get<bool>();
  }
  void field(const OptionInfo& info, int64_t& value) override {
    if (const Json* json = take(info)) value = integer(info, *json);
  }
  void field(const OptionInfo& info, uint64_t& value) override {
    if (const Json* json = take(info)) value = static_cast<uint64_t>(integer(info, *json));
  }
  void field(const OptionInfo& info, double& value) override {
    if (const Json* json = take(info)) value = number(info, *json);
  }
  void field(const OptionInfo& info, std::string& value) override {
    if (const Json* json = take(info)) value = text(info, *json);
  }
  void field(const OptionInfo& info, std::optional<bool>& value) override {
    const Json* json = take(info);
    if (json == nullptr) return;
    value.reset();
    if (json->is_null()) return;
    if (!json->is_boolean()) refuse(key_of(info), "true or false", *json);
    value = json->get<bool>();
  }
  void field(const OptionInfo& info, std::optional<int64_t>& value) override {
    if (const auto found = lists_.find(info.default_text); found != lists_.end()) {
      List& list = found->second;
      if (list.next == list.numbers.size()) {
        refuse(list.key, "a number for each direction", config_.at(list.key));
      }
      const int64_t part = list.numbers[list.next++];
      check_range(info, static_cast<double>(part), list.key);
      if (!list.alike) value = part;
      return;
    }
    const Json* json = take(info);
    if (json == nullptr) return;
    value.reset();
    if (json->is_null()) return;
    if (!json->is_array()) {
      value = integer(info, *json);
      return;
    }
    List list{.key = key_of(info)};
    if (!flatten(*json, list.numbers) || list.numbers.empty()) {
      refuse(list.key, "a whole number, or one for each direction", *json);
    }
    list.alike =
        std::ranges::all_of(list.numbers, [&](int64_t n) { return n == list.numbers.front(); });
    if (list.alike) {
      value = list.numbers.front();
      check_range(info, static_cast<double>(*value), list.key);
    }
    lists_[std::string(info.name)] = std::move(list);
  }
  void field(const OptionInfo& info, std::optional<double>& value) override {
    const Json* json = take(info);
    if (json == nullptr) return;
    value.reset();
    if (!json->is_null()) value = number(info, *json);
  }
  void field(const OptionInfo& info, std::optional<std::string>& value) override {
    const Json* json = take(info);
    if (json == nullptr) return;
    value.reset();
    if (!json->is_null()) value = text(info, *json);
  }
  void field(const OptionInfo& info, std::vector<int64_t>& value) override {
    read_list(info, value, [&](const Json& json) { return integer(info, json); });
  }
  void field(const OptionInfo& info, std::vector<double>& value) override {
    read_list(info, value, [&](const Json& json) { return number(info, json); });
  }
  void field(const OptionInfo& info, std::vector<std::string>& value) override {
    read_list(info, value, [&](const Json& json) { return text(info, json); });
  }
  void negated(const OptionInfo&, bool&) override {}

  void choice(const OptionInfo& info, std::span<const std::string_view> names,
              size_t& index) override {
    const Json* json = take(info);
    if (json == nullptr) return;
    const auto name = function_name(*json);
    if (!name) refuse(key_of(info), "a name", *json);
    std::string wanted = upper(*name);
    if (is_activation(names)) {
      if (wanted == "LINEAR") wanted = "NONE";
      if (wanted == "SWISH") wanted = "SILU";
      if (wanted == "HARD_SWISH") wanted = "HARD_SILU";
      if (wanted == "HARD_SIGMOID" && context_.is_keras2) {
        throw invalid_argument(context_.place, ": ", key_of(info), ": Keras 2's hard_sigmoid, ",
                               "max(0, min(1, 0.2·x + 0.5)), is another function than Keras 3's, ",
                               "which is the one that Trireme has");
      }
    }
    const auto found = std::ranges::find(names, wanted);
    if (found == names.end()) {
      std::string all;
      for (const std::string_view each : names) all += str_cat(all.empty() ? "" : ", ", each);
      refuse(key_of(info), "one of " + all, *json);
    }
    index = static_cast<size_t>(found - names.begin());
  }
  bool begin_group(const OptionInfo&, bool&) override { return false; }
  void end_group() override {}

  void component(const OptionInfo& info, ComponentSlot& slot) override {
    const Json* json = take(info);
    if (json == nullptr) return;
    if (json->is_null()) {
      slot.set(nullptr);
      return;
    }
    slot.set(read_component(*json, slot.family(), inner(info)));
  }
  void components(const OptionInfo& info, ComponentListSlot& slot) override {
    const Json* json = take(info);
    if (json == nullptr) return;
    slot.clear();
    if (!json->is_array()) refuse(key_of(info), "a list", *json);
    for (const Json& each : *json) slot.add(read_component(each, slot.family(), inner(info)));
  }

 private:
  struct List {
    std::string key;
    std::vector<int64_t> numbers = {};
    bool alike = false;
    size_t next = 0;  // how many were asked for
  };

  static bool is_activation(std::span<const std::string_view> names) {
    return names.front() == "NONE" && std::ranges::find(names, "RELU") != names.end();
  }

  const Json* take(const OptionInfo& info) {
    const std::string key = key_of(info);
    const auto found = config_.find(key);
    if (found == config_.end()) return nullptr;
    used_.insert(key);
    return &*found;
  }
  ConfigContext inner(const OptionInfo& info) const {
    ConfigContext inner = context_;
    inner.place += str_cat(": ", key_of(info));
    return inner;
  }
  [[noreturn]] void refuse(const std::string& key, std::string_view expected,
                           const Json& found) const {
    throw invalid_argument(context_.place, ": ", key, ": expected ", expected, ", found ",
                           brief(found));
  }
  void check_range(const OptionInfo& info, double value, const std::string& key) const {
    if (info.range.contains(value)) return;
    throw invalid_argument(context_.place, ": ", key, ": expected ", info.range.to_string(),
                           ", found ", value);
  }
  int64_t integer(const OptionInfo& info, const Json& json) const {
    const Json* value = &json;
    if (json.is_array() && json.size() == 1) value = &json.front();  // (3,) of one dimension
    const auto found = whole(*value);
    if (!found) refuse(key_of(info), "a whole number", json);
    const int64_t result = *found;
    check_range(info, static_cast<double>(result), key_of(info));
    return result;
  }
  double number(const OptionInfo& info, const Json& json) const {
    if (!json.is_number()) refuse(key_of(info), "a number", json);
    const auto result = json.get<double>();
    check_range(info, result, key_of(info));
    return result;
  }
  std::string text(const OptionInfo& info, const Json& json) const {
    if (!json.is_string()) refuse(key_of(info), "a text", json);
    return json.get<std::string>();
  }
  template <typename T, typename Read>
  void read_list(const OptionInfo& info, std::vector<T>& value, const Read& read) {
    const Json* json = take(info);
    if (json == nullptr) return;
    value.clear();
    if (json->is_null()) return;
    if (!json->is_array()) {
      value.push_back(read(*json));
      return;
    }
    for (const Json& each : *json) value.push_back(read(each));
  }

  const Json& config_;
  std::string_view family_;
  const ConfigContext& context_;
  std::set<std::string> used_;
  std::map<std::string, List, std::less<>> lists_;  // by the option that stands for all directions
};

}  // namespace

void read_options(Component& component, std::string_view family, const Json& config,
                  const ConfigContext& context) {
  OptionReader reader(config, family, context);
  if (family != nn::Layer::kFamily) component.describe_common(reader);
  component.describe(reader);
  reader.finish();
}

}  // namespace trireme::formats

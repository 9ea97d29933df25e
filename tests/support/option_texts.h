// The options of a component as texts, for tests that set them by name without a job file.
#pragma once

#include <cstdlib>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "core/catalog/component.h"

namespace trireme::test {

using OptionTexts = std::map<std::string, std::string>;  // "a b c" for a list

// Sets those that `wanted` names and notes all. Options within groups and components are left out.
class OptionTextVisitor : public OptionVisitor {
 public:
  explicit OptionTextVisitor(OptionTexts wanted = {}) : wanted_(std::move(wanted)) {}
  const OptionTexts& found() const { return found_; }

  void field(const OptionInfo& info, bool& value) override { scalar(info, value); }
  void field(const OptionInfo& info, int64_t& value) override { scalar(info, value); }
  void field(const OptionInfo& info, uint64_t& value) override { scalar(info, value); }
  void field(const OptionInfo& info, double& value) override { scalar(info, value); }
  void field(const OptionInfo& info, std::string& value) override {
    if (const std::string* text = wanted(info)) value = *text;
    note(info, value);
  }
  void field(const OptionInfo& info, std::optional<bool>& value) override { maybe(info, value); }
  void field(const OptionInfo& info, std::optional<int64_t>& value) override { maybe(info, value); }
  void field(const OptionInfo& info, std::optional<double>& value) override { maybe(info, value); }
  void field(const OptionInfo& info, std::optional<std::string>& value) override {
    if (const std::string* text = wanted(info)) value = *text;
    note(info, value.value_or(""));
  }
  void field(const OptionInfo& info, std::vector<int64_t>& value) override { list(info, value); }
  void field(const OptionInfo& info, std::vector<double>& value) override { list(info, value); }
  void field(const OptionInfo& info, std::vector<std::string>& value) override {
    list(info, value);
  }
  void negated(const OptionInfo&, bool&) override {}
  void choice(const OptionInfo& info, std::span<const std::string_view> names,
              size_t& index) override {
    if (const std::string* text = wanted(info)) {
      for (size_t i = 0; i < names.size(); ++i) {
        if (names[i] == *text) index = i;
      }
    }
    note(info, std::string(names[index]));
  }
  bool begin_group(const OptionInfo&, bool&) override { return false; }
  void end_group() override {}
  void component(const OptionInfo&, ComponentSlot&) override {}
  void components(const OptionInfo&, ComponentListSlot&) override {}

 private:
  const std::string* wanted(const OptionInfo& info) const {
    const auto at = wanted_.find(std::string(info.name));
    return at == wanted_.end() ? nullptr : &at->second;
  }
  void note(const OptionInfo& info, std::string text) {
    found_[std::string(info.name)] = std::move(text);
  }
  template <typename T>
  static std::string text_of(const T& value) {
    std::ostringstream text;
    text.precision(17);
    text << value;
    return text.str();
  }
  template <typename T>
  void scalar(const OptionInfo& info, T& value) {
    if (const std::string* text = wanted(info)) std::istringstream(*text) >> value;
    note(info, text_of(value));
  }
  template <typename T>
  void maybe(const OptionInfo& info, std::optional<T>& value) {
    if (const std::string* text = wanted(info)) std::istringstream(*text) >> value.emplace();
    note(info, value ? text_of(*value) : "");
  }
  template <typename T>
  void list(const OptionInfo& info, std::vector<T>& values) {
    if (const std::string* text = wanted(info)) {
      values.clear();
      std::istringstream words(*text);
      for (T value; words >> value;) values.push_back(value);
    }
    std::string all;
    for (const T& value : values) all += (all.empty() ? "" : " ") + text_of(value);
    note(info, all);
  }

  OptionTexts wanted_, found_;
};

inline OptionTexts options_of(Component& component) {
  OptionTextVisitor visitor;
  component.describe_common(visitor);
  component.describe(visitor);
  return visitor.found();
}

// Throws what check_options() does.
template <typename T>
T& with_options(T& component, const OptionTexts& options) {
  OptionTextVisitor visitor(options);
  component.describe_common(visitor);
  component.describe(visitor);
  for (const auto& [name, text] : options) {
    if (!visitor.found().contains(name)) throw invalid_argument("no option ", name);
  }
  check_options(component, "component");
  return component;
}

}  // namespace trireme::test

#include "core/graph/attribute_def.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/suggest.h"

namespace trireme {
namespace {

std::string with_range(std::string_view what, const Range& range) {
  return range.is_all() ? std::string(what) : str_cat(what, " ", range.to_string());
}

// "rate, seed", or "none".
std::string list(const std::vector<AttributeDef>& defs) {
  std::string text;
  for (const AttributeDef& def : defs) text += (text.empty() ? "" : ", ") + def.name;
  return text.empty() ? "none" : text;
}

}  // namespace

AttributeDef AttributeDef::in(Range allowed) && {
  range = allowed;
  return std::move(*this);
}

AttributeDef AttributeDef::count(size_t numbers) && {
  min_count = max_count = numbers;
  return std::move(*this);
}

AttributeDef AttributeDef::one_of(std::vector<std::string> texts) && {
  choices = std::move(texts);
  return std::move(*this);
}

AttributeDef AttributeDef::or_else(AttributeValue value) && {
  TRIREME_CHECK(allows(value), "attribute ", name, ": its default must be ", expectation());
  is_required = false;
  default_value = std::move(value);
  return std::move(*this);
}

AttributeDef AttributeDef::or_absent() && {
  is_required = false;
  return std::move(*this);
}

std::string AttributeDef::expectation() const {
  struct Name {
    const AttributeDef& def;
    std::string operator()(bool) const { return "true or false"; }
    std::string operator()(int64_t) const { return with_range("an integer", def.range); }
    std::string operator()(double) const { return with_range("a number", def.range); }
    std::string operator()(const std::string&) const {
      std::string text;
      for (size_t i = 0; i < def.choices.size(); ++i) {
        text += i == 0 ? "" : i + 1 < def.choices.size() ? ", " : " or ";
        text += '"' + def.choices[i] + '"';
      }
      return text.empty() ? "a text" : text;
    }
    std::string operator()(DType) const { return "a dtype"; }
    std::string operator()(const Shape&) const { return "a shape"; }
    std::string operator()(const Ints&) const {
      const std::string count = def.min_count == def.max_count ? str_cat(def.min_count, " ") : "";
      return with_range(str_cat("a list of ", count, "integers"), def.range);
    }
    std::string operator()(const Tensor&) const { return "a tensor"; }
  };
  return std::visit(Name{*this}, example);
}

bool AttributeDef::allows(const AttributeValue& value) const {
  if (value.index() != example.index()) return false;
  const auto fits = [&](double number) { return range.is_all() || range.contains(number); };
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    return fits(static_cast<double>(*integer));
  }
  if (const auto* number = std::get_if<double>(&value)) return fits(*number);
  if (const auto* text = std::get_if<std::string>(&value)) {
    return choices.empty() || std::ranges::find(choices, *text) != choices.end();
  }
  if (const auto* list = std::get_if<Ints>(&value)) {
    return list->size() >= min_count && list->size() <= max_count &&
           std::ranges::all_of(*list, [&](int64_t x) { return fits(static_cast<double>(x)); });
  }
  return true;
}

std::string attribute_fault(const std::vector<AttributeDef>& defs, const Attributes& attributes) {
  for (const auto& [name, value] : attributes) {
    const auto def = std::ranges::find(defs, name, &AttributeDef::name);
    if (def == defs.end()) {
      std::vector<std::string> names;
      for (const AttributeDef& known : defs) names.push_back(known.name);
      return str_cat("there is no attribute '", printable(name), "'", did_you_mean(name, names),
                     " (it takes: ", list(defs), ")");
    }
    if (!def->allows(value)) {
      return str_cat("attribute '", name, "': expected ", def->expectation(), ", found ",
                     printable(to_string(value)));
    }
  }
  for (const AttributeDef& def : defs) {
    if (def.is_required && !attributes.has(def.name)) {
      return str_cat("attribute '", def.name, "' is missing: expected ", def.expectation());
    }
  }
  return "";
}

void add_defaults(const std::vector<AttributeDef>& defs, Attributes& attributes) {
  for (const AttributeDef& def : defs) {
    if (def.default_value && !attributes.has(def.name)) {
      attributes.set(def.name, *def.default_value);
    }
  }
}

}  // namespace trireme

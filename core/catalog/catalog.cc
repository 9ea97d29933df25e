#include "core/catalog/catalog.h"

#include <algorithm>
#include <cctype>

#include "core/base/suggest.h"

namespace trireme {
namespace {

bool is_name(std::string_view text) {
  return !text.empty() && text[0] >= 'a' && text[0] <= 'z' && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

bool equal_without_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

}  // namespace

std::vector<std::string> CatalogBase::names() const {
  std::vector<std::string> names;
  for (const CatalogEntry& entry : entries_) names.push_back(entry.name);
  return names;
}

const CatalogEntry* CatalogBase::find_or_null(std::string_view name) const {
  const auto found = std::ranges::find_if(
      entries_, [&](const CatalogEntry& entry) { return equal_without_case(entry.name, name); });
  return found == entries_.end() ? nullptr : &*found;
}

const CatalogEntry& CatalogBase::find(std::string_view name) const {
  if (const CatalogEntry* const found = find_or_null(name)) return *found;
  std::string known;
  for (const CatalogEntry& entry : entries_) known += (known.empty() ? "" : ", ") + entry.name;
  const std::string near = did_you_mean(name, names());
  throw invalid_argument("there is no ", family_, " '", printable(name), "'",
                         near.empty() ? "; expected one of " + known : near);
}

const CatalogEntry* CatalogBase::entry_of(const Component& component) const {
  const std::type_index type = typeid(component);
  const auto found = std::ranges::find(entries_, type, &CatalogEntry::type);
  return found == entries_.end() ? nullptr : &*found;
}

void CatalogBase::add_entry(CatalogEntry entry) {
  if (!is_name(entry.name)) {
    throw invalid_argument(family_, " '", printable(entry.name),
                           "': expected a name of lower-case letters, digits and underscores");
  }
  if (find_or_null(entry.name) != nullptr) {
    throw invalid_argument("there is a ", family_, " '", entry.name, "' already");
  }
  entries_.push_back(std::move(entry));
}

}  // namespace trireme

// Catalogs: what a job file may name, one list for each family.
//
// A family's list is filled by an explicit function, `register_core_layers(catalog)`, a line an
// entry, and by programs that add their own. Read-only after that: any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <typeindex>
#include <utility>
#include <vector>

#include "core/catalog/component.h"

namespace trireme {

struct CatalogEntry {
  std::string name;   // as in a job file: "dense"
  std::string keras;  // Keras's name: "Dense"; empty: Keras has none
  std::string help;   // one sentence
  std::type_index type;
  std::function<std::unique_ptr<Component>()> make;  // with the defaults
};

// What is the same for all families.
class CatalogBase {
 public:
  // `family`: in the singular, "layer".
  explicit CatalogBase(std::string family) : family_(std::move(family)) {}

  const std::string& family() const { return family_; }
  const std::vector<CatalogEntry>& entries() const { return entries_; }  // in the order of adding
  std::vector<std::string> names() const;
  const CatalogEntry* find_or_null(std::string_view name) const;  // in any case of letters
  // Throws Error{kInvalidArgument} "there is no layer 'dens'; did you mean 'dense'?" or lists the
  // names.
  const CatalogEntry& find(std::string_view name) const;
  // The entry that made `component`, or one of its class. Null: none of this catalog.
  const CatalogEntry* entry_of(const Component& component) const;

 protected:
  // Throws Error{kInvalidArgument} when the name is taken or is no name of lower-case letters,
  // digits and underscores.
  void add_entry(CatalogEntry entry);

 private:
  std::string family_;
  std::vector<CatalogEntry> entries_;
};

template <typename T>
class Catalog : public CatalogBase {
 public:
  Catalog() : CatalogBase(std::string(T::kFamily)) {}

  // REQUIRES: L can be made without arguments.
  template <typename L>
  void add(std::string name, std::string keras, std::string help) {
    static_assert(std::is_base_of_v<T, L>);
    add_entry({std::move(name), std::move(keras), std::move(help), typeid(L),
               [] { return std::unique_ptr<Component>(std::make_unique<L>()); }});
  }
  // With the defaults. Throws as find().
  std::unique_ptr<T> make(std::string_view name) const {
    return std::unique_ptr<T>(dynamic_cast<T*>(find(name).make().release()));
  }
};

}  // namespace trireme

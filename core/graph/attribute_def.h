// What an op says of one of its attributes: name, type, default and range. Stated in the op's OpDef
// and checked whenever a node is made, by code, by a pass or from a file.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/catalog/option_visitor.h"
#include "core/graph/attributes.h"

namespace trireme {

struct AttributeDef {
  std::string name;
  AttributeValue example;  // a value of its type
  bool is_required = true;
  std::optional<AttributeValue> default_value = {};  // what an absent one is; empty: nothing
  Range range = {};                                  // of a number, or of each number of a list
  size_t min_count = 0, max_count = std::numeric_limits<size_t>::max();  // of a list's numbers
  std::vector<std::string> choices = {};  // what a text may be; empty: anything

  AttributeDef in(Range allowed) &&;
  AttributeDef count(size_t numbers) &&;
  AttributeDef one_of(std::vector<std::string> texts) &&;
  // It may be absent: it is then this, or it is not there.
  AttributeDef or_else(AttributeValue value) &&;
  AttributeDef or_absent() &&;

  // "a number at least 0 and below 1", "true or false", "\"SAME\" or \"VALID\""
  std::string expectation() const;
  bool allows(const AttributeValue& value) const;
};

// attribute<double>("rate").in(from_below(0, 1))
template <typename T>
AttributeDef attribute(std::string name) {
  return {.name = std::move(name), .example = T()};
}

// The first thing that is wrong with `attributes` for an op that takes `defs`; empty: nothing.
std::string attribute_fault(const std::vector<AttributeDef>& defs, const Attributes& attributes);

// Sets the defaults of those that are absent.
void add_defaults(const std::vector<AttributeDef>& defs, Attributes& attributes);

}  // namespace trireme

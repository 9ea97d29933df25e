// Options that are described once: name, type, default, range and help of each, in one function
// that every user of them visits.
//
//   void DenseOptions::describe(OptionVisitor& v) {
//     v.field({"units", "width of the output", at_least(1)}, units);
//     v.field({"use_bias", "adds a bias"}, use_bias);
//   }
//
// The default is what the struct's member has before the visit. A visitor that reads a job file
// sets the members whose fields are written there and leaves the others; one that makes the
// schema, a page of help, or a job file only looks at them.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trireme {

class Component;

// The numbers that an option may be. NaN is in no range.
struct Range {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool excludes_min = false, excludes_max = false;

  bool contains(double value) const;
  bool is_all() const;
  // "at least 1", "above 0", "from 0 to 1", "at least 0 and below 1"; empty: any number.
  std::string to_string() const;
};
constexpr Range at_least(double min) { return {.min = min}; }
constexpr Range above(double min) { return {.min = min, .excludes_min = true}; }
constexpr Range from_to(double min, double max) { return {.min = min, .max = max}; }
// min ≤ x < max
constexpr Range from_below(double min, double max) {
  return {.min = min, .max = max, .excludes_max = true};
}
// min < x ≤ max
constexpr Range above_to(double min, double max) {
  return {.min = min, .max = max, .excludes_min = true};
}
// min < x < max
constexpr Range between(double min, double max) {
  return {.min = min, .max = max, .excludes_min = true, .excludes_max = true};
}

// Views of literals: they live as long as the program.
struct OptionInfo {
  std::string_view name;  // in a job file
  std::string_view help;  // what it is, with its unit; no full stop
  Range range = {};       // of a number, or of each number of a list
  // What an absent value means where the member itself does not say: "the window".
  std::string_view default_text = {};
  std::string_view keras = {};  // the name that Keras gives it; empty: the same
};

// One name of an enum.
template <typename E>
struct EnumName {
  E value;
  std::string_view name;  // in capitals, as in a job file; names are read in any case of letters
};

// One option that is a component of a catalog. Made by OptionVisitor::component().
class ComponentSlot {
 public:
  virtual ~ComponentSlot() = default;
  virtual std::string_view family() const = 0;  // of which catalog: "layer", "initializer"
  virtual Component* get() const = 0;           // null: there is none
  // REQUIRES: it is of that family.
  virtual void set(std::unique_ptr<Component> component) = 0;
};
class ComponentListSlot {
 public:
  virtual ~ComponentListSlot() = default;
  virtual std::string_view family() const = 0;
  virtual size_t size() const = 0;
  virtual Component* get(size_t i) const = 0;
  virtual void clear() = 0;
  virtual void add(std::unique_ptr<Component> component) = 0;
};

class OptionVisitor {
 public:
  virtual ~OptionVisitor() = default;

  virtual void field(const OptionInfo& info, bool& value) = 0;
  virtual void field(const OptionInfo& info, int64_t& value) = 0;
  virtual void field(const OptionInfo& info, uint64_t& value) = 0;
  virtual void field(const OptionInfo& info, double& value) = 0;
  virtual void field(const OptionInfo& info, std::string& value) = 0;
  // Nothing: as OptionInfo::default_text says.
  virtual void field(const OptionInfo& info, std::optional<bool>& value) = 0;
  virtual void field(const OptionInfo& info, std::optional<int64_t>& value) = 0;
  virtual void field(const OptionInfo& info, std::optional<double>& value) = 0;
  virtual void field(const OptionInfo& info, std::optional<std::string>& value) = 0;
  virtual void field(const OptionInfo& info, std::vector<int64_t>& value) = 0;
  virtual void field(const OptionInfo& info, std::vector<double>& value) = 0;
  virtual void field(const OptionInfo& info, std::vector<std::string>& value) = 0;

  // An older name of a flag, of which true is false: "no_bias" of use_bias. Read, never written.
  virtual void negated(const OptionInfo& info, bool& value) = 0;

  // One of `names`; `index` says which.
  virtual void choice(const OptionInfo& info, std::span<const std::string_view> names,
                      size_t& index) = 0;
  // REQUIRES: `value` is among `names`.
  template <typename E, size_t N>
  void field(const OptionInfo& info, E& value, const EnumName<E> (&names)[N]) {
    std::string_view texts[N];
    size_t index = N;
    for (size_t i = 0; i < N; ++i) {
      texts[i] = names[i].name;
      if (names[i].value == value) index = i;
    }
    choice(info, texts, index);
    value = names[index].value;
  }

  // Options within a message of their own. `present`: whether there is such a message; the visitor
  // may change it. Returns whether the options in it are to be visited, followed by end_group().
  virtual bool begin_group(const OptionInfo& info, bool& present) = 0;
  virtual void end_group() = 0;
  template <typename Options>
  void group(const OptionInfo& info, Options& options) {
    bool present = true;
    if (!begin_group(info, present)) return;
    options.describe(*this);
    end_group();
  }
  template <typename Options>
  void group(const OptionInfo& info, std::optional<Options>& options) {
    bool present = options.has_value();
    if (begin_group(info, present)) {
      Options visited = options.value_or(Options());
      visited.describe(*this);
      end_group();
      if (present) options = std::move(visited);
    }
    if (!present) options.reset();
  }

  virtual void component(const OptionInfo& info, ComponentSlot& slot) = 0;
  virtual void components(const OptionInfo& info, ComponentListSlot& slot) = 0;
  // Of the family T::kFamily. Null: none was chosen.
  template <typename T>
  void component(const OptionInfo& info, std::shared_ptr<T>& value);
  template <typename T>
  void components(const OptionInfo& info, std::vector<std::unique_ptr<T>>& value);
};

}  // namespace trireme

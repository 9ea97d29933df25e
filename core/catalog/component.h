// Component: what a catalog makes and a job file names: a layer, an optimizer, a loss, a data
// source. It is made with the defaults of its options; describe() is how they are set, checked and
// written back.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/catalog/option_visitor.h"

namespace trireme {

class Component {
 public:
  virtual ~Component() = default;
  // Visits all options of its own.
  virtual void describe(OptionVisitor&) {}
  // Visits the options that all of its family have, which stand beside its kind in a job file:
  // `optimizer { adam {} learning_rate: 0.1 }`.
  virtual void describe_common(OptionVisitor&) {}
  // Throws Error{kInvalidArgument} when options do not go together. Ranges are checked by
  // check_options() and by what reads a job file.
  virtual void check() const {}
};

// Throws Error{kInvalidArgument} "WHAT: units: expected at least 1, found 0" for the first option
// out of its range, and what Component::check() throws: how options that a C++ program gave are
// checked. Components within options are not looked into, as they were checked themselves.
void check_options(Component& component, std::string_view what);

template <typename T>
void OptionVisitor::component(const OptionInfo& info, std::shared_ptr<T>& value) {
  class Slot : public ComponentSlot {
   public:
    explicit Slot(std::shared_ptr<T>& target) : target_(target) {}
    std::string_view family() const override { return T::kFamily; }
    // What a visitor does with it is to read its options; set() is how another is chosen.
    Component* get() const override {
      return const_cast<Component*>(static_cast<const Component*>(target_.get()));
    }
    void set(std::unique_ptr<Component> component) override {
      auto* const typed = dynamic_cast<std::remove_const_t<T>*>(component.get());
      TRIREME_CHECK(component == nullptr || typed != nullptr, "a component of another family");
      (void)component.release();
      target_.reset(typed);
    }

   private:
    std::shared_ptr<T>& target_;
  };
  Slot slot(value);
  this->component(info, static_cast<ComponentSlot&>(slot));
}

template <typename T>
void OptionVisitor::components(const OptionInfo& info, std::vector<std::unique_ptr<T>>& value) {
  class Slot : public ComponentListSlot {
   public:
    explicit Slot(std::vector<std::unique_ptr<T>>& target) : target_(target) {}
    std::string_view family() const override { return T::kFamily; }
    size_t size() const override { return target_.size(); }
    Component* get(size_t i) const override { return target_.at(i).get(); }
    void clear() override { target_.clear(); }
    void add(std::unique_ptr<Component> component) override {
      auto* const typed = dynamic_cast<T*>(component.get());
      TRIREME_CHECK(typed != nullptr, "a component of another family");
      (void)component.release();
      target_.emplace_back(typed);
    }

   private:
    std::vector<std::unique_ptr<T>>& target_;
  };
  Slot slot(value);
  this->components(info, static_cast<ComponentListSlot&>(slot));
}

}  // namespace trireme

#include "core/catalog/component.h"

namespace trireme {
namespace {

class RangeCheck : public OptionVisitor {
 public:
  explicit RangeCheck(std::string_view what) : what_(what) {}

  void field(const OptionInfo&, bool&) override {}
  void field(const OptionInfo& info, int64_t& value) override { check(info, value); }
  void field(const OptionInfo& info, uint64_t& value) override { check(info, value); }
  void field(const OptionInfo& info, double& value) override { check(info, value); }
  void field(const OptionInfo&, std::string&) override {}
  void field(const OptionInfo&, std::optional<bool>&) override {}
  void field(const OptionInfo& info, std::optional<int64_t>& value) override {
    if (value) check(info, *value);
  }
  void field(const OptionInfo& info, std::optional<double>& value) override {
    if (value) check(info, *value);
  }
  void field(const OptionInfo&, std::optional<std::string>&) override {}
  void field(const OptionInfo& info, std::vector<int64_t>& values) override {
    for (const int64_t value : values) check(info, value);
  }
  void field(const OptionInfo& info, std::vector<double>& values) override {
    for (const double value : values) check(info, value);
  }
  void field(const OptionInfo&, std::vector<std::string>&) override {}
  void negated(const OptionInfo&, bool&) override {}
  void choice(const OptionInfo& info, std::span<const std::string_view> names,
              size_t& index) override {
    if (index >= names.size()) {
      throw invalid_argument(what_, ": ", path_, info.name, ": is none of the values that it has");
    }
  }
  bool begin_group(const OptionInfo& info, bool& present) override {
    if (!present) return false;
    groups_.push_back(path_.size());
    path_ += std::string(info.name) + ".";
    return true;
  }
  void end_group() override {
    path_.resize(groups_.back());
    groups_.pop_back();
  }
  void component(const OptionInfo&, ComponentSlot&) override {}
  void components(const OptionInfo&, ComponentListSlot&) override {}

 private:
  template <typename T>
  void check(const OptionInfo& info, T value) const {
    if (info.range.contains(static_cast<double>(value))) return;
    throw invalid_argument(what_, ": ", path_, info.name, ": expected ",
                           info.range.is_all() ? "a number" : info.range.to_string(), ", found ",
                           value);
  }

  std::string_view what_;
  std::string path_;
  std::vector<size_t> groups_;
};

}  // namespace

void check_options(Component& component, std::string_view what) {
  RangeCheck check(what);
  component.describe_common(check);
  component.describe(check);
  component.check();
}

}  // namespace trireme

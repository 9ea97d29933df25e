#include "core/rules/update_rule.h"

#include "core/base/error.h"

namespace trireme {
namespace {

// What has no place in an attribute of an update.
class NumbersAndFlags : public OptionVisitor {
 public:
  using OptionVisitor::field;
  void field(const OptionInfo& info, uint64_t&) override { refuse(info); }
  void field(const OptionInfo& info, std::string&) override { refuse(info); }
  void field(const OptionInfo& info, std::optional<bool>&) override { refuse(info); }
  void field(const OptionInfo& info, std::optional<int64_t>&) override { refuse(info); }
  void field(const OptionInfo& info, std::optional<double>&) override { refuse(info); }
  void field(const OptionInfo& info, std::optional<std::string>&) override { refuse(info); }
  void field(const OptionInfo& info, std::vector<int64_t>&) override { refuse(info); }
  void field(const OptionInfo& info, std::vector<double>&) override { refuse(info); }
  void field(const OptionInfo& info, std::vector<std::string>&) override { refuse(info); }
  void negated(const OptionInfo& info, bool&) override { refuse(info); }
  void choice(const OptionInfo& info, std::span<const std::string_view>, size_t&) override {
    refuse(info);
  }
  bool begin_group(const OptionInfo& info, bool&) override { refuse(info); }
  void end_group() override {}
  void component(const OptionInfo& info, ComponentSlot&) override { refuse(info); }
  void components(const OptionInfo& info, ComponentListSlot&) override { refuse(info); }

 private:
  [[noreturn]] static void refuse(const OptionInfo& info) {
    throw invalid_argument("option ", info.name,
                           " of an update rule: expected a number (double, int64_t) or a flag");
  }
};

class Reader : public NumbersAndFlags {
 public:
  explicit Reader(const Attributes& from) : from_(from) {}
  using NumbersAndFlags::field;
  void field(const OptionInfo& info, bool& value) override { value = from_.get<bool>(info.name); }
  void field(const OptionInfo& info, int64_t& value) override {
    value = from_.get<int64_t>(info.name);
  }
  void field(const OptionInfo& info, double& value) override {
    value = from_.get<double>(info.name);
  }

 private:
  const Attributes& from_;
};

class Writer : public NumbersAndFlags {
 public:
  explicit Writer(Attributes& to) : to_(to) {}
  using NumbersAndFlags::field;
  void field(const OptionInfo& info, bool& value) override { set(info, value); }
  void field(const OptionInfo& info, int64_t& value) override { set(info, value); }
  void field(const OptionInfo& info, double& value) override { set(info, value); }

 private:
  void set(const OptionInfo& info, AttributeValue value) {
    to_.set(std::string(info.name), std::move(value));
  }

  Attributes& to_;
};

class Collector : public NumbersAndFlags {
 public:
  explicit Collector(std::vector<AttributeDef>& to) : to_(to) {}
  using NumbersAndFlags::field;
  void field(const OptionInfo& info, bool&) override { add<bool>(info); }
  void field(const OptionInfo& info, int64_t&) override { add<int64_t>(info); }
  void field(const OptionInfo& info, double&) override { add<double>(info); }

 private:
  template <typename T>
  void add(const OptionInfo& info) {
    to_.push_back(attribute<T>(std::string(info.name)).in(info.range));
  }

  std::vector<AttributeDef>& to_;
};

}  // namespace

std::unique_ptr<OptionVisitor> attribute_reader(const Attributes& from) {
  return std::make_unique<Reader>(from);
}

std::unique_ptr<OptionVisitor> attribute_writer(Attributes& to) {
  return std::make_unique<Writer>(to);
}

std::unique_ptr<OptionVisitor> attribute_collector(std::vector<AttributeDef>& to) {
  return std::make_unique<Collector>(to);
}

void throw_other_form(std::string_view op, std::string_view form, const Attributes& attributes) {
  throw invalid_argument(op, ": expected the attributes of this op; found ", attributes.to_string(),
                         ", which ", form, " computes");
}

}  // namespace trireme

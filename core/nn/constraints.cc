#include "core/nn/constraints.h"

#include "core/base/error.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

Value number(Value like, double value) { return ops::scalar(like.graph(), like.dtype(), value); }

// What has norms over axes.
class NormConstraint : public Constraint {
 public:
  explicit NormConstraint(NormAxes axes) : axes_(std::move(axes.axes)) {}
  Value project(Value w) const override {
    for (const int64_t axis : axes_) {
      const int rank = w.shape().rank();
      if (axis >= -rank && axis < rank) continue;
      throw invalid_argument("constraint: axis: expected axes of ", w.shape(), ", found ", axis);
    }
    const Value norm = ops::sqrt(ops::sum(ops::square(w), axes_, true));
    // The small number is Keras's, against a norm of 0.
    return w * (wanted(norm) / (norm + number(w, 1e-7)));
  }

 protected:
  virtual Value wanted(Value norm) const = 0;
  void describe_axes(OptionVisitor& visitor) {
    visitor.field(
        {.name = "axis", .help = "axes that a norm is over, of a convolution's filters 0, 1 and 2"},
        axes_);
  }

 private:
  std::vector<int64_t> axes_;
};

class MaxNorm : public NormConstraint {
 public:
  explicit MaxNorm(double max_value = 2, NormAxes axes = {})
      : NormConstraint(std::move(axes)), max_value_(max_value) {}
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "max_value", .help = "the largest norm", .range = at_least(0)},
                  max_value_);
    describe_axes(visitor);
  }

 private:
  Value wanted(Value norm) const override { return ops::minimum(norm, number(norm, max_value_)); }
  double max_value_;
};

class MinMaxNorm : public NormConstraint {
 public:
  explicit MinMaxNorm(double min_value = 0, double max_value = 1, double rate = 1,
                      NormAxes axes = {})
      : NormConstraint(std::move(axes)),
        min_value_(min_value),
        max_value_(max_value),
        rate_(rate) {}
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "min_value", .help = "the smallest norm", .range = at_least(0)},
                  min_value_);
    visitor.field({.name = "max_value", .help = "the largest norm", .range = at_least(0)},
                  max_value_);
    visitor.field({.name = "rate",
                   .help = "the share of the way to the nearest norm between them that one goes",
                   .range = from_to(0, 1)},
                  rate_);
    describe_axes(visitor);
  }
  void check() const override {
    if (min_value_ > max_value_) {
      throw invalid_argument("min_value: expected at most max_value, ", max_value_, ", found ",
                             min_value_);
    }
  }

 private:
  Value wanted(Value norm) const override {
    const Value nearest =
        ops::minimum(ops::maximum(norm, number(norm, min_value_)), number(norm, max_value_));
    return nearest * number(norm, rate_) + norm * number(norm, 1 - rate_);
  }
  double min_value_, max_value_, rate_;
};

class UnitNorm : public NormConstraint {
 public:
  explicit UnitNorm(NormAxes axes = {}) : NormConstraint(std::move(axes)) {}
  void describe(OptionVisitor& visitor) override { describe_axes(visitor); }

 private:
  Value wanted(Value norm) const override { return number(norm, 1); }
};

class NonNeg : public Constraint {
 public:
  Value project(Value w) const override { return ops::relu(w); }
};

template <typename Options>
ConstraintPtr made(Options options) {
  check_options(options, "constraint");
  return std::make_shared<const Options>(std::move(options));
}

}  // namespace

ConstraintPtr max_norm(double max_value, NormAxes axes) {
  return made(MaxNorm(max_value, std::move(axes)));
}
ConstraintPtr min_max_norm(double min_value, double max_value, double rate, NormAxes axes) {
  return made(MinMaxNorm(min_value, max_value, rate, std::move(axes)));
}
ConstraintPtr unit_norm(NormAxes axes) { return made(UnitNorm(std::move(axes))); }
ConstraintPtr non_neg() { return made(NonNeg()); }

void describe(OptionVisitor& visitor, const OptionInfo& info, ConstraintPtr& constraint) {
  OptionInfo shown = info;
  if (shown.default_text.empty()) shown.default_text = "none";
  visitor.component(shown, constraint);
}

void register_core_constraints(Catalog<Constraint>& catalog) {
  catalog.add<MaxNorm>("max_norm", "MaxNorm", "Norms are at most so large.");
  catalog.add<MinMaxNorm>("min_max_norm", "MinMaxNorm", "Norms lie between two bounds.");
  catalog.add<NonNeg>("non_neg", "NonNeg", "What is below 0 becomes 0.");
  catalog.add<UnitNorm>("unit_norm", "UnitNorm", "Norms are 1.");
}

}  // namespace trireme::nn

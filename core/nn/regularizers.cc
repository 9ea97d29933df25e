#include "core/nn/regularizers.h"

#include "core/base/error.h"
#include "core/ops/ops.h"

namespace trireme::nn {
namespace {

Value number(Value like, double value) { return ops::scalar(like.graph(), DType::kFloat32, value); }

Value sum_of(Value x) { return ops::sum(ops::cast(x, DType::kFloat32)); }

class L1 : public Regularizer {
 public:
  explicit L1(double strength = 0.01) : strength_(strength) {}
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "strength",
                   .help = "times the sum of the magnitudes",
                   .range = at_least(0),
                   .keras = "l1"},
                  strength_);
  }
  Value penalty(Value x) const override { return number(x, strength_) * sum_of(ops::abs(x)); }

 private:
  double strength_;
};

class L2 : public Regularizer {
 public:
  explicit L2(double strength = 0.01) : strength_(strength) {}
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "strength",
                   .help = "times the sum of the squares",
                   .range = at_least(0),
                   .keras = "l2"},
                  strength_);
  }
  Value penalty(Value x) const override { return number(x, strength_) * sum_of(ops::square(x)); }

 private:
  double strength_;
};

class L1L2 : public Regularizer {
 public:
  explicit L1L2(double l1 = 0, double l2 = 0) : l1_(l1), l2_(l2) {}
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "l1", .help = "times the sum of the magnitudes", .range = at_least(0)},
                  l1_);
    visitor.field({.name = "l2", .help = "times the sum of the squares", .range = at_least(0)},
                  l2_);
  }
  Value penalty(Value x) const override { return L1(l1_).penalty(x) + L2(l2_).penalty(x); }

 private:
  double l1_, l2_;
};

enum class Mode { kRows, kColumns };
constexpr EnumName<Mode> kModes[] = {{Mode::kRows, "ROWS"}, {Mode::kColumns, "COLUMNS"}};

// As Keras's: 0.5 · factor · Σ|off the diagonal| / pairs, of rows that are divided by their length.
class Orthogonal : public Regularizer {
 public:
  explicit Orthogonal(double factor = 0.01, Mode mode = Mode::kRows)
      : factor_(factor), mode_(mode) {}
  void describe(OptionVisitor& visitor) override {
    visitor.field({.name = "factor",
                   .help = "times the mean magnitude of the cosines of all pairs",
                   .range = at_least(0)},
                  factor_);
    visitor.field({.name = "mode", .help = "what is to be orthogonal"}, mode_, kModes);
  }
  Value penalty(Value x) const override {
    if (x.shape().rank() != 2) {
      throw invalid_argument("orthogonal: expected a matrix, found ", x.shape(),
                             "; use another regularizer here");
    }
    const bool rows = mode_ == Mode::kRows;
    const int64_t size = x.shape()[rows ? 0 : 1];
    if (size < 2) {
      throw invalid_argument("orthogonal: expected at least two ", rows ? "rows" : "columns",
                             ", found ", x.shape());
    }
    // A row of zeros stays one, and so does its gradient.
    const Value length2 = ops::maximum(ops::sum(ops::square(x), {rows ? 1 : 0}, true),
                                       ops::scalar(x.graph(), x.dtype(), 1e-14));
    const Value unit = x * ops::rsqrt(length2);
    const Value cosines = ops::matmul(unit, unit, !rows, rows);
    Tensor mask = Tensor::zeros(DType::kFloat32, {size, size});
    const auto elements = mask.flat<float>();
    for (size_t i = 0; i < elements.size(); ++i) {
      elements[i] = i % (static_cast<size_t>(size) + 1) == 0 ? 0.0f : 1.0f;
    }
    const double pairs = static_cast<double>(size) * static_cast<double>(size - 1) / 2;
    const Value magnitudes = ops::cast(ops::abs(cosines), DType::kFloat32);
    return number(x, 0.5 * factor_ / pairs) *
           ops::sum(magnitudes * ops::constant(x.graph(), mask, "off_diagonal"));
  }

 private:
  double factor_;
  Mode mode_;
};

template <typename Options>
RegularizerPtr made(Options options) {
  check_options(options, "regularizer");
  return std::make_shared<const Options>(std::move(options));
}

}  // namespace

RegularizerPtr l1(double strength) { return made(L1(strength)); }
RegularizerPtr l2(double strength) { return made(L2(strength)); }
RegularizerPtr l1_l2(double l1, double l2) { return made(L1L2(l1, l2)); }
RegularizerPtr orthogonal_rows(double factor) { return made(Orthogonal(factor, Mode::kRows)); }
RegularizerPtr orthogonal_columns(double factor) {
  return made(Orthogonal(factor, Mode::kColumns));
}

void describe(OptionVisitor& visitor, const OptionInfo& info, RegularizerPtr& regularizer) {
  OptionInfo shown = info;
  if (shown.default_text.empty()) shown.default_text = "none";
  visitor.component(shown, regularizer);
}

void register_core_regularizers(Catalog<Regularizer>& catalog) {
  catalog.add<L1>("l1", "L1", "The sum of the magnitudes.");
  catalog.add<L2>("l2", "L2", "The sum of the squares.");
  catalog.add<L1L2>("l1_l2", "L1L2", "The sum of the magnitudes and that of the squares.");
  catalog.add<Orthogonal>("orthogonal", "OrthogonalRegularizer",
                          "How far the rows or columns of a matrix are from orthogonal.");
}

}  // namespace trireme::nn

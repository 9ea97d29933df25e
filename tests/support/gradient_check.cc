#include "tests/support/gradient_check.h"

#include <cmath>

#include "core/autodiff/gradients.h"
#include "core/base/error.h"
#include "core/ops/ops.h"

namespace trireme::testing {
namespace {

Value weighted_sum(const std::vector<Value>& values, const std::vector<Shape>& shapes,
                   uint64_t seed) {
  Value total;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!values[i].defined() || values[i].dtype() != DType::kFloat64) continue;
    const Value weights = ops::constant(
        values[i].graph(), random_tensor(DType::kFloat64, shapes[i], 0.5, 1.5, seed + i));
    const Value part = ops::sum(ops::multiply(values[i], weights));
    total = total.defined() ? ops::add(total, part) : part;
  }
  return total;
}

class Checker {
 public:
  Checker(const std::vector<Value>& inputs, const Feeds& feeds, const GradientCheckOptions& options)
      : inputs_(inputs), feeds_(feeds), options_(options) {
    for (const Value& input : inputs) {
      for (auto& [value, tensor] : feeds_) {
        if (value == input) fed_.push_back(&tensor);
      }
    }
    TRIREME_CHECK(fed_.size() == inputs.size(), "every input that is checked must be fed once");
  }

  std::string check(Value loss, const std::vector<Value>& grads, const char* which) {
    std::vector<Tensor> analytic;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      analytic.push_back(grads[i].defined()
                             ? evaluate({grads[i]}, feeds_, "reference", *options_.kernels)[0]
                             : Tensor::zeros(DType::kFloat64, fed_[i]->shape()));
      if (analytic[i].type() != fed_[i]->type()) {
        return str_cat(which, " gradient of input ", i, " is ", analytic[i].type(),
                       ", the input is ", fed_[i]->type());
      }
    }
    int64_t elements = 0;
    for (const Tensor* tensor : fed_) elements += tensor->elements();
    for (size_t i = 0; elements <= 24 && i < inputs_.size(); ++i) {
      for (int64_t k = 0; k < fed_[i]->elements(); ++k) {
        std::vector<Tensor> direction = zeros();
        direction[i].flat<double>()[static_cast<size_t>(k)] = 1;
        std::string error =
            check_along(loss, analytic, direction,
                        str_cat(which, " derivative by element ", k, " of input ", i));
        if (!error.empty()) return error;
      }
    }
    for (int d = 0; d < options_.random_directions; ++d) {
      std::vector<Tensor> direction;
      for (size_t i = 0; i < fed_.size(); ++i) {
        const uint64_t seed = options_.seed + 1000 * static_cast<uint64_t>(d + 1) + i;
        direction.push_back(random_tensor(DType::kFloat64, fed_[i]->shape(), -1, 1, seed));
      }
      std::string error =
          check_along(loss, analytic, direction, str_cat(which, " derivative along direction ", d));
      if (!error.empty()) return error;
    }
    return "";
  }

 private:
  std::vector<Tensor> zeros() const {
    std::vector<Tensor> result;
    for (const Tensor* tensor : fed_)
      result.push_back(Tensor::zeros(DType::kFloat64, tensor->shape()));
    return result;
  }

  double loss_at(Value loss, const std::vector<Tensor>& direction, double step) {
    std::vector<Tensor> saved;
    for (size_t i = 0; i < fed_.size(); ++i) {
      saved.push_back(*fed_[i]);
      *fed_[i] = fed_[i]->clone();
      auto x = fed_[i]->flat<double>();
      const auto d = static_cast<const Tensor&>(direction[i]).flat<double>();
      for (size_t k = 0; k < x.size(); ++k) x[k] += step * d[k];
    }
    const double result =
        evaluate({loss}, feeds_, "reference", *options_.kernels)[0].item<double>();
    for (size_t i = 0; i < fed_.size(); ++i) *fed_[i] = saved[i];
    return result;
  }

  std::string check_along(Value loss, const std::vector<Tensor>& analytic,
                          const std::vector<Tensor>& direction, const std::string& what) {
    double expected = 0;
    for (size_t i = 0; i < analytic.size(); ++i) {
      for (int64_t k = 0; k < analytic[i].elements(); ++k) {
        expected += analytic[i].as_double(k) * direction[i].as_double(k);
      }
    }
    if (options_.compared != nullptr) ++*options_.compared;
    const double h = options_.step;
    const double numeric = (loss_at(loss, direction, h) - loss_at(loss, direction, -h)) / (2 * h);
    if (std::fabs(expected - numeric) <= options_.tolerance * (1 + std::fabs(numeric))) return "";
    std::ostringstream text;
    text.precision(12);
    text << what << ": the gradient rules give " << expected << ", central differences " << numeric;
    return text.str();
  }

  const std::vector<Value>& inputs_;
  Feeds feeds_;
  std::vector<Tensor*> fed_;
  GradientCheckOptions options_;
};

// Undefined gradients stay undefined: they are zero.
std::vector<Value> dense_gradients(Value loss, const std::vector<Value>& inputs) {
  std::vector<Value> result;
  const std::vector<Gradient> all = gradients(loss, inputs);
  for (size_t i = 0; i < all.size(); ++i) {
    result.push_back(all[i].defined() ? densify(all[i], inputs[i]) : Value{});
  }
  return result;
}

std::vector<Shape> shapes_of(const std::vector<Value>& values, const Feeds& feeds,
                             const KernelTable& kernels) {
  std::vector<Shape> shapes;
  for (const Value& value : values) {
    shapes.push_back(value.defined() ? evaluate({value}, feeds, "reference", kernels)[0].shape()
                                     : Shape{});
  }
  return shapes;
}

}  // namespace

std::string check_gradients(const std::vector<Value>& outputs, const std::vector<Value>& inputs,
                            const Feeds& feeds, const GradientCheckOptions& options) {
  const Value loss =
      weighted_sum(outputs, shapes_of(outputs, feeds, *options.kernels), options.seed);
  if (!loss.defined()) return "there is no f64 output to differentiate";
  Checker checker(inputs, feeds, options);
  const std::vector<Value> first = dense_gradients(loss, inputs);
  std::string error = checker.check(loss, first, "first");
  if (!error.empty() || !options.second) return error;
  const Value loss2 =
      weighted_sum(first, shapes_of(first, feeds, *options.kernels), options.seed + 100);
  if (!loss2.defined()) return "";
  return checker.check(loss2, dense_gradients(loss2, inputs), "second");
}

}  // namespace trireme::testing

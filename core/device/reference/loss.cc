#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/device/reference/register.h"

namespace trireme {
namespace {

// log Σ e^x of a row, without overflow.
template <typename T>
double log_sum_exp(const T* x, int64_t classes) {
  const double largest = *std::max_element(x, x + classes);
  double sum = 0;
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(x[c] - largest);
  return largest + std::log(sum);
}

template <typename T>
PreparedKernel softmax(const KernelSpec& spec, bool logarithm) {
  const int64_t classes = spec.input_shape(0).dim(-1);
  const int64_t elements = spec.input_shape(0).elements();
  return {[=](const KernelArgs& args) {
    for (int64_t start = 0; start < elements; start += classes) {
      const T* x = args.in<T>(0) + start;
      T* y = args.out<T>() + start;
      const double total = log_sum_exp(x, classes);
      for (int64_t c = 0; c < classes; ++c) {
        y[c] = static_cast<T>(logarithm ? x[c] - total : std::exp(x[c] - total));
      }
    }
  }};
}

template <typename T, typename Label>
PreparedKernel sparse_softmax_cross_entropy(const KernelSpec& spec) {
  const int64_t rows = spec.input_shape(0)[0], classes = spec.input_shape(0)[1];
  const std::string name(spec.node_name);
  return {[=](const KernelArgs& args) {
    for (int64_t row = 0; row < rows; ++row) {
      const T* x = args.in<T>(0) + row * classes;
      T* derivative = args.out<T>(1) + row * classes;
      const int64_t label = args.in<Label>(1)[row];
      if (label < 0 || label >= classes) {
        throw invalid_argument("SparseSoftmaxCrossEntropy '", name, "': label ", label, " of row ",
                               row, " is not in [0, ", classes, ")");
      }
      const double total = log_sum_exp(x, classes);
      args.out<T>(0)[row] = static_cast<T>(total - x[label]);
      for (int64_t c = 0; c < classes; ++c) {
        derivative[c] = static_cast<T>(std::exp(x[c] - total) - (c == label ? 1 : 0));
      }
    }
  }};
}

template <typename T>
PreparedKernel sigmoid_cross_entropy(const KernelSpec& spec) {
  const int64_t elements = spec.output_shape().elements();
  return {[=](const KernelArgs& args) {
    for (int64_t i = 0; i < elements; ++i) {
      const double x = args.in<T>(0)[i], z = args.in<T>(1)[i];
      args.out<T>()[i] =
          static_cast<T>(std::max(x, 0.0) - x * z + std::log1p(std::exp(-std::abs(x))));
    }
  }};
}

}  // namespace

void register_reference_loss(KernelTable& table) {
  add_for<float, double>(table, "Softmax", kReferenceKind,
                         []<typename T>(const KernelSpec& s) { return softmax<T>(s, false); });
  add_for<float, double>(table, "LogSoftmax", kReferenceKind,
                         []<typename T>(const KernelSpec& s) { return softmax<T>(s, true); });
  add_for<float, double>(
      table, "SparseSoftmaxCrossEntropy", kReferenceKind, []<typename T>(const KernelSpec& s) {
        return s.inputs[1].dtype == DType::kInt32 ? sparse_softmax_cross_entropy<T, int32_t>(s)
                                                  : sparse_softmax_cross_entropy<T, int64_t>(s);
      });
  add_for<float, double>(
      table, "SigmoidCrossEntropy", kReferenceKind,
      []<typename T>(const KernelSpec& s) { return sigmoid_cross_entropy<T>(s); });
}

}  // namespace trireme

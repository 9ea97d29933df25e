#include <algorithm>
#include <numeric>
#include <vector>

#include "core/device/element.h"
#include "core/device/reference/register.h"

namespace trireme {
namespace {

template <typename T>
PreparedKernel cumsum(const KernelSpec& spec) {
  using Wide = WideType<T>;
  using Sum = std::conditional_t<std::is_integral_v<Wide>, uint64_t, Wide>;  // overflow is defined
  const Shape& x = spec.input_shape(0);
  const int axis = static_cast<int>(spec.attribute<int64_t>("axis"));
  const int64_t outer = x.first(axis).elements(), n = x[axis];
  const int64_t inner = x.last(x.rank() - axis - 1).elements();
  const bool exclusive = spec.attribute<bool>("exclusive"),
             reverse = spec.attribute<bool>("reverse");
  return {[=](const KernelArgs& args) {
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t i = 0; i < inner; ++i) {
        Sum sum = 0;
        for (int64_t k = 0; k < n; ++k) {
          const int64_t at = (o * n + (reverse ? n - 1 - k : k)) * inner + i;
          const Sum before = sum;
          sum += static_cast<Sum>(convert<Wide>(args.in<T>(0)[at]));
          args.out<T>()[at] = convert<T>(static_cast<Wide>(exclusive ? before : sum));
        }
      }
    }
  }};
}

template <typename T>
PreparedKernel sort(const KernelSpec& spec) {
  const Shape& x = spec.input_shape(0);
  const int64_t n = x.dim(-1), rows = x.first(x.rank() - 1).elements();
  const int64_t count = spec.output_shape().dim(-1);
  const bool descending = spec.attribute<bool>("descending");
  return {[=](const KernelArgs& args) {
    for (int64_t row = 0; row < rows; ++row) {
      const T* from = args.in<T>(0) + row * n;
      std::vector<int64_t> order(static_cast<size_t>(n));
      std::iota(order.begin(), order.end(), 0);
      const auto is_less = [&](int64_t a, int64_t b) {
        const auto left = convert<WideType<T>>(from[a]), right = convert<WideType<T>>(from[b]);
        return left < right || (left == left && right != right);  // a NaN is larger than all
      };
      std::ranges::stable_sort(
          order, [&](int64_t a, int64_t b) { return descending ? is_less(b, a) : is_less(a, b); });
      for (int64_t k = 0; k < count; ++k) {
        args.out<T>(0)[row * count + k] = from[order[static_cast<size_t>(k)]];
        args.out<int64_t>(1)[row * count + k] = order[static_cast<size_t>(k)];
      }
    }
  }};
}

}  // namespace

void register_reference_sorting(KernelTable& table) {
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t>(
      table, "CumSum", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return cumsum<T>(spec); });
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t>(
      table, "Sort", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return sort<T>(spec); });
}

}  // namespace trireme

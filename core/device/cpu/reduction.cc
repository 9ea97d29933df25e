#include <cstring>
#include <functional>
#include <limits>

#include "core/device/cpu/broadcast.h"
#include "core/device/cpu/reduce_box.h"
#include "core/device/element.h"

namespace trireme::cpu {
namespace {

std::vector<bool> reduced_axes(const KernelSpec& spec) {
  std::vector<bool> reduced(static_cast<size_t>(spec.input_shape(0).rank()));
  for (int64_t axis : spec.attribute<Ints>("axes")) reduced[static_cast<size_t>(axis)] = true;
  return reduced;
}

// The axes along which `like`, aligned at the right, was broadcast to `x`.
std::vector<bool> broadcast_axes(const Shape& x, const Shape& like) {
  std::vector<bool> reduced(static_cast<size_t>(x.rank()));
  for (int axis = 0; axis < x.rank(); ++axis) {
    const int own = axis - (x.rank() - like.rank());
    reduced[static_cast<size_t>(axis)] = own < 0 || (like[own] == 1 && x[axis] != 1);
  }
  return reduced;
}

template <typename T>
PreparedKernel sum(const KernelSpec& spec, const std::vector<bool>& reduced, bool average) {
  const int64_t outputs = spec.output_shape().elements();
  const double count =
      average && outputs > 0
          ? static_cast<double>(spec.input_shape(0).elements()) / static_cast<double>(outputs)
          : 1;
  return reduce<SumOf, T>(spec.input_shape(0), reduced, static_cast<ComputeType<T>>(count));
}

// Where the first element is that no other `is_better` than.
template <typename T, typename Better>
PreparedKernel argument(const KernelSpec& spec, Better is_better) {
  const Shape& x = spec.input_shape(0);
  const int axis = static_cast<int>(spec.attribute<int64_t>("axis"));
  const int64_t outer = x.first(axis).elements(), size = x[axis];
  const int64_t inner = x.last(x.rank() - axis - 1).elements();
  return {[=](const KernelArgs& args) {
    const T* in = args.in<T>(0);
    int64_t* out = args.out<int64_t>();
    parallel_for(outer * inner, std::max<int64_t>(1, kGrain / size),
                 [=](int64_t begin, int64_t end) {
                   for (int64_t o = begin; o < end; ++o) {
                     const T* column = in + (o / inner) * size * inner + o % inner;
                     auto best = convert<ComputeType<T>>(column[0]);
                     int64_t best_index = 0;
                     for (int64_t k = 1; k < size; ++k) {
                       const auto value = convert<ComputeType<T>>(column[k * inner]);
                       if (is_better(value, best)) {
                         best = value;
                         best_index = k;
                       }
                     }
                     out[o] = best_index;
                   }
                 });
  }};
}

template <typename T>
PreparedKernel broadcast(const KernelSpec& spec, bool average) {
  const int64_t inputs = spec.input_shape(0).elements(), outputs = spec.output_shape().elements();
  const bool divides = average && inputs != outputs && inputs > 0;
  const double repeats = divides ? static_cast<double>(outputs) / static_cast<double>(inputs) : 1;
  return {[loop = Broadcast<1>({spec.input_shape(0)}, spec.output_shape()), divides,
           repeats](const KernelArgs& args) {
    const T* x = args.in<T>(0);
    T* y = args.out<T>();
    const auto value = [=](T element) {
      // Integers are divided as if they were real numbers, then cut.
      using C = std::conditional_t<std::is_integral_v<T>, double, ComputeType<T>>;
      return divides ? convert<T>(static_cast<C>(convert<C>(element) / static_cast<C>(repeats)))
                     : element;
    };
    loop.for_each(kGrain, [&](const std::array<int64_t, 1>& at, int64_t to, int64_t n) {
      if (loop.inner_stride(0) == 0) {
        std::fill(y + to, y + to + n, value(x[at[0]]));
      } else if (divides) {
        for (int64_t i = 0; i < n; ++i) y[to + i] = value(x[at[0] + i]);
      } else if (x + at[0] != y + to) {
        std::memcpy(y + to, x + at[0], static_cast<size_t>(n) * sizeof(T));
      }
    });
  }};
}

}  // namespace
}  // namespace trireme::cpu

namespace trireme {

void register_cpu_reduction(KernelTable& table) {
  using namespace cpu;
  const auto add_numeric = [&](const char* op, auto make) {
    add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t>(table, op, kCpuKind, make);
  };
  add_numeric("Sum", []<typename T>(const KernelSpec& spec) {
    return sum<T>(spec, reduced_axes(spec), false);
  });
  add_numeric("SumLike", []<typename T>(const KernelSpec& spec) {
    return sum<T>(spec, broadcast_axes(spec.input_shape(0), spec.input_shape(1)),
                  spec.attribute<bool>("average"));
  });
  add_numeric("Max", []<typename T>(const KernelSpec& spec) {
    return reduce<MaxOf, T>(spec.input_shape(0), reduced_axes(spec), ComputeType<T>{1});
  });
  add_numeric("Min", []<typename T>(const KernelSpec& spec) {
    return reduce<MinOf, T>(spec.input_shape(0), reduced_axes(spec), ComputeType<T>{1});
  });
  add_numeric("Prod", []<typename T>(const KernelSpec& spec) {
    return reduce<ProductOf, T>(spec.input_shape(0), reduced_axes(spec), ComputeType<T>{1});
  });
  add_numeric("ArgMax", []<typename T>(const KernelSpec& spec) {
    return argument<T>(spec, std::greater<>());
  });
  add_numeric("ArgMin",
              []<typename T>(const KernelSpec& spec) { return argument<T>(spec, std::less<>()); });
  add_numeric("BroadcastLike", []<typename T>(const KernelSpec& spec) {
    return broadcast<T>(spec, spec.attribute<bool>("average"));
  });
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "BroadcastTo", kCpuKind,
      []<typename T>(const KernelSpec& spec) { return broadcast<T>(spec, false); });
  add_for<Half, BFloat16, float, double>(
      table, "Mean", kCpuKind,
      []<typename T>(const KernelSpec& spec) { return sum<T>(spec, reduced_axes(spec), true); });
}

}  // namespace trireme

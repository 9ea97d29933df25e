#include <functional>
#include <limits>

#include "core/device/reference/index.h"

namespace trireme {
namespace {

// The input's shape with 1 along the reduced axes: it broadcasts to the input, so that
// broadcast_position() says which output an element belongs to.
Shape kept_shape(const KernelSpec& spec) {
  Shape kept = spec.input_shape(0);
  for (int64_t axis : spec.attribute<Ints>("axes")) kept.set(static_cast<int>(axis), 1);
  return kept;
}

// Sums in the wide type, kept in scratch memory; with `average` divides by how many elements went
// into each output.
template <typename T>
PreparedKernel sum(const Shape& x, const Shape& kept, bool average) {
  using Wide = WideType<T>;
  const int64_t outputs = kept.elements();
  const double count =
      outputs == 0 ? 1 : static_cast<double>(x.elements()) / static_cast<double>(outputs);
  return {[=](const KernelArgs& args) {
            Wide* sums = static_cast<Wide*>(args.scratch);
            for (int64_t i = 0; i < outputs; ++i) sums[i] = 0;
            for_each_index(x, [&](const Index& index, int64_t i) {
              sums[broadcast_position(kept, x.rank(), index)] += convert<Wide>(args.in<T>(0)[i]);
            });
            for (int64_t i = 0; i < outputs; ++i) {
              args.out<T>()[i] = convert<T>(
                  average ? static_cast<Wide>(static_cast<double>(sums[i]) / count) : sums[i]);
            }
          },
          static_cast<size_t>(outputs) * sizeof(Wide)};
}

template <typename T>
T lowest() {
  if constexpr (is_float_element<T>)
    return convert<T>(-std::numeric_limits<double>::infinity());
  else
    return std::numeric_limits<T>::lowest();
}

template <typename T>
T highest() {
  if constexpr (is_float_element<T>)
    return convert<T>(std::numeric_limits<double>::infinity());
  else
    return std::numeric_limits<T>::max();
}

// The element that no other `is_better` than, starting from `worst`.
template <typename T, typename Better>
PreparedKernel best(const KernelSpec& spec, T worst, Better is_better) {
  return {[=, x = spec.input_shape(0), kept = kept_shape(spec)](const KernelArgs& args) {
    for (int64_t i = 0; i < kept.elements(); ++i) args.out<T>()[i] = worst;
    for_each_index(x, [&](const Index& index, int64_t i) {
      T& best = args.out<T>()[broadcast_position(kept, x.rank(), index)];
      const T value = args.in<T>(0)[i];
      if (is_better(convert<WideType<T>>(value), convert<WideType<T>>(best))) best = value;
    });
  }};
}

template <typename T>
PreparedKernel product(const KernelSpec& spec) {
  using Wide = WideType<T>;
  const Shape kept = kept_shape(spec);
  return {[x = spec.input_shape(0), kept](const KernelArgs& args) {
            Wide* products = static_cast<Wide*>(args.scratch);
            for (int64_t i = 0; i < kept.elements(); ++i) products[i] = 1;
            for_each_index(x, [&](const Index& index, int64_t i) {
              Wide& product = products[broadcast_position(kept, x.rank(), index)];
              const Wide factor = convert<Wide>(args.in<T>(0)[i]);
              if constexpr (std::is_integral_v<Wide>) {
                product = static_cast<Wide>(static_cast<uint64_t>(product) *
                                            static_cast<uint64_t>(factor));
              } else {
                product *= factor;
              }
            });
            for (int64_t i = 0; i < kept.elements(); ++i)
              args.out<T>()[i] = convert<T>(products[i]);
          },
          static_cast<size_t>(kept.elements()) * sizeof(Wide)};
}

// Where along the axis the first element is that no other `is_better` than.
template <typename T, typename Better>
PreparedKernel argument(const KernelSpec& spec, Better is_better) {
  const Shape& x = spec.input_shape(0);
  const int axis = static_cast<int>(spec.attribute<int64_t>("axis"));
  const int64_t outer = x.first(axis).elements(), size = x[axis];
  const int64_t inner = x.last(x.rank() - axis - 1).elements();
  return {[=](const KernelArgs& args) {
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t i = 0; i < inner; ++i) {
        const T* column = args.in<T>(0) + o * size * inner + i;
        int64_t best = 0;
        for (int64_t k = 1; k < size; ++k) {
          if (is_better(convert<WideType<T>>(column[k * inner]),
                        convert<WideType<T>>(column[best * inner])))
            best = k;
        }
        args.out<int64_t>()[o * inner + i] = best;
      }
    }
  }};
}

template <typename T>
PreparedKernel broadcast(const KernelSpec& spec, bool average) {
  const Shape& x = spec.input_shape(0);
  const Shape& y = spec.output_shape();
  const double repeats =
      x.elements() == 0 ? 1 : static_cast<double>(y.elements()) / static_cast<double>(x.elements());
  return {[=](const KernelArgs& args) {
    for_each_index(y, [&](const Index& index, int64_t i) {
      const T value = args.in<T>(0)[broadcast_position(x, y.rank(), index)];
      args.out<T>()[i] = average ? convert<T>(convert<double>(value) / repeats) : value;
    });
  }};
}

}  // namespace

void register_reference_reduction(KernelTable& table) {
  const auto add_numeric = [&](const char* op, auto make) {
    add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t>(table, op, kReferenceKind,
                                                                      make);
  };
  add_numeric("Sum", []<typename T>(const KernelSpec& spec) {
    return sum<T>(spec.input_shape(0), kept_shape(spec), false);
  });
  add_numeric("Max", []<typename T>(const KernelSpec& spec) {
    return best<T>(spec, lowest<T>(), std::greater<>());
  });
  add_numeric("Min", []<typename T>(const KernelSpec& spec) {
    return best<T>(spec, highest<T>(), std::less<>());
  });
  add_numeric("Prod", []<typename T>(const KernelSpec& spec) { return product<T>(spec); });
  add_numeric("ArgMax", []<typename T>(const KernelSpec& spec) {
    return argument<T>(spec, std::greater<>());
  });
  add_numeric("ArgMin",
              []<typename T>(const KernelSpec& spec) { return argument<T>(spec, std::less<>()); });
  add_numeric("BroadcastLike", []<typename T>(const KernelSpec& spec) {
    return broadcast<T>(spec, spec.attribute<bool>("average"));
  });
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "BroadcastTo", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return broadcast<T>(spec, false); });
  add_numeric("SumLike", []<typename T>(const KernelSpec& spec) {
    return sum<T>(spec.input_shape(0), spec.output_shape(), spec.attribute<bool>("average"));
  });
  add_for<Half, BFloat16, float, double>(
      table, "Mean", kReferenceKind, []<typename T>(const KernelSpec& spec) {
        return sum<T>(spec.input_shape(0), kept_shape(spec), true);
      });
}

}  // namespace trireme

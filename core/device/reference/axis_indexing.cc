#include <limits>

#include "core/device/axis_rows.h"
#include "core/device/element.h"
#include "core/device/reference/register.h"
#include "core/device/row_indices.h"

namespace trireme {
namespace {

// visit(position in the params, position in what is picked) for each element that is picked.
template <typename Visit>
void for_each_picked(const AxisRows& size, const RowIndices& indices, const KernelArgs& args,
                     Visit visit) {
  for (int64_t b = 0; b < size.batch; ++b) {
    for (int64_t o = 0; o < size.outer; ++o) {
      for (int64_t j = 0; j < size.count; ++j) {
        const int64_t row = indices.at(args, b * size.count + j);
        for (int64_t i = 0; i < size.inner; ++i) {
          const int64_t block = b * size.outer + o;
          visit((block * size.rows + row) * size.inner + i,
                (block * size.count + j) * size.inner + i);
        }
      }
    }
  }
}

template <typename T>
PreparedKernel gather_axis(const KernelSpec& spec) {
  const AxisRows size(spec, 0, 1);
  return {[size, indices = RowIndices(spec, 1, size.rows)](const KernelArgs& args) {
    for_each_picked(size, indices, args,
                    [&](int64_t from, int64_t to) { args.out<T>()[to] = args.in<T>(0)[from]; });
  }};
}

template <typename T>
PreparedKernel scatter_axis(const KernelSpec& spec) {
  using Wide = WideType<T>;
  const AxisRows size(spec, 2, 0);
  const int64_t elements = spec.output_shape().elements();
  return {[=, indices = RowIndices(spec, 0, size.rows)](const KernelArgs& args) {
            Wide* sums = static_cast<Wide*>(args.scratch);
            for (int64_t i = 0; i < elements; ++i) sums[i] = 0;
            for_each_picked(size, indices, args, [&](int64_t to, int64_t from) {
              sums[to] += convert<Wide>(args.in<T>(1)[from]);
            });
            for (int64_t i = 0; i < elements; ++i) args.out<T>()[i] = convert<T>(sums[i]);
          },
          static_cast<size_t>(elements) * sizeof(Wide)};
}

// The number of a row among all that the first axes of `like` have, from its coordinates.
PreparedKernel flat_index(const KernelSpec& spec) {
  const Shape& like = spec.input_shape(1);
  const int64_t axes = spec.input_shape(0).dim(-1), count = spec.output_shape().elements();
  return {[=, indices = RowIndices(spec, 0, 0), where = spec.where()](const KernelArgs& args) {
    for (int64_t i = 0; i < count; ++i) {
      int64_t row = 0;
      for (int64_t axis = 0; axis < axes; ++axis) {
        const int64_t at = indices.unchecked(args, i * axes + axis);
        const int64_t size = like[static_cast<int>(axis)];
        if (at < 0 || at >= size) {
          throw invalid_argument(where, ": index ", at, " at position ", i * axes + axis,
                                 " is not in [0, ", size, "), the size of axis ", axis);
        }
        row = row * size + at;
      }
      args.out<int64_t>()[i] = row;
    }
  }};
}

template <typename T>
T lowest() {
  if constexpr (is_float_element<T>)
    return convert<T>(-std::numeric_limits<double>::infinity());
  else
    return std::numeric_limits<T>::lowest();
}

template <typename T>
PreparedKernel segment_max(const KernelSpec& spec) {
  const int64_t elements = spec.output_shape().elements(), rows = spec.output_shape()[0];
  const int64_t width = rows == 0 ? 0 : elements / rows;
  return {[=, indices = RowIndices(spec, 1, rows)](const KernelArgs& args) {
    T* y = args.out<T>();
    for (int64_t i = 0; i < elements; ++i) y[i] = lowest<T>();
    for (int64_t i = 0; i < indices.count(); ++i) {
      T* row = y + indices.at(args, i) * width;
      for (int64_t k = 0; k < width; ++k) {
        const T value = args.in<T>(0)[i * width + k];
        if (convert<WideType<T>>(value) > convert<WideType<T>>(row[k])) row[k] = value;
      }
    }
  }};
}

}  // namespace

void register_flat_index(KernelTable& table, std::string_view kind) {
  add_kernel(table, "FlatIndex", kind, DType::kInt64, flat_index);
}

void register_reference_axis_indexing(KernelTable& table) {
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "GatherAxis", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return gather_axis<T>(spec); });
  add_for<Half, BFloat16, float, double, int32_t, int64_t>(
      table, "ScatterAxis", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return scatter_axis<T>(spec); });
  register_flat_index(table, kReferenceKind);
  add_for<Half, BFloat16, float, double, int32_t, int64_t>(
      table, "SegmentMax", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return segment_max<T>(spec); });
}

}  // namespace trireme

#include "core/device/reference/index.h"
#include "core/device/row_indices.h"

namespace trireme {
namespace {

int64_t row_elements(const Shape& table) { return table.last(table.rank() - 1).elements(); }

template <typename T>
PreparedKernel gather(const KernelSpec& spec) {
  const int64_t width = row_elements(spec.input_shape(0));
  return {[width, indices = RowIndices(spec, 1, spec.input_shape(0)[0])](const KernelArgs& args) {
    for (int64_t i = 0; i < indices.count(); ++i) {
      const int64_t row = indices.at(args, i);
      for (int64_t k = 0; k < width; ++k)
        args.out<T>()[i * width + k] = args.in<T>(0)[row * width + k];
    }
  }};
}

template <typename T>
PreparedKernel scatter_add(const KernelSpec& spec) {
  using Wide = WideType<T>;
  const int64_t width = row_elements(spec.output_shape()),
                elements = spec.output_shape().elements();
  return {[=, indices = RowIndices(spec, 0, spec.output_shape()[0])](const KernelArgs& args) {
            Wide* sums = static_cast<Wide*>(args.scratch);
            for (int64_t i = 0; i < elements; ++i) sums[i] = 0;
            for (int64_t i = 0; i < indices.count(); ++i) {
              const int64_t row = indices.at(args, i);
              for (int64_t k = 0; k < width; ++k) {
                sums[row * width + k] += convert<Wide>(args.in<T>(1)[i * width + k]);
              }
            }
            for (int64_t i = 0; i < elements; ++i) args.out<T>()[i] = convert<T>(sums[i]);
          },
          static_cast<size_t>(elements) * sizeof(Wide)};
}

template <typename T>
PreparedKernel one_hot(const KernelSpec& spec) {
  const int64_t depth = spec.attribute<int64_t>("depth");
  return {[depth, indices = RowIndices(spec, 0, depth)](const KernelArgs& args) {
    for (int64_t i = 0; i < indices.count(); ++i) {
      for (int64_t k = 0; k < depth; ++k) {
        args.out<T>()[i * depth + k] = convert<T>(indices.unchecked(args, i) == k ? 1 : 0);
      }
    }
  }};
}

}  // namespace

void register_reference_indexing(KernelTable& table) {
  for (const char* op : {"Gather", "EmbeddingLookup"}) {
    add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
        table, op, kReferenceKind,
        []<typename T>(const KernelSpec& spec) { return gather<T>(spec); });
  }
  add_for<Half, BFloat16, float, double, int32_t, int64_t>(
      table, "ScatterAdd", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return scatter_add<T>(spec); });
  add_for<Half, BFloat16, float, double, int32_t, int64_t, uint8_t, bool>(
      table, "OneHot", kReferenceKind,
      []<typename T>(const KernelSpec& spec) { return one_hot<T>(spec); });
}

}  // namespace trireme

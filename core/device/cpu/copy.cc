#include <algorithm>
#include <cstring>

#include "core/base/batch_share.h"
#include "core/base/parallel.h"
#include "core/device/cpu/register.h"

namespace trireme {
namespace {

// Below this a second thread costs more than it copies.
constexpr int64_t kGrainBytes = 1 << 20;

PreparedKernel copy_bytes(const KernelSpec& spec) {
  const auto bytes = static_cast<int64_t>(spec.inputs[0].bytes());
  return {[bytes](const KernelArgs& args) {
    const char* from = args.in<char>(0);
    char* to = args.out<char>();
    parallel_for(bytes, kGrainBytes, [&](int64_t begin, int64_t end) {
      std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
    });
  }};
}

PreparedKernel copy_batch_part(const KernelSpec& spec) {
  const Shape& shape = spec.input_shape(0);
  const RowRange rows =
      batch_share(shape[0], spec.attribute<int64_t>("index"), spec.attribute<int64_t>("count"));
  const size_t row_bytes = spec.inputs[0].bytes() / static_cast<size_t>(shape[0]);
  const size_t offset = rows.size() == 0 ? 0 : static_cast<size_t>(rows.begin) * row_bytes;
  return {[offset, bytes = spec.outputs[0].bytes()](const KernelArgs& args) {
    if (bytes > 0) std::memcpy(args.out<char>(), args.in<char>(0) + offset, bytes);
  }};
}

PreparedKernel copy_strings(const KernelSpec& spec) {
  const int64_t count = spec.input_shape(0).elements();
  return {[count](const KernelArgs& args) {
    std::copy_n(args.in<std::string>(0), count, args.out<std::string>());
  }};
}

}  // namespace

void register_cpu_copy(KernelTable& table) {
  for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                      DType::kInt32, DType::kInt64, DType::kUInt8, DType::kBool}) {
    add_kernel(table, "Copy", kCpuKind, dtype, copy_bytes);
    add_kernel(table, "BatchPart", kCpuKind, dtype, copy_batch_part);
  }
  add_kernel(table, "Copy", kCpuKind, DType::kString, copy_strings);
}

}  // namespace trireme

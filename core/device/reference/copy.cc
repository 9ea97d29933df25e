#include <algorithm>
#include <cstring>

#include "core/device/reference/register.h"

namespace trireme {
namespace {

PreparedKernel copy_bytes(const KernelSpec& spec) {
  const size_t bytes = spec.inputs[0].bytes();
  return {[bytes](const KernelArgs& args) {
    if (bytes > 0) std::memcpy(args.outputs[0], args.inputs[0], bytes);
  }};
}

PreparedKernel copy_strings(const KernelSpec& spec) {
  const int64_t count = spec.input_shape(0).elements();
  return {[count](const KernelArgs& args) {
    std::copy_n(args.in<std::string>(0), count, args.out<std::string>());
  }};
}

}  // namespace

void register_reference_copy(KernelTable& table) {
  for (DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32, DType::kFloat64,
                      DType::kInt32, DType::kInt64, DType::kUInt8, DType::kBool}) {
    table.add("Copy", kReferenceKind, dtype, copy_bytes);
  }
  table.add("Copy", kReferenceKind, DType::kString, copy_strings);
}

}  // namespace trireme

#include "core/device/cuda/kernel.h"
#include "core/device/cuda/register.h"

namespace trireme::cuda {
namespace {

PreparedKernel bucket(const KernelSpec& spec) {
  const int64_t count = spec.output_shape().elements();
  if (count == 0) return {[](const KernelArgs&) {}};
  const auto buckets = spec.attribute<int64_t>("buckets"), salt = spec.attribute<int64_t>("salt");
  const LaunchShape shape = spread(cuda_device(spec), count);
  const Kernel kernel(kernel_name("hash_bucket", spec.inputs[0].dtype));
  return {[=](const KernelArgs& args) {
    kernel.launch(cuda_stream(args), shape, args.inputs[0], args.outputs[0], count, salt, buckets);
  }};
}

}  // namespace

void register_hashing(KernelTable& table) {
  for (const DType dtype : {DType::kInt32, DType::kInt64}) {
    add_kernel(table, "HashBucket", kCudaKind, dtype, bucket);
  }
}

}  // namespace trireme::cuda

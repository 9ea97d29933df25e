#include "core/base/parallel.h"
#include "core/device/cpu/register.h"
#include "core/device/hash_bucket.h"

namespace trireme {
namespace {

template <typename T>
PreparedKernel bucket(const KernelSpec& spec) {
  const auto buckets = spec.attribute<int64_t>("buckets"), salt = spec.attribute<int64_t>("salt");
  const int64_t count = spec.output_shape().elements();
  return {[=](const KernelArgs& args) {
    parallel_for(count, 16384, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        args.out<int64_t>()[i] = hash_bucket(args.in<T>(0)[i], salt, buckets);
      }
    });
  }};
}

}  // namespace

void register_cpu_hashing(KernelTable& table) {
  add_for<int32_t, int64_t>(table, "HashBucket", kCpuKind,
                            []<typename T>(const KernelSpec& spec) { return bucket<T>(spec); });
}

}  // namespace trireme

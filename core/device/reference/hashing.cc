#include "core/device/hash_bucket.h"
#include "core/device/reference/register.h"

namespace trireme {
namespace {

template <typename T>
PreparedKernel bucket(const KernelSpec& spec) {
  const auto buckets = spec.attribute<int64_t>("buckets"), salt = spec.attribute<int64_t>("salt");
  const int64_t count = spec.output_shape().elements();
  return {[=](const KernelArgs& args) {
    for (int64_t i = 0; i < count; ++i) {
      args.out<int64_t>()[i] = hash_bucket(args.in<T>(0)[i], salt, buckets);
    }
  }};
}

}  // namespace

void register_reference_hashing(KernelTable& table) {
  add_for<int32_t, int64_t>(table, "HashBucket", kReferenceKind,
                            []<typename T>(const KernelSpec& spec) { return bucket<T>(spec); });
}

}  // namespace trireme

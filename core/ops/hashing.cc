// Hashing of whole numbers.
#include "core/ops/hashing.h"

#include "core/ops/register.h"
#include "core/ops/rules.h"

namespace trireme::ops {
namespace {

// Keys i32 or i64 of any shape → the i64 bucket in [0, buckets) of each, by
// core/device/hash_bucket.h. No gradient.
OpDef hash_bucket_op() {
  return {
      .name = "HashBucket",
      .min_inputs = 1,
      .max_inputs = 1,
      .attributes = {attribute<int64_t>("buckets").in(at_least(1)), attribute<int64_t>("salt")},
      .infer =
          [](const InferenceContext& c) {
            c.require(c.dtype(0) == DType::kInt32 || c.dtype(0) == DType::kInt64,
                      "i32 or i64 keys");
            return Types{{DType::kInt64, c.shape(0)}};
          },
  };
}

}  // namespace

Value hash_bucket(Value keys, int64_t buckets, int64_t salt) {
  return build("HashBucket", {keys}, {{"buckets", buckets}, {"salt", salt}});
}

}  // namespace trireme::ops

namespace trireme {

void register_hashing_ops(OpTable& table) { table.add(ops::hash_bucket_op()); }

}  // namespace trireme

// Hashing of whole numbers, by the function that all devices have.
#include "core/device/cuda/kernels/portable.cuh"
#include "core/device/hash_bucket.h"

using namespace trireme;
using namespace trireme::cuda;

#define TRIREME_HASH_BUCKET(suffix, T)                                                        \
  TRIREME_KERNEL(hash_bucket_##suffix,                                                        \
                 (const T* keys, int64_t* y, int64_t count, int64_t salt, int64_t buckets)) { \
    for (int64_t i = global_thread(); i < count; i += global_threads()) {                     \
      y[i] = hash_bucket(keys[i], salt, buckets);                                             \
    }                                                                                         \
  }

TRIREME_HASH_BUCKET(i32, int32_t)
TRIREME_HASH_BUCKET(i64, int64_t)

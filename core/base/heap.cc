#include "core/base/heap.h"

#include <malloc.h>

namespace trireme {

void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

}  // namespace trireme

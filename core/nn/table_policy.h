// Which keys of an embedding on parameter servers have a row of their own. A key without one is
// looked up as its initial value, and is not trained. See docs/parameter-servers.md.
#pragma once

#include <cstdint>

#include "core/catalog/option_visitor.h"

namespace trireme::nn {

struct TablePolicy {
  int64_t admit_after = 1;
  double admit_probability = 1;
  int64_t evict_max_age = 0;
  int64_t evict_min_frequency = 0;
  int64_t evict_max_rows = 0;

  void describe(OptionVisitor& visitor);
};

}  // namespace trireme::nn

#include "core/nn/table_policy.h"

namespace trireme::nn {

void TablePolicy::describe(OptionVisitor& visitor) {
  visitor.field({.name = "admit_after",
                 .help = "pushes that name a key before it gets a row",
                 .range = at_least(1)},
                admit_after);
  visitor.field({.name = "admit_probability",
                 .help = "that one of these pushes gives the key its row",
                 .range = above_to(0, 1)},
                admit_probability);
  visitor.field({.name = "evict_max_age",
                 .help = "steps without a push after which a row goes; 0: never",
                 .range = at_least(0)},
                evict_max_age);
  visitor.field({.name = "evict_min_frequency",
                 .help = "above evict_max_rows, rows that were pushed less often go first",
                 .range = at_least(0)},
                evict_min_frequency);
  visitor.field({.name = "evict_max_rows",
                 .help = "rows of the whole table that are kept; 0: no limit",
                 .range = at_least(0)},
                evict_max_rows);
}

}  // namespace trireme::nn
